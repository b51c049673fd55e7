//! Registries apart. A server's one address is that of whichever registry a login is for; a rehearsal has an address
//! for each of them, so that a pipeline that logs in to one and pushes to another is refused here as it is by ECR.
//!
//! They differ in the port: loopback has more than one address on Linux alone, and 127.0.0.1 is the one that every
//! client takes for this machine. The registry of the default account and region stays at the server's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::http::listener::{self, Leads, Limits};
use crate::registry::registry_of_host;
use crate::store::RegistryId;
use crate::world::World;

/// Registries that have an address at a time. Each is a port of this machine.
const ADDRESSES_MAX: usize = 64;

/// The addresses of a server's registries; none while they are not kept apart.
#[derive(Debug, Default)]
pub struct Registries {
    addresses: Mutex<Option<Addresses>>,
}

#[derive(Debug)]
struct Addresses {
    world: Weak<World>,
    stopped: watch::Receiver<bool>,
    /// Each registry and its host with the port, in the order in which they were asked for.
    all: Vec<(RegistryId, String)>,
}

impl Registries {
    fn lock(&self) -> MutexGuard<'_, Option<Addresses>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host and port of a registry, which gets one if it has none; none where registries are not kept apart.
    ///
    /// # Errors
    /// When there are too many, or the system has no port.
    pub fn address(&self, registry: &RegistryId) -> Result<Option<String>, String> {
        let mut lock = self.lock();
        let Some(addresses) = lock.as_mut() else { return Ok(None) };
        if let Some((_, address)) = addresses.all.iter().find(|(known, _)| known == registry) {
            return Ok(Some(address.clone()));
        }
        let name = name_of(registry);
        if addresses.all.len() >= ADDRESSES_MAX {
            return Err(format!(
                "{name} would be the registry after the {ADDRESSES_MAX}th, and gets no address"
            ));
        }
        let address = addresses.open().map_err(|error| format!("there is no port for {name}: {error}"))?;
        addresses.all.push((registry.clone(), address.clone()));
        Ok(Some(address))
    }

    /// Where one of ECR's host names leads on this machine; none for other names, and where no address can be had.
    pub fn at_home(&self, host: &str) -> Option<String> {
        self.address(&registry_of_host(host)?).ok().flatten()
    }

    /// The registry at an address.
    pub fn at(&self, host: &str) -> Option<RegistryId> {
        let lock = self.lock();
        let mut all = lock.as_ref()?.all.iter();
        let port = host.strip_prefix("localhost:");
        let is_it = |address: &str| {
            address == host
                || port.is_some_and(|port| address.rsplit_once(':').is_some_and(|it| it.1 == port))
        };
        all.find(|(_, address)| is_it(address)).map(|(registry, _)| registry.clone())
    }

    /// All addresses, with ECR's names of the registries there.
    pub fn all(&self) -> Vec<(String, String)> {
        let lock = self.lock();
        let all = lock.iter().flat_map(|addresses| &addresses.all);
        all.map(|(registry, address)| (name_of(registry), address.clone())).collect()
    }

    /// A text in which ECR's names stand in place of the addresses.
    pub fn named(&self, text: &str) -> String {
        self.all().iter().fold(text.to_owned(), |text, (name, address)| {
            let mut named = String::with_capacity(text.len());
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once(address.as_str()) {
                // A longer number is another port.
                let is_whole = !after.starts_with(|c: char| c.is_ascii_digit());
                named.push_str(before);
                named.push_str(if is_whole { name } else { address });
                rest = after;
            }
            named.push_str(rest);
            named
        })
    }
}

impl Addresses {
    /// Listens at a port of its own.
    fn open(&self) -> std::io::Result<String> {
        let gone = || std::io::Error::other("the server has ended");
        let world = self.world.upgrade().ok_or_else(gone)?;
        let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?.to_string();
        let stopped = self.stopped.clone();
        tokio::spawn(listener::serve(listener, world, Limits::default(), stopped, Leads::All(None)));
        Ok(address)
    }
}

/// `123456789012.dkr.ecr.eu-west-1.amazonaws.com`
pub fn name_of(registry: &RegistryId) -> String {
    let RegistryId { account, region } = registry;
    let end = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("{account}.dkr.ecr.{region}.amazonaws.com{end}")
}

/// Registries are kept apart. Dropping it closes their addresses.
#[derive(Debug)]
pub struct Apart {
    world: Arc<World>,
    // The listeners end when nobody is left who could tell them to stop.
    _stop: watch::Sender<bool>,
}

impl Apart {
    /// Keeps a server's registries apart from now on.
    pub fn keep(world: &Arc<World>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let own = RegistryId {
            account: world.settings.default_account,
            region: world.settings.default_region.clone(),
        };
        let address = world.base_url().trim_start_matches("http://").to_owned();
        let all = vec![(own, address)];
        *world.registries.lock() = Some(Addresses { world: Arc::downgrade(world), stopped, all });
        Self { world: Arc::clone(world), _stop: stop }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        *self.world.registries.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing;

    const OWN: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    const OTHER: &str = "210987654321.dkr.ecr.us-east-1.amazonaws.com";

    #[tokio::test]
    async fn each_registry_has_its_address_and_each_address_its_registry() {
        let bench = testing::world();
        let registries = &bench.world.registries;
        assert_eq!(registries.at_home(OWN), None, "they are not kept apart");
        let apart = Apart::keep(&bench.world);
        assert_eq!(registries.at_home(OWN).as_deref(), Some("127.0.0.1:4566"));
        let other = registries.at_home(OTHER).unwrap();
        assert_ne!(other, "127.0.0.1:4566");
        assert_eq!(registries.at_home(OTHER), Some(other.clone()), "asked for again");
        assert_eq!(registries.at_home("example.com"), None);
        assert_eq!(registries.at(&other).map(|it| name_of(&it)).as_deref(), Some(OTHER));
        let by_name = other.replace("127.0.0.1", "localhost");
        assert_eq!(registries.at(&by_name).map(|it| name_of(&it)).as_deref(), Some(OTHER));
        assert_eq!(registries.at("127.0.0.1:1"), None);
        let text = format!("docker://{other}/web:v1, 127.0.0.1:45661 and 127.0.0.1:4566");
        assert_eq!(registries.named(&text), format!("docker://{OTHER}/web:v1, 127.0.0.1:45661 and {OWN}"));
        drop(apart);
        assert_eq!(registries.at(&other), None, "they are not kept apart any more");
    }
}
