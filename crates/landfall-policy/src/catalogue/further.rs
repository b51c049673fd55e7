//! What a call needs beyond the action of its own name: roles that it passes on, tags that it sets
//! while it creates, and the second resource of actions that are decided on two.

use super::{Need, ResourceKind};

/// A further need of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Further {
    /// The action that brings it along.
    pub with: &'static str,
    /// What is needed.
    pub need: Need,
    /// When it is.
    pub when: When,
    /// The value of `iam:PassedToService` for `iam:PassRole`, where AWS documents it.
    pub passed_to: Option<&'static str>,
}

/// When a further need arises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// With every call.
    Always,
    /// For each role that the call's input names.
    RoleGiven,
    /// When the call's input sets tags. ECS and EKS fill in the key `…:CreateAction` with the operation.
    TagsGiven,
    /// When the call's input has a lifecycle policy.
    LifecyclePolicyGiven,
    /// When the call's input has a repository policy.
    RepositoryPolicyGiven,
    /// When the call or its token sets a source identity.
    SourceIdentityGiven,
}

/// What a call that needs `action` may need besides: `further_needs("ecs:RegisterTaskDefinition")`.
pub fn further_needs(action: &str) -> impl Iterator<Item = &'static Further> {
    ALL.iter().filter(move |further| further.with.eq_ignore_ascii_case(action))
}

/// All of them, for tests.
#[cfg(test)]
pub(super) fn all() -> &'static [Further] {
    ALL
}

