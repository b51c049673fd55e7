//! AWS's managed policies that CI roles use: the default versions of 2026-08-22.
//! <https://docs.aws.amazon.com/aws-managed-policy/latest/reference/about-managed-policy-reference.html>

/// A managed policy's document.
#[derive(Clone, Copy, Debug)]
pub struct ManagedPolicy {
    /// Path and name below `arn:PARTITION:iam::aws:policy`, such as `/service-role/AmazonECSTaskExecutionRolePolicy`.
    pub path_and_name: &'static str,
    /// `v3`.
    pub version: &'static str,
    /// When that version was made, `2019-12-10`.
    pub created: &'static str,
    /// The document.
    pub json: &'static str,
}

impl ManagedPolicy {
    /// The name without its path.
    pub fn name(&self) -> &'static str {
        self.path_and_name.rsplit('/').next().unwrap_or(self.path_and_name)
    }
}

/// The managed policy with this ARN, in any partition.
pub fn by_arn(arn: &str) -> Option<&'static ManagedPolicy> {
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next();
    let (prefix, partition, service, region, account) = (next()?, next()?, next()?, next()?, next()?);
    let path_and_name = next()?.strip_prefix("policy")?;
    let is_managed =
        prefix == "arn" && !partition.is_empty() && (service, region, account) == ("iam", "", "aws");
    ALL.iter().find(|policy| is_managed && policy.path_and_name == path_and_name)
}

/// All managed policies that are known here.
pub fn all() -> &'static [ManagedPolicy] {
    ALL
}

const ALL: &[ManagedPolicy] = &[
    ManagedPolicy {
        path_and_name: "/AdministratorAccess",
        version: "v1",
        created: "2015-02-06",
        json: include_str!("../data/managed/AdministratorAccess.json"),
    },
    ManagedPolicy {
        path_and_name: "/PowerUserAccess",
        version: "v12",
        created: "2026-02-12",
        json: include_str!("../data/managed/PowerUserAccess.json"),
    },
    ManagedPolicy {
        path_and_name: "/AmazonEC2ContainerRegistryFullAccess",
        version: "v3",
        created: "2020-12-05",
        json: include_str!("../data/managed/AmazonEC2ContainerRegistryFullAccess.json"),
    },
    ManagedPolicy {
        path_and_name: "/AmazonEC2ContainerRegistryPowerUser",
        version: "v3",
        created: "2019-12-10",
        json: include_str!("../data/managed/AmazonEC2ContainerRegistryPowerUser.json"),
    },
    ManagedPolicy {
        path_and_name: "/AmazonEC2ContainerRegistryReadOnly",
        version: "v3",
        created: "2019-12-10",
        json: include_str!("../data/managed/AmazonEC2ContainerRegistryReadOnly.json"),
    },
    ManagedPolicy {
        path_and_name: "/AmazonEC2ContainerRegistryPullOnly",
        version: "v1",
        created: "2024-10-04",
        json: include_str!("../data/managed/AmazonEC2ContainerRegistryPullOnly.json"),
    },
    ManagedPolicy {
        path_and_name: "/AmazonElasticContainerRegistryPublicFullAccess",
        version: "v1",
        created: "2020-12-01",
        json: include_str!("../data/managed/AmazonElasticContainerRegistryPublicFullAccess.json"),
    },
    ManagedPolicy {
        path_and_name: "/AmazonElasticContainerRegistryPublicPowerUser",
        version: "v1",
        created: "2020-12-01",
        json: include_str!("../data/managed/AmazonElasticContainerRegistryPublicPowerUser.json"),
    },
    ManagedPolicy {
        path_and_name: "/AmazonElasticContainerRegistryPublicReadOnly",
        version: "v1",
        created: "2020-12-01",
        json: include_str!("../data/managed/AmazonElasticContainerRegistryPublicReadOnly.json"),
    },
    ManagedPolicy {
        path_and_name: "/service-role/AmazonECSTaskExecutionRolePolicy",
        version: "v1",
        created: "2017-11-16",
        json: include_str!("../data/managed/AmazonECSTaskExecutionRolePolicy.json"),
    },
    ManagedPolicy {
        path_and_name: "/AmazonECS_FullAccess",
        version: "v21",
        created: "2024-08-13",
        json: include_str!("../data/managed/AmazonECS_FullAccess.json"),
    },
    ManagedPolicy {
        path_and_name: "/AmazonECSInfrastructureRolePolicyForLoadBalancers",
        version: "v6",
        created: "2026-02-12",
        json: include_str!("../data/managed/AmazonECSInfrastructureRolePolicyForLoadBalancers.json"),
    },
    ManagedPolicy {
        path_and_name: "/AWSCodeDeployRoleForECS",
        version: "v3",
        created: "2019-09-23",
        json: include_str!("../data/managed/AWSCodeDeployRoleForECS.json"),
    },
    ManagedPolicy {
        path_and_name: "/AmazonEKSWorkerNodePolicy",
        version: "v3",
        created: "2023-11-27",
        json: include_str!("../data/managed/AmazonEKSWorkerNodePolicy.json"),
    },
    ManagedPolicy {
        path_and_name: "/AmazonEKSWorkerNodeMinimalPolicy",
        version: "v1",
        created: "2024-10-02",
        json: include_str!("../data/managed/AmazonEKSWorkerNodeMinimalPolicy.json"),
    },
    ManagedPolicy {
        path_and_name: "/IAMFullAccess",
        version: "v2",
        created: "2019-06-21",
        json: include_str!("../data/managed/IAMFullAccess.json"),
    },
];
