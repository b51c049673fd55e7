//! The `awslogs` driver: makes the stream of a container, and the group where it is told to, as whoever the driver calls
//! as; and keeps what the container has written when it has ended.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html>

use landfall_wire::error::{AwsError, Protocol, internal};
use serde_json::json;

use super::{Fault, Keys, events, missing, resource_keys, shapes};
use crate::authz::{self, Asked, Permit, log_calls as calls};
use crate::caller::Caller;
use crate::connection::Connection;
use crate::ecs::runner::LogLine;
use crate::store::ecs::Place;
use crate::store::logs::{LogGroup, LogStream, stream_arn};
use crate::store::{Record, StoreError};
use crate::world::World;

/// Where a container's log goes, and who writes it.
pub(crate) struct Destination<'a> {
    /// Who.
    pub(crate) caller: &'a Caller,
    /// How its calls look in conditions.
    pub(crate) connection: &'a Connection,
    /// The account and the region.
    pub(crate) place: Place,
    /// The group.
    pub(crate) group: String,
    /// The stream.
    pub(crate) stream: String,
    /// `awslogs-create-group`.
    pub(crate) creates_group: bool,
    /// The task's id and the container's name.
    pub(crate) container: (String, String),
}

impl Destination<'_> {
    /// Makes the stream, and says under which key it is kept. One that is there is as good.
    ///
    /// # Errors
    /// What the driver says: `failed to create Cloudwatch log stream: …`.
    pub(crate) fn open(&self, world: &World) -> Result<String, String> {
        let first = self.create_stream(world);
        let again = match first {
            Err((error, _)) if error.code == "ResourceNotFoundException" && self.creates_group => {
                self.create_group(world).map_err(|refused| told("group", refused))?;
                self.create_stream(world)
            }
            other => other,
        };
        again.map_err(|refused| told("stream", refused))
    }

    fn authorize<C: authz::Call>(
        &self,
        world: &World,
        resource: String,
        request_id: &str,
    ) -> Result<Permit<C>, AwsError> {
        let mut keys: Keys = self.connection.keys();
        let group = world.store.get::<LogGroup>(&self.place.key(&[&self.group]));
        keys.extend(group.map(|group| resource_keys(&group.tags)).unwrap_or_default());
        let asked = Asked {
            caller: self.caller,
            region: &self.place.region,
            resource,
            resource_account: self.place.account.to_string(),
            resource_policies: &[],
            keys,
            request_id,
        };
        authz::authorize(world, &asked, Protocol::Json11)
    }

    fn create_group(&self, world: &World) -> Result<(), Refused> {
        let id = world.request_id();
        let resource = stream_arn(&self.place, &self.group, "");
        let permit = self.authorize::<calls::CreateLogGroup>(world, resource, &id);
        let _: Permit<_> = permit.map_err(|error| (error, id.clone()))?;
        let group = LogGroup {
            place: self.place.clone(),
            name: self.group.clone(),
            class: "STANDARD".to_owned(),
            kms_key: None,
            retention_days: None,
            is_protected: false,
            created_ms: world.clock.now().0,
            tags: Vec::new(),
        };
        match world.store.write(|writing| writing.insert(group)) {
            Ok(()) | Err(StoreError::Exists) => Ok(()),
            Err(_) => Err((internal(Protocol::Json11), id)),
        }
    }

    fn create_stream(&self, world: &World) -> Result<String, Refused> {
        let id = world.request_id();
        // The names are a task definition's, which may hold any text.
        let named = json!({ "logGroupName": self.group, "logStreamName": self.stream });
        shapes::check("CreateLogStream", &named).map_err(|error| (error, id.clone()))?;
        let resource = stream_arn(&self.place, &self.group, &self.stream);
        let permit = self.authorize::<calls::CreateLogStream>(world, resource.clone(), &id);
        let _: Permit<_> = permit.map_err(|error| (error, id.clone()))?;
        // Asked for once, and not with each line: what may not be written is lost, and the container runs nevertheless.
        let group = world.store.get::<LogGroup>(&self.place.key(&[&self.group]));
        let may_write = group.is_some()
            && self.authorize::<calls::PutLogEvents>(world, resource, &world.request_id()).is_ok();
        let mut stream = LogStream {
            place: self.place.clone(),
            group: self.group.clone(),
            name: self.stream.clone(),
            created_ms: world.clock.now().0,
            batches: 0,
            gone: 0,
            container: may_write.then(|| self.container.clone()),
        };
        let key = stream.key();
        let made = world.store.write(|writing| {
            writing.get::<LogGroup>(&self.place.key(&[&self.group])).ok_or_else(|| missing("log group"))?;
            if let Some(known) = writing.get::<LogStream>(&key) {
                stream = LogStream { container: stream.container.take(), ..(*known).clone() };
            }
            writing.put(stream);
            Ok::<_, Fault>(())
        });
        made.map(|()| key).map_err(|fault| (fault.error(Protocol::Json11), id))
    }
}

/// An error, and the id of its request.
type Refused = (AwsError, String);

/// As the driver tells it (captured).
fn told(what: &str, (error, id): Refused) -> String {
    let AwsError { code, message, status, .. } = error;
    format!(
        "failed to create Cloudwatch log {what}: {code}: {message} status code: {status}, request id: {id}"
    )
}

/// Keeps what a container has written: it has ended, and whoever ran it forgets it. `gone` lines before them are lost.
pub(crate) fn close(world: &World, key: &str, gone: u64, lines: Vec<LogLine>) -> Result<(), StoreError> {
    world.store.write(|writing| {
        let Some(known) = writing.get::<LogStream>(key) else { return Ok(()) };
        if known.container.is_none() {
            return Ok(());
        }
        let mut stream = (*known).clone();
        stream.container = None;
        stream.gone += gone;
        let events = lines.into_iter().map(|line| (line.at_ms(), line.text)).collect();
        events::add(writing, &mut stream, world.clock.now().0, events)?;
        writing.put(stream);
        Ok(())
    })
}

/// Keeps what all containers have written up to now: the server ends, and they with it.
pub(crate) fn close_all(world: &World) {
    for stream in world.store.list::<LogStream>("") {
        if let Some((task, container)) = &stream.container
            && let Some((gone, lines)) = world.ecs.kept_log(task, container)
        {
            // What the disk doesn't take is lost with the containers.
            let _ = close(world, &stream.key(), gone, lines);
        }
    }
}
