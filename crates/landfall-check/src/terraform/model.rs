//! What a Terraform root module says about keyless deliveries: the typed model that the rest of
//! `check` and the rehearsal build on.

use std::collections::{BTreeMap, BTreeSet};

use landfall_types::{AccountId, Span, Spanned, Tree};

use super::doubts::Doubt;
use super::exclusive::Exclusive;
use super::loose::Loose;

/// What Terraform would learn from outside the files.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The account that the module is applied in.
    pub account: AccountId,
    /// The region of every resource when no `provider "aws"` block says one.
    pub region: String,
    /// Values given on the command line (`--var K=V`) as raw text: taken as it stands for a string
    /// variable, read as an expression for every other type, as Terraform does it.
    pub variables: BTreeMap<String, String>,
    /// Values of the environment (`TF_VAR_…`, without that beginning), read alike. Files of values win over them.
    pub environment: BTreeMap<String, String>,
    /// The workspace that `TF_WORKSPACE` names; without it the one that `terraform workspace select` has written down.
    pub workspace: Option<String>,
}

/// All that was understood of one root module.
///
/// What could not be worked out is unknown and said so: inside a document as
/// [`Node::Unknown`](landfall_types::Node::Unknown), for a name in the resource's `name_unknown`,
/// everywhere else as a finding.
#[derive(Clone, Default, Debug)]
pub struct Infra {
    /// The names of the variables that the root modules declare; of one that can't be read whole all that were given
    /// values.
    pub variables: BTreeSet<String>,
    /// `aws_iam_openid_connect_provider` resources.
    pub providers: Vec<OidcProvider>,
    /// Providers that the modules only look up (`data "aws_iam_openid_connect_provider"`): they exist. Their
    /// client ids are worked out from the trust policies.
    pub looked_up_providers: Vec<OidcProvider>,
    /// `aws_iam_role` resources, each with all that is attached to it.
    pub roles: Vec<Role>,
    /// `aws_iam_user` resources, each with all that is attached to it and its access keys.
    pub users: Vec<User>,
    /// `aws_iam_group` resources, each with all that is attached to it.
    pub groups: Vec<Group>,
    /// Who is in which group.
    pub memberships: Vec<Membership>,
    /// `aws_iam_instance_profile` resources.
    pub instance_profiles: Vec<InstanceProfile>,
    /// `aws_iam_account_alias` resources.
    pub account_aliases: Vec<AccountAlias>,
    /// `aws_iam_service_linked_role` resources.
    pub service_linked_roles: Vec<ServiceLinkedRole>,
    /// `aws_iam_policy` resources.
    pub policies: Vec<CustomerPolicy>,
    /// `aws_ecr_repository` resources.
    pub repositories: Vec<Repository>,
    /// Repositories that are only looked up: they exist.
    pub looked_up_repositories: Vec<Repository>,
    /// What else is said of ECR: tag mutability, scanning, lifecycle policies, and registries.
    pub ecr_calls: Vec<EcrCall>,
    /// `aws_ecs_cluster` resources.
    pub ecs_clusters: Vec<EcsCluster>,
    /// Clusters that are only looked up: they exist.
    pub looked_up_ecs_clusters: Vec<EcsCluster>,
    /// `aws_ecs_capacity_provider` and `aws_ecs_cluster_capacity_providers` resources.
    pub ecs_calls: Vec<EcsCall>,
    /// `aws_ecs_account_setting_default`.
    pub ecs_settings: Vec<EcsSetting>,
    /// `aws_ecs_task_definition` resources.
    pub ecs_task_definitions: Vec<EcsTaskDefinition>,
    /// `aws_ecs_service` resources.
    pub ecs_services: Vec<EcsService>,
    /// `aws_cloudwatch_metric_alarm` resources.
    pub metric_alarms: Vec<MetricAlarm>,
    /// `aws_cloudwatch_log_group` resources.
    pub log_groups: Vec<LogGroup>,
    /// Log groups that a data source looks up and these files don't make: they are made elsewhere.
    pub looked_up_log_groups: Vec<LogGroup>,
    /// `aws_codedeploy_app` and `aws_codedeploy_deployment_group` resources for ECS.
    pub codedeploy_calls: Vec<CodeDeployCall>,
    /// `aws_eks_cluster` resources.
    pub eks_clusters: Vec<EksCluster>,
    /// `aws_eks_pod_identity_association` resources.
    pub pod_identity_associations: Vec<PodIdentityAssociation>,
    /// Resources of the services that the local side has, of kinds that are not read: they are not made.
    pub unread: Vec<Unread>,
    /// Parts whose owner was not in their own root module; empty once all modules are read together.
    pub loose: Vec<Loose>,
    /// Lists that are all that somebody has.
    pub(super) exclusive: Vec<Exclusive>,
    /// What isn't known and can't be seen in the parts above.
    pub doubts: Vec<Doubt>,
    /// The region of the default `provider "aws"` block, where it says one.
    pub region: Option<Spanned<String>>,
    /// The module's outputs.
    pub outputs: Vec<Output>,
}

