//! AWS's managed policies that CI roles use. FACTS section 12: default versions of 2026-08-22.

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

/// The managed policy with this ARN, in any partition.
pub fn by_arn(arn: &str) -> Option<&'static ManagedPolicy> {
    let _ = arn;
    todo!()
}
