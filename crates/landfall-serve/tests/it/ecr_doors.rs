//! The doors of ECR and ECR Public, in an order in which each works in the world of [`furnish`].

use landfall_wire::hash::sha256_digest;

use crate::bench::{Bench, root};
use crate::client::{Reply, Request};
use crate::doors::{Door, door};

const REPOSITORY: &str = "arn:aws:ecr:eu-west-1:123456789012:repository/team/api";
const PUBLIC: &str = "arn:aws:ecr-public::123456789012:repository/tool";
const PUBLIC_REGISTRY: &str = "arn:aws:ecr-public::123456789012:registry/123456789012";
/// An upload that nobody began.
const UPLOAD: &str = "00000000-0000-4000-8000-000000000000";
const LIFECYCLE: &str = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":100},"action":{"type":"expire"}}]}"#;
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::210987654321:root"},"Action":"ecr:ListImages"}]}"#;
const REGISTRY_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::210987654321:root"},"Action":"ecr:ReplicateImage","Resource":"arn:aws:ecr:eu-west-1:123456789012:repository/*"}]}"#;
const IMAGE: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"${layer}","size":5},"layers":[]}"#;

const fn on(operation: &'static str, input: &'static [&'static str]) -> Door {
    door("ecr", operation, REPOSITORY, input)
}

const fn wide(operation: &'static str, input: &'static [&'static str]) -> Door {
    door("ecr", operation, "*", input)
}

const fn public(operation: &'static str, input: &'static [&'static str]) -> Door {
    door("ecr-public", operation, PUBLIC, input)
}

/// A door behind which there is nothing: what it leads to doesn't exist here.
const fn empty(door: Door) -> Door {
    Door { status: 400, ..door }
}

pub const DOORS: &[Door] = &[
    wide("GetAuthorizationToken", &["{}"]),
    door(
        "ecr",
        "CreateRepository",
        "arn:aws:ecr:eu-west-1:123456789012:repository/team/new",
        &[r#"{"repositoryName":"team/new"}"#],
    ),
    on("DescribeRepositories", &[r#"{"repositoryNames":["team/api"]}"#]),
    on("PutImageTagMutability", &[r#"{"repositoryName":"team/api","imageTagMutability":"MUTABLE"}"#]),
    on(
        "PutImageScanningConfiguration",
        &[r#"{"repositoryName":"team/api","imageScanningConfiguration":{"scanOnPush":false}}"#],
    ),
    on("SetRepositoryPolicy", &[r#"{"repositoryName":"team/api","policyText":${policy}}"#]),
    on("GetRepositoryPolicy", &[r#"{"repositoryName":"team/api"}"#]),
    on("DeleteRepositoryPolicy", &[r#"{"repositoryName":"team/api"}"#]),
    on("TagResource", &[r#"{"resourceArn":"${arn}","tags":[{"Key":"a","Value":"b"}]}"#]),
    on("ListTagsForResource", &[r#"{"resourceArn":"${arn}"}"#]),
    on("UntagResource", &[r#"{"resourceArn":"${arn}","tagKeys":["a"]}"#]),
    on(
        "StartLifecyclePolicyPreview",
        &[r#"{"repositoryName":"team/api","lifecyclePolicyText":${lifecycle}}"#],
    ),
    on("GetLifecyclePolicyPreview", &[r#"{"repositoryName":"team/api"}"#]),
    on("PutLifecyclePolicy", &[r#"{"repositoryName":"team/api","lifecyclePolicyText":${lifecycle}}"#]),
    on("GetLifecyclePolicy", &[r#"{"repositoryName":"team/api"}"#]),
    on("DeleteLifecyclePolicy", &[r#"{"repositoryName":"team/api"}"#]),
    on("BatchCheckLayerAvailability", &[r#"{"repositoryName":"team/api","layerDigests":["${layer}"]}"#]),
    on("GetDownloadUrlForLayer", &[r#"{"repositoryName":"team/api","layerDigest":"${layer}"}"#]),
    on("InitiateLayerUpload", &[r#"{"repositoryName":"team/api"}"#]),
    empty(on(
        "UploadLayerPart",
        &[
            r#"{"repositoryName":"team/api","uploadId":"${upload}","partFirstByte":0,"partLastByte":0,"layerPartBlob":"eA=="}"#,
        ],
    )),
    empty(on(
        "CompleteLayerUpload",
        &[r#"{"repositoryName":"team/api","uploadId":"${upload}","layerDigests":["${layer}"]}"#],
    )),
    on("PutImage", &[r#"{"repositoryName":"team/api","imageManifest":${image},"imageTag":"v3"}"#]),
    on("BatchGetImage", &[r#"{"repositoryName":"team/api","imageIds":[{"imageTag":"v1"}]}"#]),
    on("DescribeImages", &[r#"{"repositoryName":"team/api"}"#]),
    on("ListImages", &[r#"{"repositoryName":"team/api"}"#]),
    on("ListImageReferrers", &[r#"{"repositoryName":"team/api","subjectId":{"imageDigest":"${layer}"}}"#]),
    on("StartImageScan", &[r#"{"repositoryName":"team/api","imageId":{"imageTag":"v3"}}"#]),
    on("DescribeImageScanFindings", &[r#"{"repositoryName":"team/api","imageId":{"imageTag":"v3"}}"#]),
    on("DescribeImageReplicationStatus", &[r#"{"repositoryName":"team/api","imageId":{"imageTag":"v1"}}"#]),
    on("DescribeImageSigningStatus", &[r#"{"repositoryName":"team/api","imageId":{"imageTag":"v1"}}"#]),
    on(
        "UpdateImageStorageClass",
        &[r#"{"repositoryName":"team/api","imageId":{"imageTag":"v1"},"targetStorageClass":"STANDARD"}"#],
    ),
    on("BatchDeleteImage", &[r#"{"repositoryName":"team/api","imageIds":[{"imageTag":"v3"}]}"#]),
    on("BatchGetRepositoryScanningConfiguration", &[r#"{"repositoryNames":["team/api"]}"#]),
    wide("DescribeRegistry", &["{}"]),
    wide(
        "PutReplicationConfiguration",
        &[
            r#"{"replicationConfiguration":{"rules":[{"destinations":[{"region":"us-west-2","registryId":"123456789012"}]}]}}"#,
        ],
    ),
    wide(
        "StartReplicationBackfill",
        &[r#"{"destination":{"region":"us-west-2","registryId":"123456789012"}}"#],
    ),
    wide("ListReplicationBackfills", &["{}"]),
    empty(wide("DescribeReplicationBackfillResults", &[r#"{"replicationBackfillId":"${upload}"}"#])),
    empty(wide("StopReplicationBackfill", &[r#"{"replicationBackfillId":"${upload}"}"#])),
    wide("PutRegistryPolicy", &[r#"{"policyText":${registry policy}}"#]),
    wide("GetRegistryPolicy", &["{}"]),
    wide("DeleteRegistryPolicy", &["{}"]),
    wide("PutRegistryScanningConfiguration", &[r#"{"scanType":"BASIC","rules":[]}"#]),
    wide("GetRegistryScanningConfiguration", &["{}"]),
    wide("PutAccountSetting", &[r#"{"name":"BLOB_MOUNTING","value":"DISABLED"}"#]),
    wide("GetAccountSetting", &[r#"{"name":"BLOB_MOUNTING"}"#]),
    wide("PutSigningConfiguration", &[r#"{"signingConfiguration":{"rules":[]}}"#]),
    wide("GetSigningConfiguration", &["{}"]),
    wide("DeleteSigningConfiguration", &["{}"]),
    wide("RegisterPullTimeUpdateExclusion", &[r#"{"principalArn":"arn:aws:iam::123456789012:role/x"}"#]),
    wide("ListPullTimeUpdateExclusions", &["{}"]),
    wide("DeregisterPullTimeUpdateExclusion", &[r#"{"principalArn":"arn:aws:iam::123456789012:role/x"}"#]),
    Door {
        also: &[("ecr:CreateRepository", "arn:aws:ecr:eu-west-1:123456789012:repository/x/*")],
        ..wide("CreateRepositoryCreationTemplate", &[r#"{"prefix":"x","appliedFor":["CREATE_ON_PUSH"]}"#])
    },
    wide("DescribeRepositoryCreationTemplates", &["{}"]),
    Door {
        also: &[("ecr:CreateRepository", "arn:aws:ecr:eu-west-1:123456789012:repository/x/*")],
        ..wide("UpdateRepositoryCreationTemplate", &[r#"{"prefix":"x","appliedFor":["REPLICATION"]}"#])
    },
    wide("DeleteRepositoryCreationTemplate", &[r#"{"prefix":"x"}"#]),
    wide(
        "CreatePullThroughCacheRule",
        &[r#"{"ecrRepositoryPrefix":"quay","upstreamRegistryUrl":"quay.io"}"#],
    ),
    wide("DescribePullThroughCacheRules", &["{}"]),
    wide("ValidatePullThroughCacheRule", &[r#"{"ecrRepositoryPrefix":"quay"}"#]),
    wide("UpdatePullThroughCacheRule", &[r#"{"ecrRepositoryPrefix":"quay"}"#]),
    wide("DeletePullThroughCacheRule", &[r#"{"ecrRepositoryPrefix":"quay"}"#]),
    door(
        "ecr",
        "DeleteRepository",
        "arn:aws:ecr:eu-west-1:123456789012:repository/team/new",
        &[r#"{"repositoryName":"team/new"}"#],
    ),
    Door {
        also: &[("sts:GetServiceBearerToken", "*")],
        ..door("ecr-public", "GetAuthorizationToken", "*", &["{}"])
    },
    door(
        "ecr-public",
        "CreateRepository",
        "arn:aws:ecr-public::123456789012:repository/new",
        &[r#"{"repositoryName":"new"}"#],
    ),
    public("DescribeRepositories", &[r#"{"repositoryNames":["tool"]}"#]),
    public("SetRepositoryPolicy", &[r#"{"repositoryName":"tool","policyText":${public policy}}"#]),
    public("GetRepositoryPolicy", &[r#"{"repositoryName":"tool"}"#]),
    public("DeleteRepositoryPolicy", &[r#"{"repositoryName":"tool"}"#]),
    public("TagResource", &[r#"{"resourceArn":"${public}","tags":[{"Key":"a","Value":"b"}]}"#]),
    public("ListTagsForResource", &[r#"{"resourceArn":"${public}"}"#]),
    public("UntagResource", &[r#"{"resourceArn":"${public}","tagKeys":["a"]}"#]),
    public("PutRepositoryCatalogData", &[r#"{"repositoryName":"tool","catalogData":{"aboutText":"x"}}"#]),
    public("GetRepositoryCatalogData", &[r#"{"repositoryName":"tool"}"#]),
    public("BatchCheckLayerAvailability", &[r#"{"repositoryName":"tool","layerDigests":["${layer}"]}"#]),
    public("InitiateLayerUpload", &[r#"{"repositoryName":"tool"}"#]),
    empty(public(
        "UploadLayerPart",
        &[
            r#"{"repositoryName":"tool","uploadId":"${upload}","partFirstByte":0,"partLastByte":0,"layerPartBlob":"eA=="}"#,
        ],
    )),
    empty(public(
        "CompleteLayerUpload",
        &[r#"{"repositoryName":"tool","uploadId":"${upload}","layerDigests":["${layer}"]}"#],
    )),
    empty(public("PutImage", &[r#"{"repositoryName":"tool","imageManifest":${image},"imageTag":"v1"}"#])),
    public("DescribeImages", &[r#"{"repositoryName":"tool"}"#]),
    public("DescribeImageTags", &[r#"{"repositoryName":"tool"}"#]),
    public("BatchDeleteImage", &[r#"{"repositoryName":"tool","imageIds":[{"imageTag":"v1"}]}"#]),
    door("ecr-public", "DescribeRegistries", PUBLIC_REGISTRY, &["{}"]),
    door("ecr-public", "PutRegistryCatalogData", PUBLIC_REGISTRY, &[r#"{"displayName":"Acme"}"#]),
    door("ecr-public", "GetRegistryCatalogData", PUBLIC_REGISTRY, &["{}"]),
    public("DeleteRepository", &[r#"{"repositoryName":"tool"}"#]),
];

/// The request of a door.
pub fn request(door: &Door) -> Request {
    let layer = sha256_digest(b"layer");
    let quoted = |text: &str| serde_json::Value::from(text.replace("${layer}", layer.as_str())).to_string();
    let input = door
        .input
        .first()
        .unwrap()
        .replace("${registry policy}", &quoted(REGISTRY_POLICY))
        .replace("${public policy}", &quoted(&POLICY.replace("ecr:ListImages", "ecr-public:DescribeImages")))
        .replace("${policy}", &quoted(POLICY))
        .replace("${lifecycle}", &quoted(LIFECYCLE))
        .replace("${image}", &quoted(IMAGE))
        .replace("${layer}", layer.as_str())
        .replace("${upload}", UPLOAD)
        .replace("${arn}", REPOSITORY)
        .replace("${public}", PUBLIC);
    Request::json(door.service, door.operation, &input)
}

/// What the doors lead to, beside the repository with its image.
pub fn furnish(bench: &Bench) {
    let made = bench.call(
        &root(),
        "ecr-public",
        Request::json("ecr-public", "CreateRepository", r#"{"repositoryName":"tool"}"#),
    );
    let works = |reply: Reply| assert_eq!(reply.status, 200, "{}", reply.body);
    works(made);
}
