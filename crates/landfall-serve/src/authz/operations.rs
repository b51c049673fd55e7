//! The calls that this server has, as types: API operations of each service, registry calls, and what is decided
//! beside them. What each needs stands in the catalogue.

use landfall_policy::catalogue::{self, RegistryCall};

use super::{Call, Needs, OfRegistry};

/// Declares API operations as types; what each needs stands in the catalogue.
macro_rules! api_calls {
    ($($service:literal: $($name:ident),+ $(,)?;)+) => {$($(
        #[doc = concat!("`", $service, ":", stringify!($name), "`.")]
        #[derive(Debug)]
        pub struct $name;
        impl Call for $name {
            const SERVICE: &'static str = $service;
            const NAME: &'static str = stringify!($name);
            fn needs() -> Needs {
                Needs::of($service, stringify!($name))
            }
        }
    )+)+
        /// The API operations that this server has, by service and name.
        pub const API: &[(&str, &str)] = &[$($(($service, stringify!($name)),)+)+];
    };
}

/// Declares as types what is decided beside the operation that was called.
macro_rules! inner_calls {
    ($($name:ident, $service:literal, $action:literal, $resource:ident;)+) => {$(
        #[doc = concat!("`", $action, "`, which no operation of the API stands for.")]
        #[derive(Debug)]
        pub struct $name;
        impl Call for $name {
            const SERVICE: &'static str = $service;
            const NAME: &'static str = stringify!($name);
            fn needs() -> Needs {
                Needs::Permission(catalogue::Need {
                    action: $action,
                    resource: catalogue::ResourceKind::$resource,
                })
            }
        }
    )+};
}

/// Declares registry calls as types.
macro_rules! registry_calls {
    ($($type:ident, $name:literal => $call:ident;)+) => {$(
        #[doc = concat!("The registry's `", $name, "`.")]
        #[derive(Debug)]
        pub struct $type;
        impl Call for $type {
            const SERVICE: &'static str = "ecr";
            const NAME: &'static str = $name;
            fn needs() -> Needs {
                Needs::Permission(catalogue::registry_need(RegistryCall::$call))
            }
        }
        impl OfRegistry for $type {
            const CALL: RegistryCall = RegistryCall::$call;
        }
    )+
        /// The registry calls that this server has, by name.
        pub const REGISTRY: &[(&str, RegistryCall)] = &[$(($name, RegistryCall::$call),)+];
    };
}

