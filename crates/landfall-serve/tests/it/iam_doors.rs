//! The doors of IAM, in an order in which each works in the world of [`furnish`].

use landfall_serve::store::RoleDeletion;

use crate::bench::{Bench, trust};
use crate::client::Reply;
use crate::doors::{Door, door};

const ROLE: &str = "arn:aws:iam::123456789012:role/team/target";
const USER: &str = "arn:aws:iam::123456789012:user/team/target";
const GROUP: &str = "arn:aws:iam::123456789012:group/target";
const PROFILE: &str = "arn:aws:iam::123456789012:instance-profile/target";
pub const POLICY: &str = "arn:aws:iam::123456789012:policy/target";
const FREE_POLICY: &str = "arn:aws:iam::123456789012:policy/free";
const PROVIDER: &str = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com";
const READ_ONLY: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}"#;

const fn iam(operation: &'static str, resource: &'static str, input: &'static [&'static str]) -> Door {
    door("iam", operation, resource, input)
}

/// A door behind which there is nothing: what it leads to doesn't exist here.
const fn empty(operation: &'static str, resource: &'static str, input: &'static [&'static str]) -> Door {
    Door { status: 404, ..iam(operation, resource, input) }
}

pub const DOORS: &[Door] = &[
    iam(
        "CreateOpenIDConnectProvider",
        "arn:aws:iam::123456789012:oidc-provider/gitlab.com",
        &["Url=https://gitlab.com"],
    ),
    iam("GetOpenIDConnectProvider", PROVIDER, &["OpenIDConnectProviderArn=${provider}"]),
    iam("ListOpenIDConnectProviders", "*", &[]),
    iam(
        "AddClientIDToOpenIDConnectProvider",
        PROVIDER,
        &["OpenIDConnectProviderArn=${provider}", "ClientID=other"],
    ),
    iam(
        "RemoveClientIDFromOpenIDConnectProvider",
        PROVIDER,
        &["OpenIDConnectProviderArn=${provider}", "ClientID=other"],
    ),
    iam(
        "UpdateOpenIDConnectProviderThumbprint",
        PROVIDER,
        &[
            "OpenIDConnectProviderArn=${provider}",
            "ThumbprintList.member.1=6938fd4d98bab03faadb97b34396831e3780aea1",
        ],
    ),
    iam(
        "TagOpenIDConnectProvider",
        PROVIDER,
        &["OpenIDConnectProviderArn=${provider}", "Tags.member.1.Key=a", "Tags.member.1.Value=b"],
    ),
    iam(
        "UntagOpenIDConnectProvider",
        PROVIDER,
        &["OpenIDConnectProviderArn=${provider}", "TagKeys.member.1=a"],
    ),
    iam("ListOpenIDConnectProviderTags", PROVIDER, &["OpenIDConnectProviderArn=${provider}"]),
    iam("DeleteOpenIDConnectProvider", PROVIDER, &["OpenIDConnectProviderArn=${provider}"]),
    // Roles.
    iam(
        "CreateRole",
        "arn:aws:iam::123456789012:role/new",
        &["RoleName=new", "AssumeRolePolicyDocument=${trust}"],
    ),
    iam("GetRole", ROLE, &["RoleName=target"]),
    iam("ListRoles", "arn:aws:iam::123456789012:role/", &[]),
    iam("UpdateRole", ROLE, &["RoleName=target", "MaxSessionDuration=7200"]),
    iam("UpdateRoleDescription", ROLE, &["RoleName=target", "Description=deploys"]),
    iam("UpdateAssumeRolePolicy", ROLE, &["RoleName=target", "PolicyDocument=${trust}"]),
    iam("PutRolePolicy", ROLE, &["RoleName=target", "PolicyName=p", "PolicyDocument=${policy}"]),
    iam("GetRolePolicy", ROLE, &["RoleName=target", "PolicyName=only"]),
    iam("ListRolePolicies", ROLE, &["RoleName=target"]),
    iam("DeleteRolePolicy", ROLE, &["RoleName=target", "PolicyName=only"]),
    iam("AttachRolePolicy", ROLE, &["RoleName=target", "PolicyArn=${spare}"]),
    iam("ListAttachedRolePolicies", ROLE, &["RoleName=target"]),
    iam("DetachRolePolicy", ROLE, &["RoleName=target", "PolicyArn=${attached}"]),
    iam("PutRolePermissionsBoundary", ROLE, &["RoleName=target", "PermissionsBoundary=${spare}"]),
    iam("DeleteRolePermissionsBoundary", ROLE, &["RoleName=target"]),
    iam("TagRole", ROLE, &["RoleName=target", "Tags.member.1.Key=a", "Tags.member.1.Value=b"]),
    iam("UntagRole", ROLE, &["RoleName=target", "TagKeys.member.1=a"]),
    iam("ListRoleTags", ROLE, &["RoleName=target"]),
    iam("DeleteRole", "arn:aws:iam::123456789012:role/bare", &["RoleName=bare"]),
    iam(
        "CreateServiceLinkedRole",
        "arn:aws:iam::123456789012:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
        &["AWSServiceName=ecs.amazonaws.com"],
    ),
    iam(
        "DeleteServiceLinkedRole",
        "arn:aws:iam::123456789012:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot",
        &["RoleName=AWSServiceRoleForEC2Spot"],
    ),
    iam(
        "GetServiceLinkedRoleDeletionStatus",
        "arn:aws:iam::123456789012:role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS",
        &["DeletionTaskId=${task}"],
    ),
    // Policies.
    iam(
        "CreatePolicy",
        "arn:aws:iam::123456789012:policy/x/new",
        &["PolicyName=new", "Path=/x/", "PolicyDocument=${policy}"],
    ),
    iam("GetPolicy", POLICY, &["PolicyArn=${attached}"]),
    iam("GetPolicyVersion", POLICY, &["PolicyArn=${attached}", "VersionId=v1"]),
    iam("ListPolicies", "*", &[]),
    iam("ListPolicyVersions", POLICY, &["PolicyArn=${attached}"]),
    iam("ListEntitiesForPolicy", POLICY, &["PolicyArn=${attached}"]),
    iam("CreatePolicyVersion", POLICY, &["PolicyArn=${attached}", "PolicyDocument=${policy}"]),
    iam("SetDefaultPolicyVersion", POLICY, &["PolicyArn=${attached}", "VersionId=v2"]),
    iam("DeletePolicyVersion", POLICY, &["PolicyArn=${attached}", "VersionId=v1"]),
    iam("TagPolicy", POLICY, &["PolicyArn=${attached}", "Tags.member.1.Key=a", "Tags.member.1.Value=b"]),
    iam("UntagPolicy", POLICY, &["PolicyArn=${attached}", "TagKeys.member.1=a"]),
    iam("ListPolicyTags", POLICY, &["PolicyArn=${attached}"]),
    iam("DeletePolicy", FREE_POLICY, &["PolicyArn=${free}"]),
    // Users and their credentials.
    iam("CreateUser", "arn:aws:iam::123456789012:user/new", &["UserName=new"]),
    iam("GetUser", USER, &["UserName=target"]),
    iam("ListUsers", "arn:aws:iam::123456789012:user/", &[]),
    iam("UpdateUser", "arn:aws:iam::123456789012:user/movable", &["UserName=movable", "NewUserName=moved"]),
    iam("PutUserPolicy", USER, &["UserName=target", "PolicyName=p", "PolicyDocument=${policy}"]),
    iam("GetUserPolicy", USER, &["UserName=target", "PolicyName=only"]),
    iam("ListUserPolicies", USER, &["UserName=target"]),
    iam("DeleteUserPolicy", USER, &["UserName=target", "PolicyName=only"]),
    iam("AttachUserPolicy", USER, &["UserName=target", "PolicyArn=${spare}"]),
    iam("ListAttachedUserPolicies", USER, &["UserName=target"]),
    iam("DetachUserPolicy", USER, &["UserName=target", "PolicyArn=${attached}"]),
    iam("PutUserPermissionsBoundary", USER, &["UserName=target", "PermissionsBoundary=${spare}"]),
    iam("DeleteUserPermissionsBoundary", USER, &["UserName=target"]),
    iam("TagUser", USER, &["UserName=target", "Tags.member.1.Key=a", "Tags.member.1.Value=b"]),
    iam("UntagUser", USER, &["UserName=target", "TagKeys.member.1=a"]),
    iam("ListUserTags", USER, &["UserName=target"]),
    iam("CreateAccessKey", USER, &["UserName=target"]),
    iam("ListAccessKeys", USER, &["UserName=target"]),
    iam("GetAccessKeyLastUsed", USER, &["AccessKeyId=${key}"]),
    iam("UpdateAccessKey", USER, &["UserName=target", "AccessKeyId=${key}", "Status=Inactive"]),
    iam("DeleteAccessKey", USER, &["UserName=target", "AccessKeyId=${key}"]),
    empty("GetLoginProfile", USER, &["UserName=target"]),
    empty("UpdateLoginProfile", USER, &["UserName=target"]),
    empty("DeleteLoginProfile", USER, &["UserName=target"]),
    iam("ListMFADevices", USER, &["UserName=target"]),
    iam("ListVirtualMFADevices", "*", &[]),
    iam("ListSSHPublicKeys", USER, &["UserName=target"]),
    iam("ListSigningCertificates", USER, &["UserName=target"]),
    iam("ListServiceSpecificCredentials", USER, &["UserName=target"]),
    empty("DeactivateMFADevice", USER, &["UserName=target", "SerialNumber=GAHT12345678"]),
    empty("DeleteSSHPublicKey", USER, &["UserName=target", "SSHPublicKeyId=APKAEIBAERJR2EXAMPLE"]),
    empty(
        "DeleteSigningCertificate",
        USER,
        &["UserName=target", "CertificateId=TA7SMP42TDN5Z26OBPJE7EXAMPLE"],
    ),
    empty(
        "DeleteServiceSpecificCredential",
        USER,
        &["UserName=target", "ServiceSpecificCredentialId=ACCAEXAMPLE123EXAMPLE"],
    ),
    // Groups.
    iam("CreateGroup", "arn:aws:iam::123456789012:group/new", &["GroupName=new"]),
    iam("GetGroup", GROUP, &["GroupName=target"]),
    iam("ListGroups", "arn:aws:iam::123456789012:group/", &[]),
    iam("ListGroupsForUser", USER, &["UserName=target"]),
    iam("AddUserToGroup", GROUP, &["GroupName=target", "UserName=target"]),
    iam("RemoveUserFromGroup", GROUP, &["GroupName=target", "UserName=target"]),
    iam(
        "UpdateGroup",
        "arn:aws:iam::123456789012:group/movable",
        &["GroupName=movable", "NewGroupName=moved"],
    ),
    iam("PutGroupPolicy", GROUP, &["GroupName=target", "PolicyName=p", "PolicyDocument=${policy}"]),
    iam("GetGroupPolicy", GROUP, &["GroupName=target", "PolicyName=only"]),
    iam("ListGroupPolicies", GROUP, &["GroupName=target"]),
    iam("DeleteGroupPolicy", GROUP, &["GroupName=target", "PolicyName=only"]),
    iam("AttachGroupPolicy", GROUP, &["GroupName=target", "PolicyArn=${spare}"]),
    iam("ListAttachedGroupPolicies", GROUP, &["GroupName=target"]),
    iam("DetachGroupPolicy", GROUP, &["GroupName=target", "PolicyArn=${attached}"]),
    iam("DeleteGroup", "arn:aws:iam::123456789012:group/bare", &["GroupName=bare"]),
    iam("DeleteUser", "arn:aws:iam::123456789012:user/bare", &["UserName=bare"]),
    // Instance profiles.
    iam(
        "CreateInstanceProfile",
        "arn:aws:iam::123456789012:instance-profile/new",
        &["InstanceProfileName=new"],
    ),
    iam("GetInstanceProfile", PROFILE, &["InstanceProfileName=target"]),
    iam("ListInstanceProfiles", "arn:aws:iam::123456789012:instance-profile/", &[]),
    Door {
        also: &[("iam:PassRole", ROLE)],
        ..iam("AddRoleToInstanceProfile", PROFILE, &["InstanceProfileName=target", "RoleName=target"])
    },
    iam("ListInstanceProfilesForRole", ROLE, &["RoleName=target"]),
    iam("RemoveRoleFromInstanceProfile", PROFILE, &["InstanceProfileName=target", "RoleName=target"]),
    iam(
        "TagInstanceProfile",
        PROFILE,
        &["InstanceProfileName=target", "Tags.member.1.Key=a", "Tags.member.1.Value=b"],
    ),
    iam("UntagInstanceProfile", PROFILE, &["InstanceProfileName=target", "TagKeys.member.1=a"]),
    iam("ListInstanceProfileTags", PROFILE, &["InstanceProfileName=target"]),
    iam("DeleteInstanceProfile", PROFILE, &["InstanceProfileName=target"]),
    // The account, and the simulator.
    iam("GetAccountSummary", "*", &[]),
    iam("GetAccountAuthorizationDetails", "*", &[]),
    empty("GetAccountPasswordPolicy", "*", &[]),
    iam("CreateAccountAlias", "*", &["AccountAlias=acme-ci"]),
    iam("ListAccountAliases", "*", &[]),
    iam("DeleteAccountAlias", "*", &["AccountAlias=acme-ci"]),
    iam(
        "SimulateCustomPolicy",
        "*",
        &["PolicyInputList.member.1=${policy}", "ActionNames.member.1=s3:GetObject"],
    ),
    iam("SimulatePrincipalPolicy", ROLE, &["PolicySourceArn=${role}", "ActionNames.member.1=s3:GetObject"]),
    iam("GetContextKeysForCustomPolicy", "*", &["PolicyInputList.member.1=${policy}"]),
    iam("GetContextKeysForPrincipalPolicy", ROLE, &["PolicySourceArn=${role}"]),
];