/// The same action on the second resource that AWS's table demands.
const fn also(with: &'static str, resource: ResourceKind) -> Further {
    Further { with, need: Need { action: with, resource }, when: When::Always, passed_to: None }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>
const fn passes(with: &'static str, to: Option<&'static str>) -> Further {
    let need = Need { action: "iam:PassRole", resource: ResourceKind::Role };
    Further { with, need, when: When::RoleGiven, passed_to: to }
}

/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/supported-iam-actions-tagging.html>
const fn tags(with: &'static str, action: &'static str, resource: ResourceKind) -> Further {
    Further { with, need: Need { action, resource }, when: When::TagsGiven, passed_to: None }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html>
const fn source_identity(with: &'static str) -> Further {
    let need = Need { action: "sts:SetSourceIdentity", resource: ResourceKind::Role };
    Further { with, need, when: When::SourceIdentityGiven, passed_to: None }
}

/// What a repository creation template does in its author's name.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-creation-templates-create.html#repository-creation-templates-iam>
const fn makes(with: &'static str, action: &'static str, when: When) -> Further {
    Further { with, need: Need { action, resource: ResourceKind::Repository }, when, passed_to: None }
}

const ECS: Option<&str> = Some("ecs.amazonaws.com");
const TASKS: Option<&str> = Some("ecs-tasks.amazonaws.com");
const ECR: Option<&str> = Some("ecr.amazonaws.com");
const CODEDEPLOY: Option<&str> = Some("codedeploy.amazonaws.com");
const PODS: Option<&str> = Some("pods.eks.amazonaws.com");

const ALL: &[Further] = &[
    passes("codedeploy:CreateDeploymentGroup", CODEDEPLOY),
    passes("codedeploy:UpdateDeploymentGroup", CODEDEPLOY),
    tags("cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", ResourceKind::Alarm),
    tags("ecr:CreateRepository", "ecr:TagResource", ResourceKind::Repository),
    tags("ecr-public:CreateRepository", "ecr-public:TagResource", ResourceKind::Repository),
    // <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-creation-templates-iam.html>
    passes("ecr:CreateRepositoryCreationTemplate", ECR),
    passes("ecr:UpdateRepositoryCreationTemplate", ECR),
    makes("ecr:CreateRepositoryCreationTemplate", "ecr:CreateRepository", When::Always),
    makes("ecr:CreateRepositoryCreationTemplate", "ecr:PutLifecyclePolicy", When::LifecyclePolicyGiven),
    makes("ecr:CreateRepositoryCreationTemplate", "ecr:SetRepositoryPolicy", When::RepositoryPolicyGiven),
    makes("ecr:UpdateRepositoryCreationTemplate", "ecr:CreateRepository", When::Always),
    makes("ecr:UpdateRepositoryCreationTemplate", "ecr:PutLifecyclePolicy", When::LifecyclePolicyGiven),
    makes("ecr:UpdateRepositoryCreationTemplate", "ecr:SetRepositoryPolicy", When::RepositoryPolicyGiven),
    // <https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html>
    Further {
        with: "ecr-public:GetAuthorizationToken",
        need: Need { action: "sts:GetServiceBearerToken", resource: ResourceKind::Any },
        when: When::Always,
        passed_to: None,
    },
    also("ecs:ContinueServiceDeployment", ResourceKind::ServiceDeployment),
    also("ecs:DescribeDaemonDeployments", ResourceKind::DaemonDeployment),
    also("ecs:DescribeDaemonRevisions", ResourceKind::DaemonRevision),
    also("ecs:DescribeServiceDeployments", ResourceKind::ServiceDeployment),
    also("ecs:DescribeServiceRevisions", ResourceKind::ServiceRevision),
    also("ecs:ExecuteCommand", ResourceKind::Task),
    also("ecs:StopServiceDeployment", ResourceKind::ServiceDeployment),
    // Task and execution role of the definition, or of the overrides of a task.
    passes("ecs:RegisterTaskDefinition", TASKS),
    passes("ecs:RegisterDaemonTaskDefinition", TASKS),
    passes("ecs:RunTask", TASKS),
    passes("ecs:StartTask", TASKS),
    // Roles for load balancers, volumes and hooks.
    passes("ecs:CreateService", ECS),
    passes("ecs:UpdateService", ECS),
    // The execution and task role go to the tasks, the infrastructure role to ECS.
    passes("ecs:CreateExpressGatewayService", TASKS),
    passes("ecs:CreateExpressGatewayService", ECS),
    passes("ecs:UpdateExpressGatewayService", TASKS),
    passes("ecs:CreateGateway", ECS),
    passes("ecs:UpdateGateway", ECS),
    tags("ecs:CreateCapacityProvider", "ecs:TagResource", ResourceKind::CapacityProvider),
    tags("ecs:CreateCluster", "ecs:TagResource", ResourceKind::Cluster),
    tags("ecs:CreateDaemon", "ecs:TagResource", ResourceKind::Daemon),
    tags("ecs:CreateExpressGatewayService", "ecs:TagResource", ResourceKind::Service),
    tags("ecs:CreateService", "ecs:TagResource", ResourceKind::Service),
    tags("ecs:CreateTaskSet", "ecs:TagResource", ResourceKind::TaskSet),
    tags("ecs:RegisterContainerInstance", "ecs:TagResource", ResourceKind::ContainerInstance),
    tags("ecs:RegisterDaemonTaskDefinition", "ecs:TagResource", ResourceKind::DaemonTaskDefinition),
    tags("ecs:RegisterTaskDefinition", "ecs:TagResource", ResourceKind::TaskDefinition),
    tags("ecs:RunTask", "ecs:TagResource", ResourceKind::Task),
    tags("ecs:StartTask", "ecs:TagResource", ResourceKind::Task),
    passes("eks:CreateAddon", PODS),
    passes("eks:CreateCapability", None),
    passes("eks:CreateCluster", Some("eks.amazonaws.com")),
    passes("eks:CreateFargateProfile", None),
    passes("eks:CreateNodegroup", None),
    passes("eks:CreatePodIdentityAssociation", PODS),
    passes("eks:UpdateAddon", PODS),
    passes("eks:UpdatePodIdentityAssociation", PODS),
    tags("eks:CreateAccessEntry", "eks:TagResource", ResourceKind::AccessEntry),
    tags("eks:CreateAddon", "eks:TagResource", ResourceKind::Addon),
    tags("eks:CreateCapability", "eks:TagResource", ResourceKind::Capability),
    tags("eks:CreateCluster", "eks:TagResource", ResourceKind::Cluster),
    tags("eks:CreateEksAnywhereSubscription", "eks:TagResource", ResourceKind::EksAnywhereSubscription),
    tags("eks:CreateFargateProfile", "eks:TagResource", ResourceKind::FargateProfile),
    tags("eks:CreateNodegroup", "eks:TagResource", ResourceKind::Nodegroup),
    tags("eks:CreatePodIdentityAssociation", "eks:TagResource", ResourceKind::PodIdentityAssociation),
    tags("eks:RegisterCluster", "eks:TagResource", ResourceKind::Cluster),
    passes("iam:AddRoleToInstanceProfile", None),
    tags("iam:CreateInstanceProfile", "iam:TagInstanceProfile", ResourceKind::InstanceProfile),
    tags("iam:CreateOpenIDConnectProvider", "iam:TagOpenIDConnectProvider", ResourceKind::OidcProvider),
    tags("iam:CreatePolicy", "iam:TagPolicy", ResourceKind::Policy),
    tags("iam:CreateRole", "iam:TagRole", ResourceKind::Role),
    tags("iam:CreateSAMLProvider", "iam:TagSAMLProvider", ResourceKind::SamlProvider),
    tags("iam:CreateUser", "iam:TagUser", ResourceKind::User),
    tags("iam:CreateVirtualMFADevice", "iam:TagMFADevice", ResourceKind::Mfa),
    tags("iam:UploadServerCertificate", "iam:TagServerCertificate", ResourceKind::ServerCertificate),
    also("logs:CreateDelivery", ResourceKind::DeliverySource),
    also("logs:CreateDelivery", ResourceKind::DeliveryDestination),
    also("logs:UpdateDeliveryConfiguration", ResourceKind::DeliverySource),
    also("logs:UpdateDeliveryConfiguration", ResourceKind::DeliveryDestination),
    tags("logs:CreateLogGroup", "logs:TagResource", ResourceKind::LogGroup),
    passes("logs:PutDestination", None),
    passes("logs:PutSubscriptionFilter", None),
    tags("sts:AssumeRole", "sts:TagSession", ResourceKind::Role),
    tags("sts:AssumeRoleWithSAML", "sts:TagSession", ResourceKind::Role),
    tags("sts:AssumeRoleWithWebIdentity", "sts:TagSession", ResourceKind::Role),
    source_identity("sts:AssumeRole"),
    source_identity("sts:AssumeRoleWithSAML"),
    source_identity("sts:AssumeRoleWithWebIdentity"),
];
