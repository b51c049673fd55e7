//! The records of the AWS side, in the domain's words: [`records`] keeps anything, and one file for each
//! service says what it keeps and how it is found.
//!
//! Records are handed out as shared snapshots: a reader keeps what it read while a writer replaces it.

pub mod cloudwatch;
pub mod codedeploy;
pub mod disk;
mod documents;
mod ecr;
mod ecr_settings;
pub mod ecs;
pub mod eks;
mod garbage;
mod iam;
pub mod leases;
pub mod logs;
pub mod principals;
pub mod records;
pub mod text;
mod users;

use landfall_wire::error::{AwsError, Protocol};

pub use documents::{Document, UnknownPart};
pub use ecr::{Content, Deleted, Image, Missing, Put, Reference, RegistryId, Removed, Repository};
pub use ecr_settings::{
    Backfill, CreationTemplate, Destination, Encryption, Filter, ImageHistory, LayerParts, Lifecycle,
    LifecyclePreview, PreviewResult, PullThroughRule, RegistrySettings, Replica, ReplicationRule,
    RepositorySettings, Scanning, ScanningRule, TagMutability, in_registry, within_registry,
};
pub use iam::{AttachedPolicy, CustomerPolicy, PolicyVersion, Provider, ProviderSpans, Role};
#[cfg(test)]
pub(crate) use records::tests::Gate;
pub(crate) use records::waiting;
pub use records::{Kind, Reads, Record, Store, StoreError, Writing};
pub use users::{AccessKey, AccountAlias, Group, InstanceProfile, LastUse, RoleDeletion, User};

/// Every kind of record that this version knows.
pub const KINDS: &[Kind] = &[
    Kind::of::<Provider>(),
    Kind::of::<Role>(),
    Kind::of::<CustomerPolicy>(),
    Kind::of::<User>(),
    Kind::of::<Group>(),
    Kind::of::<AccessKey>(),
    Kind::of::<InstanceProfile>(),
    Kind::of::<AccountAlias>(),
    Kind::of::<LastUse>(),
    Kind::of::<RoleDeletion>(),
    Kind::of::<Repository>(),
    Kind::of::<ecr::HeldBlob>(),
    Kind::of::<ecr::HeldImage>(),
    Kind::of::<ecr::HeldTag>(),
    Kind::of::<ecr_settings::HeldHistory>(),
    Kind::of::<LifecyclePreview>(),
    Kind::of::<RegistrySettings>(),
    Kind::of::<CreationTemplate>(),
    Kind::of::<PullThroughRule>(),
    Kind::of::<Backfill>(),
    Kind::of::<LayerParts>(),
    Kind::of::<cloudwatch::Alarm>(),
    Kind::of::<codedeploy::Application>(),
    Kind::of::<codedeploy::Group>(),
    Kind::of::<codedeploy::DeploymentConfig>(),
    Kind::of::<codedeploy::Revision>(),
    Kind::of::<codedeploy::Deployment>(),
    Kind::of::<ecs::Cluster>(),
    Kind::of::<ecs::TaskDefinition>(),
    Kind::of::<ecs::Family>(),
    Kind::of::<ecs::Service>(),
    Kind::of::<ecs::ServiceRevision>(),
    Kind::of::<ecs::ServiceDeployment>(),
    Kind::of::<ecs::TaskSet>(),
    Kind::of::<ecs::Task>(),
    Kind::of::<ecs::RunToken>(),
    Kind::of::<ecs::Setting>(),
    Kind::of::<ecs::CapacityProvider>(),
    Kind::of::<eks::EksCluster>(),
    Kind::of::<eks::PodIdentityAssociation>(),
    Kind::of::<logs::LogGroup>(),
    Kind::of::<logs::LogStream>(),
    Kind::of::<logs::LogBatch>(),
];

impl StoreError {
    /// The error for the client: `expected` says what a record that exists or is missing means to the
    /// call, and what the disk says is the server's own failure.
    pub fn or(self, protocol: Protocol, expected: impl FnOnce() -> AwsError) -> AwsError {
        match self {
            Self::Exists | Self::Missing => expected(),
            Self::Disk(_) => landfall_wire::error::internal(protocol),
        }
    }
}