/// An IAM OIDC provider.
#[derive(Clone, Debug)]
pub struct OidcProvider {
    /// `aws_iam_openid_connect_provider.github`, with `[0]` or `["key"]` behind it for one of many.
    pub address: String,
    /// The issuer's URL as it is written.
    pub url: Spanned<String>,
    /// The audiences that the provider takes.
    pub client_ids: Vec<Spanned<String>>,
    /// The whole `client_id_list`.
    pub client_ids_span: Span,
    /// The thumbprints that are written down; the ones that are looked up are left out.
    pub thumbprints: Vec<String>,
    /// Tags with the provider's `default_tags`, in the order of their keys.
    pub tags: Vec<(String, String)>,
    /// `arn:aws:iam::ACCOUNT:oidc-provider/HOST/PATH`.
    pub arn: String,
    /// The block's header.
    pub span: Span,
}

/// An IAM role with everything that belongs to it.
#[derive(Clone, Debug)]
pub struct Role {
    /// `aws_iam_role.deploy`, with `[0]` or `["key"]` behind it for one of many.
    pub address: String,
    /// The role's name.
    pub name: Spanned<String>,
    /// Why the name isn't known; `name` then holds the resource's label as a stand-in.
    pub name_unknown: Option<String>,
    /// `/` or `/x/`.
    pub path: String,
    /// `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
    pub arn: String,
    /// The description.
    pub description: Option<String>,
    /// The trust policy; every value's span is where that value is written.
    pub trust: Tree,
    /// Seconds, 3600 when absent.
    pub max_session_duration: Option<Spanned<u32>>,
    /// The ARN of the permissions boundary.
    pub boundary: Option<Spanned<String>>,
    /// Inline policies, from `aws_iam_role_policy` and `inline_policy` blocks.
    pub inline: Vec<InlinePolicy>,
    /// Attached managed policies.
    pub attached: Vec<Attachment>,
    /// Tags with the provider's `default_tags`, in the order of their keys.
    pub tags: Vec<(String, String)>,
    /// The block's header.
    pub span: Span,
}

/// An IAM user with everything that belongs to it.
#[derive(Clone, Debug)]
pub struct User {
    /// `aws_iam_user.ci`, with `[0]` or `["key"]` behind it for one of many.
    pub address: String,
    /// The user's name.
    pub name: Spanned<String>,
    /// Why the name isn't known; `name` then holds the resource's label as a stand-in.
    pub name_unknown: Option<String>,
    /// `/` or `/x/`.
    pub path: String,
    /// The ARN of the permissions boundary.
    pub boundary: Option<Spanned<String>>,
    /// Inline policies, from `aws_iam_user_policy`.
    pub inline: Vec<InlinePolicy>,
    /// Attached managed policies.
    pub attached: Vec<Attachment>,
    /// `aws_iam_access_key` resources, each by its block's header.
    pub keys: Vec<Span>,
    /// Tags with the provider's `default_tags`, in the order of their keys.
    pub tags: Vec<(String, String)>,
    /// The block's header.
    pub span: Span,
}

/// An IAM group of users with everything that belongs to it.
#[derive(Clone, Debug)]
pub struct Group {
    /// `aws_iam_group.developers`, with `[0]` or `["key"]` behind it for one of many.
    pub address: String,
    /// The group's name.
    pub name: Spanned<String>,
    /// Why the name isn't known; `name` then holds the resource's label as a stand-in.
    pub name_unknown: Option<String>,
    /// `/` or `/x/`.
    pub path: String,
    /// Inline policies, from `aws_iam_group_policy`.
    pub inline: Vec<InlinePolicy>,
    /// Attached managed policies.
    pub attached: Vec<Attachment>,
    /// The block's header.
    pub span: Span,
}