/// The operations that this server has, as types.
pub mod calls {
    use super::{Call, Needs, OfRegistry, RegistryCall, catalogue};
    api_calls! {
        "iam": AddClientIDToOpenIDConnectProvider, AddRoleToInstanceProfile, AddUserToGroup,
            AttachGroupPolicy, AttachRolePolicy, AttachUserPolicy, CreateAccessKey, CreateAccountAlias,
            CreateGroup, CreateInstanceProfile, CreateOpenIDConnectProvider, CreatePolicy,
            CreatePolicyVersion, CreateRole, CreateServiceLinkedRole, CreateUser, DeactivateMFADevice,
            DeleteAccessKey, DeleteAccountAlias, DeleteGroup, DeleteGroupPolicy, DeleteInstanceProfile,
            DeleteLoginProfile, DeleteOpenIDConnectProvider, DeletePolicy, DeletePolicyVersion, DeleteRole,
            DeleteRolePermissionsBoundary, DeleteRolePolicy, DeleteSSHPublicKey, DeleteServiceLinkedRole,
            DeleteServiceSpecificCredential, DeleteSigningCertificate, DeleteUser,
            DeleteUserPermissionsBoundary, DeleteUserPolicy, DetachGroupPolicy, DetachRolePolicy,
            DetachUserPolicy, GetAccessKeyLastUsed, GetAccountAuthorizationDetails,
            GetAccountPasswordPolicy, GetAccountSummary, GetContextKeysForCustomPolicy,
            GetContextKeysForPrincipalPolicy, GetGroup, GetGroupPolicy, GetInstanceProfile, GetLoginProfile,
            GetOpenIDConnectProvider, GetPolicy, GetPolicyVersion, GetRole, GetRolePolicy,
            GetServiceLinkedRoleDeletionStatus, GetUser, GetUserPolicy, ListAccessKeys, ListAccountAliases,
            ListAttachedGroupPolicies, ListAttachedRolePolicies, ListAttachedUserPolicies,
            ListEntitiesForPolicy, ListGroupPolicies, ListGroups, ListGroupsForUser,
            ListInstanceProfileTags, ListInstanceProfiles, ListInstanceProfilesForRole, ListMFADevices,
            ListOpenIDConnectProviderTags, ListOpenIDConnectProviders, ListPolicies, ListPolicyTags,
            ListPolicyVersions, ListRolePolicies, ListRoleTags, ListRoles, ListSSHPublicKeys,
            ListServiceSpecificCredentials, ListSigningCertificates, ListUserPolicies, ListUserTags,
            ListUsers, ListVirtualMFADevices, PutGroupPolicy, PutRolePermissionsBoundary, PutRolePolicy,
            PutUserPermissionsBoundary, PutUserPolicy, RemoveClientIDFromOpenIDConnectProvider,
            RemoveRoleFromInstanceProfile, RemoveUserFromGroup, SetDefaultPolicyVersion,
            SimulateCustomPolicy, SimulatePrincipalPolicy, TagInstanceProfile, TagOpenIDConnectProvider,
            TagPolicy, TagRole, TagUser, UntagInstanceProfile, UntagOpenIDConnectProvider, UntagPolicy,
            UntagRole, UntagUser, UpdateAccessKey, UpdateAssumeRolePolicy, UpdateGroup, UpdateLoginProfile,
            UpdateOpenIDConnectProviderThumbprint, UpdateRole, UpdateRoleDescription, UpdateUser;
        "sts": AssumeRole, AssumeRoot, DecodeAuthorizationMessage, GetAccessKeyInfo, GetCallerIdentity,
            GetFederationToken, GetSessionToken;
        "ecr": BatchCheckLayerAvailability, BatchDeleteImage, BatchGetImage,
            BatchGetRepositoryScanningConfiguration, CompleteLayerUpload, CreatePullThroughCacheRule,
            CreateRepository, CreateRepositoryCreationTemplate, DeleteLifecyclePolicy,
            DeletePullThroughCacheRule, DeleteRegistryPolicy, DeleteRepository,
            DeleteRepositoryCreationTemplate, DeleteRepositoryPolicy, DeleteSigningConfiguration,
            DeregisterPullTimeUpdateExclusion, DescribeImageReplicationStatus, DescribeImageScanFindings,
            DescribeImageSigningStatus, DescribeImages, DescribePullThroughCacheRules, DescribeRegistry,
            DescribeReplicationBackfillResults, DescribeRepositories, DescribeRepositoryCreationTemplates,
            GetAccountSetting, GetAuthorizationToken, GetDownloadUrlForLayer, GetLifecyclePolicy,
            GetLifecyclePolicyPreview, GetRegistryPolicy, GetRegistryScanningConfiguration,
            GetRepositoryPolicy, GetSigningConfiguration, InitiateLayerUpload, ListImageReferrers, ListImages,
            ListPullTimeUpdateExclusions, ListReplicationBackfills, ListTagsForResource, PutAccountSetting,
            PutImage, PutImageScanningConfiguration, PutImageTagMutability, PutLifecyclePolicy,
            PutRegistryPolicy, PutRegistryScanningConfiguration, PutReplicationConfiguration,
            PutSigningConfiguration, RegisterPullTimeUpdateExclusion, SetRepositoryPolicy, StartImageScan,
            StartLifecyclePolicyPreview, StartReplicationBackfill, StopReplicationBackfill, TagResource,
            UntagResource, UpdateImageStorageClass, UpdatePullThroughCacheRule,
            UpdateRepositoryCreationTemplate, UploadLayerPart, ValidatePullThroughCacheRule;
    }
    inner_calls! {
        ReplicateImage, "ecr", "ecr:ReplicateImage", Repository;
        CreateReplicatedRepository, "ecr", "ecr:CreateRepository", Repository;
        PassRoleToEcr, "iam", "iam:PassRole", Role;
        GetServiceBearerToken, "sts", "sts:GetServiceBearerToken", Any;
    }
    /// `iam:PassRole`: no operation, but what handing a role to a service takes.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>
    #[derive(Debug)]
    pub struct PassRole;
    impl Call for PassRole {
        const SERVICE: &'static str = "iam";
        const NAME: &'static str = "PassRole";
        fn needs() -> Needs {
            let resource = catalogue::ResourceKind::Role;
            Needs::Permission(catalogue::Need { action: "iam:PassRole", resource })
        }
    }
    registry_calls! {
        ReadManifest, "GET manifest" => ReadManifest;
        PutManifest, "PUT manifest" => PutManifest;
        CheckBlob, "HEAD blob" => CheckBlob;
        ReadBlob, "GET blob" => ReadBlob;
        StartUpload, "POST upload" => StartUpload;
        AppendUpload, "PATCH upload" => AppendUpload;
        FinishUpload, "PUT upload" => FinishUpload;
        CancelUpload, "DELETE upload" => CancelUpload;
        ListTags, "GET tags" => ListTags;
        ListReferrers, "GET referrers" => ListReferrers;
        ListCatalog, "GET catalog" => ListCatalog;
        DeleteManifest, "DELETE manifest" => DeleteManifest;
        DeleteBlob, "DELETE blob" => DeleteBlob;
    }
}

