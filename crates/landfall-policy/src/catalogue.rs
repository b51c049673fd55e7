//! What AWS documents of its actions, and which of them a call needs. One catalogue: `serve` enforces
//! it, `check` demands it.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>
//!
//! Two halves. The *needs* say which action is decided on which resource for an API operation
//! ([`need`], and [`further_needs`] for what a call's input adds), for a registry call
//! ([`registry_need`]) and for a command line ([`cli_need`]). The *facts* ([`action`],
//! [`resource_type`], [`condition_key`]) are AWS's own tables, generated into `data/catalogue`.

use landfall_types::{AccountId, Arn};

mod cli;
mod facts;
mod further;
mod operations;
#[cfg(test)]
mod tests;

pub use cli::{ImageHost, cli_names, cli_need, image_host, knows_command};
pub use facts::{
    AccessLevel, ActionFacts, ActionResource, KeyFacts, KeyType, ResourceTypeFacts, action, actions_of,
    condition_key, fits_format, matching, provider_keys, resource_type, resource_types_of, services,
};
pub use further::{Further, When, further_needs};

/// What a call needs before it may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Need {
    /// `ecr:PutImage`.
    pub action: &'static str,
    /// Which resource it is decided on.
    pub resource: ResourceKind,
}

/// What IAM decides the listing of all roles, users, groups or instance profiles of an account on: an ARN without a name.
/// AWS's tables have no resource for these actions; its refusals name this one. None for every other action.
/// <https://github.com/rebuy-de/aws-nuke/issues/294>
pub fn listing(action: &str, account: AccountId) -> Option<Arn> {
    let is = |name: &str| action.eq_ignore_ascii_case(name);
    Some(match () {
        () if is("iam:ListRoles") => Arn::role(account, "/", ""),
        () if is("iam:ListUsers") => Arn::user(account, "/", ""),
        () if is("iam:ListGroups") => Arn::group(account, "/", ""),
        () if is("iam:ListInstanceProfiles") => Arn::instance_profile(account, "/", ""),
        () => return None,
    })
}

/// How the resource of a need is found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResourceKind {
    /// No resource type: `*`.
    Any,
    /// The ECR or ECR Public repository that the call names.
    Repository,
    /// The account's public registry.
    Registry,
    /// The role that the call names, takes or passes on.
    Role,
    /// The OIDC provider that the call names.
    OidcProvider,
    /// The managed policy that the call names.
    Policy,
    /// The IAM role template that the call names.
    RoleTemplate,
    /// The IAM user that the call names; some take the caller when it names none.
    User,
    /// The IAM group that the call names.
    Group,
    /// The instance profile that the call names.
    InstanceProfile,
    /// The SAML provider that the call names.
    SamlProvider,
    /// The server certificate that the call names.
    ServerCertificate,
    /// The MFA device, by its serial number.
    Mfa,
    /// The delegation request that the call names.
    DelegationRequest,
    /// The access report of an organization's entity.
    AccessReport,
    /// The account's root user.
    RootUser,
    /// The federated user that the call names.
    FederatedUser,
    /// The ECS or EKS cluster that the call names; ECS takes `default` when it names none.
    Cluster,
    /// The ECS service, with its cluster.
    Service,
    /// One deployment of an ECS service.
    ServiceDeployment,
    /// One revision of an ECS service.
    ServiceRevision,
    /// The task definition: a family and a revision, `FAMILY:*` while it has none.
    TaskDefinition,
    /// The ECS task, with its cluster.
    Task,
    /// The task set of an ECS service.
    TaskSet,
    /// The container instance; for `ecs:ListTasks` all of the cluster.
    ContainerInstance,
    /// The ECS capacity provider.
    CapacityProvider,
    /// The ECS daemon.
    Daemon,
    /// One deployment of an ECS daemon.
    DaemonDeployment,
    /// One revision of an ECS daemon.
    DaemonRevision,
    /// The task definition of an ECS daemon.
    DaemonTaskDefinition,
    /// The EKS node group.
    Nodegroup,
    /// The EKS add-on.
    Addon,
    /// The EKS access entry.
    AccessEntry,
    /// The EKS capability.
    Capability,
    /// The EKS Anywhere subscription.
    EksAnywhereSubscription,
    /// The EKS Fargate profile.
    FargateProfile,
    /// The identity provider configuration of an EKS cluster.
    IdentityProviderConfig,
    /// The EKS Pod Identity association.
    PodIdentityAssociation,
    /// The CloudWatch alarm that the call names; all of them when it names none.
    Alarm,
    /// The rule that mutes alarms.
    AlarmMuteRule,
    /// The dashboard of CloudWatch.
    Dashboard,
    /// The rule of Contributor Insights.
    InsightRule,
    /// The stream of metrics.
    MetricStream,
    /// The data set of metrics.
    Dataset,
    /// The log group that the call names.
    LogGroup,
    /// The log stream, with its group.
    LogStream,
    /// The delivery of vended logs.
    Delivery,
    /// The source of vended logs.
    DeliverySource,
    /// The destination of vended logs.
    DeliveryDestination,
    /// The destination of subscription filters of other accounts.
    Destination,
    /// The anomaly detector of a log group.
    AnomalyDetector,
    /// The lookup table for queries of logs.
    LookupTable,
    /// The scheduled query of logs.
    ScheduledQuery,
    /// The CodeDeploy application.
    Application,
    /// The CodeDeploy deployment group.
    DeploymentGroup,
    /// The CodeDeploy deployment configuration.
    DeploymentConfig,
    /// The on-premises instance of CodeDeploy.
    Instance,
    /// Whatever the call names by its ARN, as tagging does.
    ByArn,
}