/// A user in a group, by `aws_iam_group_membership` or `aws_iam_user_group_membership`.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The address of the resource that says it.
    pub address: String,
    /// The user's name.
    pub user: Spanned<String>,
    /// The group's name.
    pub group: Spanned<String>,
    /// The block's header.
    pub span: Span,
}

/// An `aws_iam_instance_profile`.
#[derive(Clone, Debug)]
pub struct InstanceProfile {
    /// `aws_iam_instance_profile.node`.
    pub address: String,
    /// Its name.
    pub name: Spanned<String>,
    /// `/` or `/x/`.
    pub path: String,
    /// The name of its role.
    pub role: Option<Spanned<String>>,
    /// Tags with the provider's `default_tags`, in the order of their keys.
    pub tags: Vec<(String, String)>,
    /// The block's header.
    pub span: Span,
}

/// An `aws_iam_account_alias`.
#[derive(Clone, Debug)]
pub struct AccountAlias {
    /// What the account is called.
    pub alias: Spanned<String>,
    /// The block's header.
    pub span: Span,
}

/// An `aws_iam_service_linked_role`.
#[derive(Clone, Debug)]
pub struct ServiceLinkedRole {
    /// The service, `ecs.amazonaws.com`.
    pub service: Spanned<String>,
    /// What tells it from others of the service.
    pub suffix: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// Tags with the provider's `default_tags`, in the order of their keys.
    pub tags: Vec<(String, String)>,
    /// The block's header.
    pub span: Span,
}

/// A policy that lives in a role, a user or a group.
#[derive(Clone, Debug)]
pub struct InlinePolicy {
    /// Its name.
    pub name: String,
    /// The document.
    pub document: Tree,
    /// The header of the block it comes from.
    pub span: Span,
}

/// A managed policy on a role, a user or a group.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The policy's ARN.
    pub policy_arn: Spanned<String>,
    /// The header of the block it comes from.
    pub span: Span,
}

/// An `aws_iam_policy`.
#[derive(Clone, Debug)]
pub struct CustomerPolicy {
    /// `aws_iam_policy.push`.
    pub address: String,
    /// The policy's name.
    pub name: Spanned<String>,
    /// Why the name isn't known; `name` and `arn` then hold a stand-in.
    pub name_unknown: Option<String>,
    /// `/` or `/x/`.
    pub path: String,
    /// `arn:aws:iam::ACCOUNT:policy/PATH/NAME`.
    pub arn: String,
    /// The description.
    pub description: Option<String>,
    /// The document.
    pub document: Tree,
    /// Tags with the provider's `default_tags`, in the order of their keys.
    pub tags: Vec<(String, String)>,
    /// The block's header.
    pub span: Span,
}

/// An `aws_ecr_repository`.
#[derive(Clone, Debug)]
pub struct Repository {
    /// `aws_ecr_repository.app`.
    pub address: String,
    /// The repository's name.
    pub name: Spanned<String>,
    /// Why the name isn't known; `name` and `arn` then hold a stand-in.
    pub name_unknown: Option<String>,
    /// `arn:aws:ecr:REGION:ACCOUNT:repository/NAME`.
    pub arn: String,
    /// The region it lies in.
    pub region: String,
    /// Whether `image_tag_mutability` is `IMMUTABLE` (or that with exclusions).
    pub immutable_tags: bool,
    /// `encryption_type` and `kms_key` of its `encryption_configuration`.
    pub encryption: Option<(String, Option<String>)>,
    /// The document of its `aws_ecr_repository_policy`.
    pub policy: Option<Tree>,
    /// Tags with the provider's `default_tags`, in the order of their keys.
    pub tags: Vec<(String, String)>,
    /// The block's header.
    pub span: Span,
}

/// A resource that is not read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unread {
    /// `aws_iam_saml_provider.office`, without the key of an instance.
    pub address: String,
    /// The block's header.
    pub span: Span,
}

