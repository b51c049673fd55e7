//! Everything that the server is made of, in one value that operations are given.

use std::sync::OnceLock;

use landfall_types::{AccountId, Secret, SourceMap};
use tokio::sync::Semaphore;

use crate::apart::Registries;
use crate::blobs::DirBlobs;
use crate::clock::Clock;
use crate::control::Jobs;
use crate::data::DataDir;
use crate::discovery::Discovery;
use crate::door::Doors;
use crate::issuer::Issuers;
use crate::log::DecisionLog;
use crate::policies::{GivenTexts, PolicyCache};
use crate::store::Store;
use crate::vault::Vault;

/// Fills a buffer with random bytes; given by the binary.
pub type FillRandom = fn(&mut [u8]);

/// Calls with a large body (a layer part, the longest manifests) that are in memory at a time. Others wait for their
/// turn before anything of theirs is read.
pub const LARGE_CALLS_MAX: usize = 4;

/// The server's world. Shared by all requests.
#[derive(Debug)]
pub struct World {
    /// Texts that reasons point into: Terraform files, and policies given over the API.
    pub sources: SourceMap,
    /// Records.
    pub store: Store,
    /// Layers and configs of images.
    pub blobs: DirBlobs,
    /// The decision log.
    pub log: DecisionLog,
    /// The issuers that are played here.
    pub issuers: Issuers,
    /// The keys of issuers that are not.
    pub discovery: Discovery,
    /// Further addresses of this server.
    pub doors: Doors,
    /// The addresses of its registries, where they are kept apart.
    pub registries: Registries,
    /// Jobs that may ask for ID tokens.
    pub jobs: Jobs,
    /// Seals what is handed out.
    pub vault: Vault,
    /// Real and pretended time.
    pub clock: Clock,
    /// Policies that are read once and decided on often.
    pub policies: PolicyCache,
    /// Texts that came over the API and that reasons point into.
    pub given: GivenTexts,
    /// What runs ECS tasks.
    pub ecs: crate::ecs::runner::Runner,
    /// The Pod Identity agent of the EKS nodes.
    pub agent: crate::eks::agent::Agent,
    /// Random bytes.
    pub fill_random: FillRandom,
    /// Leave to have a large body of a call in memory; see [`LARGE_CALLS_MAX`].
    pub large_calls: Semaphore,
    /// How this server is set up.
    pub settings: Settings,
    /// The data directory, which is this server's alone while it runs; none when all is in memory.
    pub data: Option<DataDir>,
    /// Where it listens, `http://127.0.0.1:4566`; set once it does.
    pub base_url: OnceLock<String>,
}

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The account of calls that don't say which.
    pub default_account: AccountId,
    /// The region of registry calls that don't say which.
    pub default_region: String,
    /// The root key that is accepted for any account.
    pub root_key: RootKey,
    /// Whether blobs can be mounted from other repositories: ECR's account setting, off unless it was
    /// turned on. <https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html>
    pub blob_mounting: bool,
    /// Which registry is played.
    pub registry: RegistryMode,
}

/// Which registry is played, where ECR and the OCI distribution specification differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RegistryMode {
    /// As ECR does it: no deletion, tags in the order of their pushes, repositories that are made before
    /// they are pushed to, mounts only where the account setting allows them.
    #[default]
    Ecr,
    /// As the specification has it, with what comes after version 1.1 as far as it is written down:
    /// deletion, tags by name, repositories made by the first push to them, mounts, indexes whose images
    /// are elsewhere.
    StrictOci,
}

/// Which root credentials are accepted.
#[derive(Clone, Debug)]
pub enum RootKey {
    /// `test`/`test` for the default account and `<12 digits>`/`test` for any other. Loopback only.
    WellKnown,
    /// One random pair, for servers that others can reach.
    Random {
        /// The access key id.
        access_key_id: String,
        /// The secret key.
        secret: Secret<String>,
    },
}

impl World {
    /// A fresh request id, a version 4 UUID.
    pub fn request_id(&self) -> String {
        landfall_wire::ids::request_id(self.random())
    }

    /// Random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.fill_random)(&mut bytes);
        bytes
    }

    /// Where this server listens, without a trailing slash.
    pub fn base_url(&self) -> &str {
        self.base_url.get().map_or("http://127.0.0.1:4566", String::as_str)
    }
}
