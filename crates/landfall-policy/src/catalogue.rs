//! Which action a call needs, on which resource. One table: `serve` enforces it, `check` demands it.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>

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
    OPERATIONS.iter().find(|known| known.service == service && known.name == operation)?.need
}

/// All operations that are known, by service and name.
pub fn operations() -> &'static [Operation] {
    OPERATIONS
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
        Self::ListTags,
        Self::ListReferrers,
    ];
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
        RegistryCall::AppendUpload => "ecr:UploadLayerPart",
        RegistryCall::FinishUpload => "ecr:CompleteLayerUpload",
        RegistryCall::ListTags => "ecr:ListImages",
    };
    Need { action, resource: ResourceKind::Repository }
}

const fn on(
    service: &'static str,
    name: &'static str,
    action: &'static str,
    resource: ResourceKind,
) -> Operation {
    Operation { service, name, need: Some(Need { action, resource }) }
}

const fn free(service: &'static str, name: &'static str) -> Operation {
    Operation { service, name, need: None }
}

const OPERATIONS: &[Operation] = &[
    on("ecr", "BatchCheckLayerAvailability", "ecr:BatchCheckLayerAvailability", ResourceKind::Repository),
    on("ecr", "BatchDeleteImage", "ecr:BatchDeleteImage", ResourceKind::Repository),
    on("ecr", "BatchGetImage", "ecr:BatchGetImage", ResourceKind::Repository),
    on("ecr", "CompleteLayerUpload", "ecr:CompleteLayerUpload", ResourceKind::Repository),
    on("ecr", "CreatePullThroughCacheRule", "ecr:CreatePullThroughCacheRule", ResourceKind::Any),
    on("ecr", "CreateRepository", "ecr:CreateRepository", ResourceKind::Repository),
    on("ecr", "CreateRepositoryCreationTemplate", "ecr:CreateRepositoryCreationTemplate", ResourceKind::Any),
    on("ecr", "DeleteLifecyclePolicy", "ecr:DeleteLifecyclePolicy", ResourceKind::Repository),
    on("ecr", "DeletePullThroughCacheRule", "ecr:DeletePullThroughCacheRule", ResourceKind::Any),
    on("ecr", "DeleteRegistryPolicy", "ecr:DeleteRegistryPolicy", ResourceKind::Any),
    on("ecr", "DeleteRepository", "ecr:DeleteRepository", ResourceKind::Repository),
    on("ecr", "DeleteRepositoryCreationTemplate", "ecr:DeleteRepositoryCreationTemplate", ResourceKind::Any),
    on("ecr", "DeleteRepositoryPolicy", "ecr:DeleteRepositoryPolicy", ResourceKind::Repository),
    on("ecr", "DeleteSigningConfiguration", "ecr:DeleteSigningConfiguration", ResourceKind::Any),
    on("ecr", "DescribeImageScanFindings", "ecr:DescribeImageScanFindings", ResourceKind::Repository),
    on("ecr", "DescribeImages", "ecr:DescribeImages", ResourceKind::Repository),
    on("ecr", "DescribePullThroughCacheRules", "ecr:DescribePullThroughCacheRules", ResourceKind::Any),
    on("ecr", "DescribeRegistry", "ecr:DescribeRegistry", ResourceKind::Any),
    on("ecr", "DescribeRepositories", "ecr:DescribeRepositories", ResourceKind::Repository),
    on(
        "ecr",
        "DescribeRepositoryCreationTemplates",
        "ecr:DescribeRepositoryCreationTemplates",
        ResourceKind::Any,
    ),
    on("ecr", "GetAccountSetting", "ecr:GetAccountSetting", ResourceKind::Any),
    on("ecr", "GetAuthorizationToken", "ecr:GetAuthorizationToken", ResourceKind::Any),
    on("ecr", "GetDownloadUrlForLayer", "ecr:GetDownloadUrlForLayer", ResourceKind::Repository),
    on("ecr", "GetLifecyclePolicy", "ecr:GetLifecyclePolicy", ResourceKind::Repository),
    on("ecr", "GetLifecyclePolicyPreview", "ecr:GetLifecyclePolicyPreview", ResourceKind::Repository),
    on("ecr", "GetRegistryPolicy", "ecr:GetRegistryPolicy", ResourceKind::Any),
    on("ecr", "GetRepositoryPolicy", "ecr:GetRepositoryPolicy", ResourceKind::Repository),
    on("ecr", "GetSigningConfiguration", "ecr:GetSigningConfiguration", ResourceKind::Any),
    on("ecr", "InitiateLayerUpload", "ecr:InitiateLayerUpload", ResourceKind::Repository),
    // Authorised as the read that it is; the action list has none of its own.
    on("ecr", "ListImageReferrers", "ecr:BatchGetImage", ResourceKind::Repository),
    on("ecr", "ListImages", "ecr:ListImages", ResourceKind::Repository),
    on("ecr", "ListTagsForResource", "ecr:ListTagsForResource", ResourceKind::Repository),
    on("ecr", "PutAccountSetting", "ecr:PutAccountSetting", ResourceKind::Any),
    on("ecr", "PutImage", "ecr:PutImage", ResourceKind::Repository),
    on("ecr", "PutImageScanningConfiguration", "ecr:PutImageScanningConfiguration", ResourceKind::Repository),
    on("ecr", "PutImageTagMutability", "ecr:PutImageTagMutability", ResourceKind::Repository),
    on("ecr", "PutLifecyclePolicy", "ecr:PutLifecyclePolicy", ResourceKind::Repository),
    on("ecr", "PutRegistryPolicy", "ecr:PutRegistryPolicy", ResourceKind::Any),
    on("ecr", "PutReplicationConfiguration", "ecr:PutReplicationConfiguration", ResourceKind::Any),
    on("ecr", "PutSigningConfiguration", "ecr:PutSigningConfiguration", ResourceKind::Any),
    on("ecr", "SetRepositoryPolicy", "ecr:SetRepositoryPolicy", ResourceKind::Repository),
    on("ecr", "StartImageScan", "ecr:StartImageScan", ResourceKind::Repository),
    on("ecr", "StartLifecyclePolicyPreview", "ecr:StartLifecyclePolicyPreview", ResourceKind::Repository),
    on("ecr", "TagResource", "ecr:TagResource", ResourceKind::Repository),
    on("ecr", "UntagResource", "ecr:UntagResource", ResourceKind::Repository),
    on("ecr", "UpdateImageStorageClass", "ecr:UpdateImageStorageClass", ResourceKind::Repository),
    on("ecr", "UpdatePullThroughCacheRule", "ecr:UpdatePullThroughCacheRule", ResourceKind::Any),
    on("ecr", "UpdateRepositoryCreationTemplate", "ecr:UpdateRepositoryCreationTemplate", ResourceKind::Any),
    on("ecr", "UploadLayerPart", "ecr:UploadLayerPart", ResourceKind::Repository),
    on("ecr", "ValidatePullThroughCacheRule", "ecr:ValidatePullThroughCacheRule", ResourceKind::Any),
    on(
        "iam",
        "AddClientIDToOpenIDConnectProvider",
        "iam:AddClientIDToOpenIDConnectProvider",
        ResourceKind::OidcProvider,
    ),
    on("iam", "AttachRolePolicy", "iam:AttachRolePolicy", ResourceKind::Role),
    on("iam", "CreateOpenIDConnectProvider", "iam:CreateOpenIDConnectProvider", ResourceKind::OidcProvider),
    on("iam", "CreatePolicy", "iam:CreatePolicy", ResourceKind::Policy),
    on("iam", "CreatePolicyVersion", "iam:CreatePolicyVersion", ResourceKind::Policy),
    on("iam", "CreateRole", "iam:CreateRole", ResourceKind::Role),
    on("iam", "DeleteOpenIDConnectProvider", "iam:DeleteOpenIDConnectProvider", ResourceKind::OidcProvider),
    on("iam", "DeletePolicy", "iam:DeletePolicy", ResourceKind::Policy),
    on("iam", "DeletePolicyVersion", "iam:DeletePolicyVersion", ResourceKind::Policy),
    on("iam", "DeleteRole", "iam:DeleteRole", ResourceKind::Role),
    on("iam", "DeleteRolePermissionsBoundary", "iam:DeleteRolePermissionsBoundary", ResourceKind::Role),
    on("iam", "DeleteRolePolicy", "iam:DeleteRolePolicy", ResourceKind::Role),
    on("iam", "DetachRolePolicy", "iam:DetachRolePolicy", ResourceKind::Role),
    on("iam", "GetOpenIDConnectProvider", "iam:GetOpenIDConnectProvider", ResourceKind::OidcProvider),
    on("iam", "GetPolicy", "iam:GetPolicy", ResourceKind::Policy),
    on("iam", "GetPolicyVersion", "iam:GetPolicyVersion", ResourceKind::Policy),
    on("iam", "GetRole", "iam:GetRole", ResourceKind::Role),
    on("iam", "GetRolePolicy", "iam:GetRolePolicy", ResourceKind::Role),
    on("iam", "ListAttachedRolePolicies", "iam:ListAttachedRolePolicies", ResourceKind::Role),
    on("iam", "ListEntitiesForPolicy", "iam:ListEntitiesForPolicy", ResourceKind::Policy),
    on("iam", "ListInstanceProfilesForRole", "iam:ListInstanceProfilesForRole", ResourceKind::Role),
    on(
        "iam",
        "ListOpenIDConnectProviderTags",
        "iam:ListOpenIDConnectProviderTags",
        ResourceKind::OidcProvider,
    ),
    on("iam", "ListOpenIDConnectProviders", "iam:ListOpenIDConnectProviders", ResourceKind::Any),
    on("iam", "ListPolicies", "iam:ListPolicies", ResourceKind::Any),
    on("iam", "ListPolicyTags", "iam:ListPolicyTags", ResourceKind::Policy),
    on("iam", "ListPolicyVersions", "iam:ListPolicyVersions", ResourceKind::Policy),
    on("iam", "ListRolePolicies", "iam:ListRolePolicies", ResourceKind::Role),
    on("iam", "ListRoleTags", "iam:ListRoleTags", ResourceKind::Role),
    on("iam", "ListRoles", "iam:ListRoles", ResourceKind::Any),
    on("iam", "PutRolePermissionsBoundary", "iam:PutRolePermissionsBoundary", ResourceKind::Role),
    on("iam", "PutRolePolicy", "iam:PutRolePolicy", ResourceKind::Role),
    on(
        "iam",
        "RemoveClientIDFromOpenIDConnectProvider",
        "iam:RemoveClientIDFromOpenIDConnectProvider",
        ResourceKind::OidcProvider,
    ),
    on("iam", "SetDefaultPolicyVersion", "iam:SetDefaultPolicyVersion", ResourceKind::Policy),
    on("iam", "SimulateCustomPolicy", "iam:SimulateCustomPolicy", ResourceKind::Any),
    on("iam", "SimulatePrincipalPolicy", "iam:SimulatePrincipalPolicy", ResourceKind::Role),
    on("iam", "TagOpenIDConnectProvider", "iam:TagOpenIDConnectProvider", ResourceKind::OidcProvider),
    on("iam", "TagPolicy", "iam:TagPolicy", ResourceKind::Policy),
    on("iam", "TagRole", "iam:TagRole", ResourceKind::Role),
    on("iam", "UntagOpenIDConnectProvider", "iam:UntagOpenIDConnectProvider", ResourceKind::OidcProvider),
    on("iam", "UntagPolicy", "iam:UntagPolicy", ResourceKind::Policy),
    on("iam", "UntagRole", "iam:UntagRole", ResourceKind::Role),
    on("iam", "UpdateAssumeRolePolicy", "iam:UpdateAssumeRolePolicy", ResourceKind::Role),
    on(
        "iam",
        "UpdateOpenIDConnectProviderThumbprint",
        "iam:UpdateOpenIDConnectProviderThumbprint",
        ResourceKind::OidcProvider,
    ),
    on("iam", "UpdateRole", "iam:UpdateRole", ResourceKind::Role),
    on("iam", "UpdateRoleDescription", "iam:UpdateRoleDescription", ResourceKind::Role),
    on("sts", "AssumeRole", "sts:AssumeRole", ResourceKind::Role),
    on("sts", "AssumeRoleWithSAML", "sts:AssumeRoleWithSAML", ResourceKind::Role),
    on("sts", "AssumeRoleWithWebIdentity", "sts:AssumeRoleWithWebIdentity", ResourceKind::Role),
    on("sts", "AssumeRoot", "sts:AssumeRoot", ResourceKind::Any),
    on("sts", "DecodeAuthorizationMessage", "sts:DecodeAuthorizationMessage", ResourceKind::Any),
    on("sts", "GetAccessKeyInfo", "sts:GetAccessKeyInfo", ResourceKind::Any),
    free("sts", "GetCallerIdentity"),
    on("sts", "GetDelegatedAccessToken", "sts:GetDelegatedAccessToken", ResourceKind::Any),
    on("sts", "GetFederationToken", "sts:GetFederationToken", ResourceKind::Any),
    free("sts", "GetSessionToken"),
    on("sts", "GetWebIdentityToken", "sts:GetWebIdentityToken", ResourceKind::Any),
];