/// A call of ECR, or of ECR Public, that the provider makes for a resource.
#[derive(Clone, Debug)]
pub struct EcrCall {
    /// `aws_ecr_lifecycle_policy.app`.
    pub address: String,
    /// Whether it is one of ECR Public.
    pub is_public: bool,
    /// The operation, `PutLifecyclePolicy`.
    pub operation: &'static str,
    /// The region of the registry.
    pub region: String,
    /// The input, without what is unknown and without the documents.
    pub input: Tree,
    /// Members of the input that are JSON as text.
    pub documents: Vec<(&'static str, Tree)>,
    /// The block's header.
    pub span: Span,
}

/// An `aws_ecs_cluster`.
#[derive(Clone, Debug)]
pub struct EcsCluster {
    /// Its name.
    pub name: Spanned<String>,
    /// The region it lies in.
    pub region: String,
    /// The input of `CreateCluster`, without what is unknown.
    pub input: Tree,
    /// The block's header.
    pub span: Span,
}

/// A capacity provider, or which of them a cluster has.
#[derive(Clone, Debug)]
pub struct EcsCall {
    /// `CreateCapacityProvider` or `PutClusterCapacityProviders`.
    pub operation: &'static str,
    /// The region it lies in.
    pub region: String,
    /// The call's input, without what is unknown.
    pub input: Tree,
    /// The block's header.
    pub span: Span,
}

/// An `aws_ecs_account_setting_default`.
#[derive(Clone, Debug)]
pub struct EcsSetting {
    /// The setting, `serviceLongArnFormat`.
    pub name: Spanned<String>,
    /// The region that it holds in.
    pub region: String,
    /// The input of `PutAccountSettingDefault`.
    pub input: Tree,
    /// The block's header.
    pub span: Span,
}

/// An `aws_cloudwatch_log_group`.
#[derive(Clone, Debug)]
pub struct LogGroup {
    /// Its name.
    pub name: Spanned<String>,
    /// The region it lies in.
    pub region: String,
    /// The input of `CreateLogGroup`, without what is unknown.
    pub input: Tree,
    /// How long it keeps events, in days; none for ever.
    pub retention_days: Option<Spanned<i64>>,
    /// The block's header.
    pub span: Span,
}

/// An `aws_cloudwatch_metric_alarm`.
#[derive(Clone, Debug)]
pub struct MetricAlarm {
    /// Its name.
    pub name: Spanned<String>,
    /// The region it lies in.
    pub region: String,
    /// The input of `PutMetricAlarm`, without what is unknown.
    pub input: Tree,
    /// The block's header.
    pub span: Span,
}

/// A resource of CodeDeploy, as the call that makes it.
#[derive(Clone, Debug)]
pub struct CodeDeployCall {
    /// `CreateApplication` or `CreateDeploymentGroup`.
    pub operation: &'static str,
    /// The region it lies in.
    pub region: String,
    /// The call's input, without what is unknown.
    pub input: Tree,
    /// The block's header.
    pub span: Span,
}

/// An `aws_ecs_task_definition`.
#[derive(Clone, Debug)]
pub struct EcsTaskDefinition {
    /// Its family.
    pub family: Spanned<String>,
    /// The region it lies in.
    pub region: String,
    /// The input of `RegisterTaskDefinition`, without what is unknown.
    pub input: Tree,
    /// The block's header.
    pub span: Span,
}

/// An `aws_ecs_service`.
#[derive(Clone, Debug)]
pub struct EcsService {
    /// Its name.
    pub name: Spanned<String>,
    /// The region it lies in.
    pub region: String,
    /// The input of `CreateService`, without what is unknown.
    pub input: Tree,
    /// The block's header.
    pub span: Span,
}

/// An `aws_eks_cluster`.
#[derive(Clone, Debug)]
pub struct EksCluster {
    /// Its name.
    pub name: Spanned<String>,
    /// The region it lies in.
    pub region: String,
    /// The input of `CreateCluster`, without what is unknown.
    pub input: Tree,
    /// The block's header.
    pub span: Span,
}

/// An `aws_eks_pod_identity_association`.
#[derive(Clone, Debug)]
pub struct PodIdentityAssociation {
    /// The region it lies in.
    pub region: String,
    /// The input of `CreatePodIdentityAssociation`, without what is unknown.
    pub input: Tree,
    /// The block's header.
    pub span: Span,
}

/// An output of the module.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its value when that is known: text as it is, everything else as JSON.
    pub value: Option<String>,
    /// The block's header.
    pub span: Span,
}