impl ResourceKind {
    /// The name of the resource type in AWS's tables, `task-definition`; none where no type is meant.
    pub fn type_name(self) -> Option<&'static str> {
        Some(match self {
            Self::Any | Self::ByArn => return None,
            Self::Repository => "repository",
            Self::Registry => "registry",
            Self::Role => "role",
            Self::OidcProvider => "oidc-provider",
            Self::Policy => "policy",
            Self::RoleTemplate => "role-template",
            Self::User => "user",
            Self::Group => "group",
            Self::InstanceProfile => "instance-profile",
            Self::SamlProvider => "saml-provider",
            Self::ServerCertificate => "server-certificate",
            Self::Mfa => "mfa",
            Self::DelegationRequest => "delegation-request",
            Self::AccessReport => "access-report",
            Self::RootUser => "root-user",
            Self::FederatedUser => "federated-user",
            Self::Cluster => "cluster",
            Self::Service => "service",
            Self::ServiceDeployment => "service-deployment",
            Self::ServiceRevision => "service-revision",
            Self::TaskDefinition => "task-definition",
            Self::Task => "task",
            Self::TaskSet => "task-set",
            Self::ContainerInstance => "container-instance",
            Self::CapacityProvider => "capacity-provider",
            Self::Daemon => "daemon",
            Self::DaemonDeployment => "daemon-deployment",
            Self::DaemonRevision => "daemon-revision",
            Self::DaemonTaskDefinition => "daemon-task-definition",
            Self::Nodegroup => "nodegroup",
            Self::Addon => "addon",
            Self::AccessEntry => "access-entry",
            Self::Capability => "capability",
            Self::EksAnywhereSubscription => "eks-anywhere-subscription",
            Self::FargateProfile => "fargateprofile",
            Self::IdentityProviderConfig => "identityproviderconfig",
            Self::PodIdentityAssociation => "podidentityassociation",
            Self::Alarm => "alarm",
            Self::AlarmMuteRule => "alarm-mute-rule",
            Self::Dashboard => "dashboard",
            Self::InsightRule => "insight-rule",
            Self::MetricStream => "metric-stream",
            Self::Dataset => "dataset",
            Self::LogGroup => "log-group",
            Self::LogStream => "log-stream",
            Self::Delivery => "delivery",
            Self::DeliverySource => "delivery-source",
            Self::DeliveryDestination => "delivery-destination",
            Self::Destination => "destination",
            Self::AnomalyDetector => "anomaly-detector",
            Self::LookupTable => "lookup-table",
            Self::ScheduledQuery => "scheduled-query",
            Self::Application => "application",
            Self::DeploymentGroup => "deploymentgroup",
            Self::DeploymentConfig => "deploymentconfig",
            Self::Instance => "instance",
        })
    }
}

/// An API operation of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The service's prefix in actions, `ecr`.
    pub service: &'static str,
    /// `PutImage`.
    pub name: &'static str,
    /// What it needs; none when anyone who signs may call it.
    pub need: Option<Need>,
}

/// What an AWS API operation needs: `need("ecr", "PutImage")`. None for operations that need no
/// permission (`sts:GetCallerIdentity`) and for operations not in the table.
pub fn need(service: &str, operation: &str) -> Option<Need> {
    let by_name = |known: &Operation| (known.service, known.name).cmp(&(service, operation));
    let at = operations::ALL.binary_search_by(by_name).ok()?;
    operations::ALL.get(at)?.need
}