/// What all doors of IAM need behind them.
pub fn furnish(bench: &Bench) {
    let works = |reply: Reply| assert_eq!(reply.status, 200, "{}", reply.body);
    let trust = trust(crate::bench::ACCOUNT);
    let make = |operation: &str, params: &[(&str, &str)]| works(bench.iam(operation, params));
    for (name, path) in [("target", "/team/"), ("bare", "/")] {
        make("CreateRole", &[("RoleName", name), ("Path", path), ("AssumeRolePolicyDocument", &trust)]);
    }
    for name in ["target", "free", "spare"] {
        make("CreatePolicy", &[("PolicyName", name), ("PolicyDocument", READ_ONLY)]);
    }
    make("CreatePolicyVersion", &[("PolicyArn", POLICY), ("PolicyDocument", READ_ONLY)]);
    for (name, path) in [("target", "/team/"), ("bare", "/"), ("movable", "/")] {
        make("CreateUser", &[("UserName", name), ("Path", path)]);
    }
    for name in ["target", "bare", "movable"] {
        make("CreateGroup", &[("GroupName", name)]);
    }
    for (noun, parameter) in [("Role", "RoleName"), ("User", "UserName"), ("Group", "GroupName")] {
        make(&format!("Attach{noun}Policy"), &[(parameter, "target"), ("PolicyArn", POLICY)]);
        let policy = [(parameter, "target"), ("PolicyName", "only"), ("PolicyDocument", READ_ONLY)];
        make(&format!("Put{noun}Policy"), &policy);
    }
    make("CreateAccessKey", &[("UserName", "target")]);
    make("CreateInstanceProfile", &[("InstanceProfileName", "target")]);
    for service in ["spot.amazonaws.com", "eks.amazonaws.com"] {
        make("CreateServiceLinkedRole", &[("AWSServiceName", service)]);
    }
    make("DeleteServiceLinkedRole", &[("RoleName", "AWSServiceRoleForAmazonEKS")]);
}

/// Fills the names of what was furnished into a parameter.
pub fn fill(bench: &Bench, text: &str) -> String {
    let store = &bench.server.world.store;
    let account = bench.server.world.settings.default_account;
    let keys = store.user(account, "target").map(|user| store.access_keys_of(&user)).unwrap_or_default();
    let key = keys.first().map_or("AKIAIOSFODNN7EXAMPLE", |key| &key.id);
    let tasks = store.list::<RoleDeletion>("");
    text.replace("${trust}", &trust(crate::bench::ACCOUNT))
        .replace("${policy}", READ_ONLY)
        .replace("${provider}", PROVIDER)
        .replace("${role}", ROLE)
        .replace("${attached}", POLICY)
        .replace("${free}", FREE_POLICY)
        .replace("${spare}", "arn:aws:iam::123456789012:policy/spare")
        .replace("${key}", key)
        .replace("${task}", tasks.first().map_or("", |deletion| &deletion.task))
}