/// ECR Public's operations as types: many have the names of ECR's.
pub mod public_calls {
    use super::{Call, Needs};
    api_calls! {
        "ecr-public": BatchCheckLayerAvailability, BatchDeleteImage, CompleteLayerUpload, CreateRepository,
            DeleteRepository, DeleteRepositoryPolicy, DescribeImageTags, DescribeImages, DescribeRegistries,
            DescribeRepositories, GetAuthorizationToken, GetRegistryCatalogData, GetRepositoryCatalogData,
            GetRepositoryPolicy, InitiateLayerUpload, ListTagsForResource, PutImage, PutRegistryCatalogData,
            PutRepositoryCatalogData, SetRepositoryPolicy, TagResource, UntagResource, UploadLayerPart;
    }
}

/// CloudWatch's operations that alarms need.
pub mod cloudwatch_calls {
    use super::{Call, Needs};
    api_calls! {
        "cloudwatch": DeleteAlarms, DescribeAlarms, DisableAlarmActions, EnableAlarmActions, ListTagsForResource,
            PutMetricAlarm, SetAlarmState, TagResource, UntagResource;
    }
}

/// CloudWatch Logs' operations that the logs of tasks need.
pub mod log_calls {
    use super::{Call, Needs};
    api_calls! {
        "logs": CreateLogGroup, CreateLogStream, DeleteLogGroup, DeleteLogStream, DeleteRetentionPolicy,
            DescribeLogGroups, DescribeLogStreams, FilterLogEvents, GetLogEvents, ListTagsForResource,
            ListTagsLogGroup, PutLogEvents, PutLogGroupDeletionProtection, PutRetentionPolicy, TagLogGroup,
            TagResource, UntagLogGroup, UntagResource;
    }
}

/// CodeDeploy's operations that deployments to ECS need.
pub mod codedeploy_calls {
    use super::{Call, Needs};
    api_calls! {
        "codedeploy": BatchGetApplicationRevisions, BatchGetApplications, BatchGetDeploymentGroups,
            BatchGetDeploymentTargets, BatchGetDeployments, ContinueDeployment, CreateApplication,
            CreateDeployment, CreateDeploymentConfig, CreateDeploymentGroup, DeleteApplication,
            DeleteDeploymentConfig, DeleteDeploymentGroup, GetApplication, GetApplicationRevision, GetDeployment,
            GetDeploymentConfig, GetDeploymentGroup, GetDeploymentTarget, ListApplicationRevisions,
            ListApplications, ListDeploymentConfigs, ListDeploymentGroups, ListDeploymentTargets, ListDeployments,
            ListTagsForResource, RegisterApplicationRevision, StopDeployment, TagResource, UntagResource,
            UpdateApplication, UpdateDeploymentGroup;
    }
}

/// ECS's operations; some have the names of other services' operations.
pub mod ecs_calls {
    use super::{Call, Needs};
    api_calls! {
        "ecs": CreateCluster, DescribeClusters, ListClusters, DeleteCluster, UpdateCluster, UpdateClusterSettings,
            PutClusterCapacityProviders, CreateCapacityProvider, UpdateCapacityProvider, DeleteCapacityProvider,
            DescribeCapacityProviders, ListContainerInstances, DescribeContainerInstances, ListAttributes,
            RegisterTaskDefinition, DescribeTaskDefinition, DeregisterTaskDefinition, DeleteTaskDefinitions,
            ListTaskDefinitions, ListTaskDefinitionFamilies, CreateService, UpdateService, DeleteService,
            DescribeServices, ListServices, ListServicesByNamespace, DescribeServiceDeployments,
            ListServiceDeployments, DescribeServiceRevisions, StopServiceDeployment, ContinueServiceDeployment,
            RunTask, StartTask, StopTask, DescribeTasks, ListTasks, ExecuteCommand, CreateTaskSet,
            DescribeTaskSets, UpdateTaskSet, DeleteTaskSet, UpdateServicePrimaryTaskSet, TagResource,
            UntagResource, ListTagsForResource, PutAccountSetting, PutAccountSettingDefault,
            DeleteAccountSetting, ListAccountSettings, GetTaskProtection, UpdateTaskProtection;
    }
}

/// EKS's operations; some have the names of other services' operations.
pub mod eks_calls {
    use super::{Call, Needs};
    api_calls! {
        "eks": CreateCluster, DescribeCluster, ListClusters, DeleteCluster, CreatePodIdentityAssociation,
            DescribePodIdentityAssociation, ListPodIdentityAssociations, UpdatePodIdentityAssociation,
            DeletePodIdentityAssociation, TagResource, UntagResource, ListTagsForResource;
    }
}

/// EKS Auth's operation.
pub mod eks_auth_calls {
    use super::{Call, Needs};
    api_calls! {
        "eks-auth": AssumeRoleForPodIdentity;
    }
}