/// All operations that are known, by service and name.
pub fn operations() -> &'static [Operation] {
    operations::ALL
}

/// The calls of the OCI distribution protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegistryCall {
    /// `HEAD` or `GET /v2/R/manifests/REF`.
    ReadManifest,
    /// `PUT /v2/R/manifests/REF`.
    PutManifest,
    /// `HEAD /v2/R/blobs/D`.
    CheckBlob,
    /// `GET /v2/R/blobs/D`.
    ReadBlob,
    /// `POST /v2/R/blobs/uploads/`.
    StartUpload,
    /// `PATCH` of an upload.
    AppendUpload,
    /// `PUT` of an upload.
    FinishUpload,
    /// `DELETE` of an upload.
    CancelUpload,
    /// `GET /v2/R/tags/list`.
    ListTags,
    /// `GET /v2/R/referrers/D`.
    ListReferrers,
    /// `GET /v2/_catalog`: on all repositories of the registry.
    ListCatalog,
    /// `DELETE /v2/R/manifests/REF`, which ECR itself refuses to everyone.
    DeleteManifest,
    /// `DELETE /v2/R/blobs/D`, which ECR itself refuses to everyone.
    DeleteBlob,
}

impl RegistryCall {
    /// All calls.
    pub const ALL: &[Self] = &[
        Self::ReadManifest,
        Self::PutManifest,
        Self::CheckBlob,
        Self::ReadBlob,
        Self::StartUpload,
        Self::AppendUpload,
        Self::FinishUpload,
        Self::CancelUpload,
        Self::ListTags,
        Self::ListReferrers,
        Self::ListCatalog,
        Self::DeleteManifest,
        Self::DeleteBlob,
    ];

    /// The calls of which a push consists.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html>
    pub const PUSH: &[Self] = &[
        Self::CheckBlob,
        Self::StartUpload,
        Self::AppendUpload,
        Self::FinishUpload,
        Self::PutManifest,
        Self::ReadManifest,
    ];

    /// The calls of which a pull consists.
    pub const PULL: &[Self] = &[Self::ReadManifest, Self::ReadBlob];
}

/// What a registry call needs on its repository. An upload that is finished with a body needs what
/// appending needs as well.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html>
pub fn registry_need(call: RegistryCall) -> Need {
    let action = match call {
        RegistryCall::ReadManifest | RegistryCall::ListReferrers => "ecr:BatchGetImage",
        RegistryCall::PutManifest => "ecr:PutImage",
        RegistryCall::CheckBlob => "ecr:BatchCheckLayerAvailability",
        RegistryCall::ReadBlob => "ecr:GetDownloadUrlForLayer",
        RegistryCall::StartUpload => "ecr:InitiateLayerUpload",
        // No action of its own is documented: who may send parts may take them back.
        RegistryCall::AppendUpload | RegistryCall::CancelUpload => "ecr:UploadLayerPart",
        RegistryCall::FinishUpload => "ecr:CompleteLayerUpload",
        RegistryCall::ListTags => "ecr:ListImages",
        RegistryCall::ListCatalog => "ecr:DescribeRepositories",
        RegistryCall::DeleteManifest | RegistryCall::DeleteBlob => "ecr:BatchDeleteImage",
    };
    Need { action, resource: ResourceKind::Repository }
}

/// What a registry call needs on its repository in ECR Public; none for what anybody may do, also without a login.
/// <https://docs.aws.amazon.com/AmazonECR/latest/public/public-repositories.html>
pub fn public_registry_need(call: RegistryCall) -> Option<Need> {
    let action = match call {
        RegistryCall::ReadManifest
        | RegistryCall::CheckBlob
        | RegistryCall::ReadBlob
        | RegistryCall::ListTags
        | RegistryCall::ListReferrers => return None,
        RegistryCall::PutManifest => "ecr-public:PutImage",
        RegistryCall::StartUpload => "ecr-public:InitiateLayerUpload",
        RegistryCall::AppendUpload | RegistryCall::CancelUpload => "ecr-public:UploadLayerPart",
        RegistryCall::FinishUpload => "ecr-public:CompleteLayerUpload",
        RegistryCall::ListCatalog => "ecr-public:DescribeRepositories",
        RegistryCall::DeleteManifest | RegistryCall::DeleteBlob => "ecr-public:BatchDeleteImage",
    };
    Some(Need { action, resource: ResourceKind::Repository })
}
