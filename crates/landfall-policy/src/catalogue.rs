//! Which action a call needs, on which resource. One table: `serve` enforces it, `check` demands it.

/// What an API operation needs before it may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Need {
    /// `ecr:PutImage`.
    pub action: &'static str,
    /// Which resource it is decided on.
    pub resource: ResourceKind,
}

/// How the resource of a need is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResourceKind {
    /// No resource type: `*`.
    Any,
    /// The ECR repository that the call names.
    Repository,
    /// The role that the call names.
    Role,
    /// The OIDC provider that the call names.
    OidcProvider,
    /// The managed policy that the call names.
    Policy,
}

/// What an AWS API operation needs: `need("ecr", "PutImage")`. None for operations that need no
/// permission (`sts:GetCallerIdentity`) and for operations not in the table.
pub fn need(service: &str, operation: &str) -> Option<Need> {
    let _ = (service, operation);
    todo!()
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
    /// `GET /v2/R/tags/list`.
    ListTags,
    /// `GET /v2/R/referrers/D`.
    ListReferrers,
}

/// What a registry call needs on its repository. FACTS 6.3.
pub fn registry_need(call: RegistryCall) -> Need {
    let _ = call;
    todo!()
}
