//! AWS's managed policies that CI roles use, in their default versions.
//! <https://docs.aws.amazon.com/aws-managed-policy/latest/reference/about-managed-policy-reference.html>

mod documents;

use documents::ALL;

use crate::service_principals::changes;

/// Most letters of a name, and of its path (the model of IAM).
const NAME_BYTES_MAX: usize = 128;
/// As above.
const PATH_BYTES_MAX: usize = 512;
/// Letters by which a slip differs from what was meant.
const SLIP_MAX: usize = 2;

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

/// Path and name of what an ARN says is a policy of AWS's, in any partition.
pub fn path_and_name(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next();
    let (prefix, partition, service, region, account) = (next()?, next()?, next()?, next()?, next()?);
    let path_and_name = next()?.strip_prefix("policy")?;
    let is_managed =
        prefix == "arn" && !partition.is_empty() && (service, region, account) == ("iam", "", "aws");
    is_managed.then_some(path_and_name)
}

/// The managed policy with this ARN, in any partition.
pub fn by_arn(arn: &str) -> Option<&'static ManagedPolicy> {
    let path_and_name = path_and_name(arn)?;
    ALL.iter().find(|policy| policy.path_and_name == path_and_name)
}

/// The known policy of AWS's that has the name in an ARN, whatever the ARN's path and letters: names are told apart by
/// neither (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>), so that no other has it.
pub fn of_name_in(arn: &str) -> Option<&'static ManagedPolicy> {
    let name = path_and_name(arn)?.rsplit('/').next()?;
    ALL.iter().find(|policy| policy.name().eq_ignore_ascii_case(name))
}

/// Whether an ARN is one of AWS's managed policies as far as can be told, and none of those that are known here. AWS
/// has over a thousand.
pub fn is_not_known(arn: &str) -> bool {
    let Some((path, name)) = path_and_name(arn).and_then(|path_and_name| path_and_name.rsplit_once('/'))
    else {
        return false;
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    let is_path =
        (path.is_empty() || path.starts_with('/')) && path.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
    let is_within = (1..=NAME_BYTES_MAX).contains(&name.len()) && path.len() < PATH_BYTES_MAX;
    is_within && is_path && name.bytes().all(is_name) && of_name_in(arn).is_none()
}

/// The name of a known policy that one which isn't known may be a slip of.
pub fn nearest(arn: &str) -> Option<&'static str> {
    let name = path_and_name(arn)?.rsplit('/').next().filter(|name| name.len() <= NAME_BYTES_MAX)?;
    let near = ALL.iter().map(|policy| (changes(name, policy.name()), policy.name()));
    near.filter(|(changes, _)| *changes <= SLIP_MAX).min_by_key(|(changes, _)| *changes).map(|(_, name)| name)
}

/// All managed policies that are known here.
pub fn all() -> &'static [ManagedPolicy] {
    ALL
}
