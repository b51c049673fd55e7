//! Service-linked roles: which services have one, what it is called, and which of AWS's policies it has.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html>

/// The path of every service-linked role begins so.
pub const PATH: &str = "/aws-service-role/";

/// A service that has a role of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceLinked {
    /// `ecs.amazonaws.com`.
    pub service: &'static str,
    /// The role's name, `AWSServiceRoleForECS`.
    pub role: &'static str,
    /// The name of its policy, below `arn:aws:iam::aws:policy/aws-service-role/`.
    pub policy: &'static str,
    /// Whether there can be several, told apart by a suffix.
    pub has_suffix: bool,
}

impl ServiceLinked {
    /// The name of its role, with the suffix that tells it from others.
    pub fn role_name(&self, suffix: Option<&str>) -> String {
        suffix.map_or_else(|| self.role.to_owned(), |suffix| format!("{}_{suffix}", self.role))
    }
}

/// The service of a name, when it has a role that is known here.
pub fn by_service(service: &str) -> Option<&'static ServiceLinked> {
    ALL.iter().find(|linked| linked.service == service)
}

/// The path of a service's role: `/aws-service-role/ecs.amazonaws.com/`.
pub fn path(service: &str) -> String {
    format!("{PATH}{service}/")
}

const fn linked(service: &'static str, role: &'static str, policy: &'static str) -> ServiceLinked {
    ServiceLinked { service, role, policy, has_suffix: false }
}

/// The services that containers are delivered with.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_aws-services-that-work-with-iam.html>
const ALL: &[ServiceLinked] = &[
    linked("ecs.amazonaws.com", "AWSServiceRoleForECS", "AmazonECSServiceRolePolicy"),
    linked("ecs-compute.amazonaws.com", "AWSServiceRoleForECSCompute", "AmazonECSComputeServiceRolePolicy"),
    linked(
        "ecs.application-autoscaling.amazonaws.com",
        "AWSServiceRoleForApplicationAutoScaling_ECSService",
        "AWSApplicationAutoscalingECSServicePolicy",
    ),
    linked(
        "elasticloadbalancing.amazonaws.com",
        "AWSServiceRoleForElasticLoadBalancing",
        "AWSElasticLoadBalancingServiceRolePolicy",
    ),
    ServiceLinked {
        service: "autoscaling.amazonaws.com",
        role: "AWSServiceRoleForAutoScaling",
        policy: "AutoScalingServiceRolePolicy",
        has_suffix: true,
    },
    linked(
        "replication.ecr.amazonaws.com",
        "AWSServiceRoleForECRReplication",
        "ECRReplicationServiceRolePolicy",
    ),
    linked(
        "pullthroughcache.ecr.amazonaws.com",
        "AWSServiceRoleForECRPullThroughCache",
        "AWSECRPullThroughCache_ServiceRolePolicy",
    ),
    linked("eks.amazonaws.com", "AWSServiceRoleForAmazonEKS", "AmazonEKSServiceRolePolicy"),
    linked(
        "eks-nodegroup.amazonaws.com",
        "AWSServiceRoleForAmazonEKSNodegroup",
        "AWSServiceRoleForAmazonEKSNodegroup",
    ),
    linked(
        "eks-fargate.amazonaws.com",
        "AWSServiceRoleForAmazonEKSForFargate",
        "AmazonEKSForFargateServiceRolePolicy",
    ),
    linked("spot.amazonaws.com", "AWSServiceRoleForEC2Spot", "AWSEC2SpotServiceRolePolicy"),
    linked("spotfleet.amazonaws.com", "AWSServiceRoleForEC2SpotFleet", "AWSEC2SpotFleetServiceRolePolicy"),
];
