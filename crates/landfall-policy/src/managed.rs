//! AWS's managed policies that CI roles use, in their default versions.
//! <https://docs.aws.amazon.com/aws-managed-policy/latest/reference/about-managed-policy-reference.html>

mod documents;

use documents::ALL;

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
