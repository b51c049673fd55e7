"""ECR and ECR Public by boto3 and the aws CLI: every operation of AWS's own model, allowed and refused."""

import base64
import hashlib
import json
import time
import urllib.parse

import aws
from harness import ACCOUNT, REGION, check, contains, program, same
from images import role
from root_key import OTHER, OTHER_ROOT, allow
from shapes import conforms

ROOT = ("test", "test")
# ECR Public is in one region.
PUBLIC_REGION = "us-east-1"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

def policy(action, **more):
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"}, "Action": action} | more
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def lifecycle(tag_status="untagged", count=100):
    selection = {"tagStatus": tag_status, "countType": "imageCountMoreThan", "countNumber": count}
    rule = {"rulePriority": 1, "description": "few", "selection": selection, "action": {"type": "expire"}}
    return json.dumps({"rules": [rule]})


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def manifest(layer, config=b"{}"):
    """An image of one layer; its configuration is a blob too."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(config),
                "size": len(config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": digest(layer),
                    "size": len(layer),
                }
            ],
        }
    )


class Caller:
    """Calls operations twice: by a session that may do nothing, and by the root user. Answers are compared
    with AWS's model as they come over the wire."""

    def __init__(self, bench, service, region, powerless):
        self.service = service
        self.root = aws.client(bench, service, ROOT, region=region)
        self.powerless = aws.client(bench, service, powerless, region=region)
        self.model = self.root.meta.service_model
        self.called, self.body = set(), None
        self.root.meta.events.register(f"before-parse.{service}", self.keep)

    def keep(self, response_dict, **_):
        self.body = response_dict["body"]

    def method(self, client, operation):
        names = {api: python for python, api in client.meta.method_to_api_mapping.items()}
        return getattr(client, names[operation])

    def __call__(self, operation, action=None, **arguments):
        action = action or f"{self.service}:{operation}"
        code, message, status, _ = aws.refusal(self.method(self.powerless, operation), **arguments)
        same((code, status), ("AccessDeniedException", 400), f"{operation} by a session that may do nothing: {message}")
        contains(message, [f"is not authorized to perform: {action} on resource: "], operation)
        answer = self.method(self.root, operation)(**arguments)
        conforms(self.model.operation_model(operation).output_shape, json.loads(self.body), operation)
        self.called.add(operation)
        return answer

    def refused(self, operation, code, text, **arguments):
        """A call that the root user may make and that ECR refuses."""
        got, message, status, _ = aws.refusal(self.method(self.root, operation), **arguments)
        same((got, status), (code, 400), f"{operation}: {message}")
        contains(message, [text], operation)

    def all_were_called(self):
        missing = set(self.model.operation_names) - self.called
        same(sorted(missing), [], f"operations of {self.service} that were not called")


def upload(call, repository, data):
    """Uploads a layer by API, in one part."""
    begun = call("InitiateLayerUpload", repositoryName=repository)
    # The upload is the caller's own: the session that may do nothing has to be refused before that is seen.
    part = {"partFirstByte": 0, "partLastByte": len(data) - 1, "layerPartBlob": data}
    received = call("UploadLayerPart", repositoryName=repository, uploadId=begun["uploadId"], **part)
    same(received["lastByteReceived"], len(data) - 1, "lastByteReceived")
    done = call(
        "CompleteLayerUpload", repositoryName=repository, uploadId=begun["uploadId"], layerDigests=[digest(data)]
    )
    same(done["layerDigest"], digest(data), "layerDigest")


def repositories(call):
    """The operations on repositories."""
    made = call("CreateRepository", repositoryName="api/all", tags=[{"Key": "team", "Value": "web"}])["repository"]
    call("DescribeRepositories", repositoryNames=["api/all"])
    filters = [{"filterType": "WILDCARD", "filter": "latest"}]
    mutability = {
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": filters,
    }
    changed = call("PutImageTagMutability", repositoryName="api/all", **mutability)
    same(changed["imageTagMutabilityExclusionFilters"], filters, "filters")
    call("PutImageScanningConfiguration", repositoryName="api/all", imageScanningConfiguration={"scanOnPush": True})
    call("BatchGetRepositoryScanningConfiguration", repositoryNames=["api/all"])
    call("TagResource", resourceArn=made["repositoryArn"], tags=[{"Key": "stage", "Value": "dev"}])
    call("UntagResource", resourceArn=made["repositoryArn"], tagKeys=["team"])
    tags = call("ListTagsForResource", resourceArn=made["repositoryArn"])["tags"]
    same(tags, [{"Key": "stage", "Value": "dev"}], "tags")
    call("SetRepositoryPolicy", repositoryName="api/all", policyText=policy("ecr:ListImages"))
    call("GetRepositoryPolicy", repositoryName="api/all")
    call("DeleteRepositoryPolicy", repositoryName="api/all")
    call("StartLifecyclePolicyPreview", repositoryName="api/all", lifecyclePolicyText=lifecycle())
    call("GetLifecyclePolicyPreview", repositoryName="api/all")
    call("PutLifecyclePolicy", repositoryName="api/all", lifecyclePolicyText=lifecycle())
    call("GetLifecyclePolicy", repositoryName="api/all")
    call("DeleteLifecyclePolicy", repositoryName="api/all")


def images(call, bench):
    """The operations on layers and images."""
    layer, config = b"a layer" * 1000, b"{}"
    upload(call, "api/all", layer)
    upload(call, "api/all", config)
    checked = call("BatchCheckLayerAvailability", repositoryName="api/all", layerDigests=[digest(layer)])
    same(checked["layers"][0]["layerSize"], len(layer), "layerSize")
    url = call("GetDownloadUrlForLayer", repositoryName="api/all", layerDigest=digest(layer))["downloadUrl"]
    fetched = aws.http(url)
    same((fetched.status, fetched.body == layer), (200, True), "a download without credentials, and its bytes")
    part = aws.http(url, headers={"range": "bytes=2-6"})
    same((part.status, part.body, part.headers["content-range"]), (206, b"layer", f"bytes 2-6/{len(layer)}"))
    same(aws.http(url[:-2] + ("xx" if url[-2:] != "xx" else "yy")).status, 403, "a link that was changed")
    image = {"repositoryName": "api/all", "imageId": {"imageTag": "v1"}}
    call("PutImage", repositoryName="api/all", imageManifest=manifest(layer), imageTag="v1")
    read = call("BatchGetImage", repositoryName="api/all", imageIds=[{"imageTag": "v1"}])["images"]
    same([got["imageManifest"] for got in read], [manifest(layer)], "imageManifest")
    call("ListImages", repositoryName="api/all", filter={"tagStatus": "TAGGED"})
    [described] = call("DescribeImages", repositoryName="api/all")["imageDetails"]
    same("lastRecordedPullTime" in described, True, "lastRecordedPullTime is there after a pull")
    referred = {"subjectId": {"imageDigest": digest(layer)}}
    call("ListImageReferrers", action="ecr:BatchGetImage", repositoryName="api/all", **referred)
    # It was scanned when it was pushed, and may be once a day.
    call.refused("StartImageScan", "LimitExceededException", "The scan quota per image has been exceeded", **image)
    call("PutImageScanningConfiguration", repositoryName="api/all", imageScanningConfiguration={"scanOnPush": False})
    call("PutImage", repositoryName="api/all", imageManifest=manifest(config, config), imageTag="v2")
    call("StartImageScan", repositoryName="api/all", imageId={"imageTag": "v2"})
    call.root.get_waiter("image_scan_complete").wait(**image)
    findings = call("DescribeImageScanFindings", **image)
    contains(findings["imageScanStatus"]["description"], ["Not scanned"], "description of the scan")
    call("DescribeImageReplicationStatus", **image)
    call("DescribeImageSigningStatus", **image)
    call("UpdateImageStorageClass", **image, targetStorageClass="ARCHIVE")
    failed = call("BatchGetImage", repositoryName="api/all", imageIds=[{"imageTag": "v1"}])["failures"]
    same([failure["failureCode"] for failure in failed], ["ImageInaccessible"], "an archived image")
    call("UpdateImageStorageClass", **image, targetStorageClass="STANDARD")
    call("BatchDeleteImage", repositoryName="api/all", imageIds=[{"imageTag": "v1"}])
    call("DeleteRepository", repositoryName="api/all", force=True)


def registries(call):
    """The operations on the registry."""
    to = {"region": "eu-central-1", "registryId": ACCOUNT}
    rule = {"destinations": [to], "repositoryFilters": [{"filter": "api", "filterType": "PREFIX_MATCH"}]}
    call("PutReplicationConfiguration", replicationConfiguration={"rules": [rule]})
    call("DescribeRegistry")
    begun = call("StartReplicationBackfill", destination=to)["replicationBackfillId"]
    call("ListReplicationBackfills")
    results = call("DescribeReplicationBackfillResults", replicationBackfillId=begun)
    same(results["status"], "COMPLETE", "status of the backfill")
    code, _, _, _ = aws.refusal(call.powerless.stop_replication_backfill, replicationBackfillId=begun)
    same(code, "AccessDeniedException", "StopReplicationBackfill")
    stopped = "ReplicationBackfillInvalidStatusException"
    call.refused("StopReplicationBackfill", stopped, "COMPLETE", replicationBackfillId=begun)
    # What has ended can't be stopped, and here all end at once.
    call.called.add("StopReplicationBackfill")
    call("PutReplicationConfiguration", replicationConfiguration={"rules": []})
    arns = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/*"
    call("PutRegistryPolicy", policyText=policy("ecr:ReplicateImage", Resource=arns))
    call("GetRegistryPolicy")
    call("DeleteRegistryPolicy")
    scanning = {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "prod*", "filterType": "WILDCARD"}]}
    call("PutRegistryScanningConfiguration", scanType="BASIC", rules=[scanning])
    call("GetRegistryScanningConfiguration")
    call("PutRegistryScanningConfiguration", scanType="BASIC", rules=[])
    call("PutAccountSetting", name="BLOB_MOUNTING", value="DISABLED")
    call("GetAccountSetting", name="BLOB_MOUNTING")
    profile = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/ours"
    call("PutSigningConfiguration", signingConfiguration={"rules": [{"signingProfileArn": profile}]})
    call("GetSigningConfiguration")
    call("DeleteSigningConfiguration")
    puller = f"arn:aws:iam::{ACCOUNT}:role/scanner"
    call("RegisterPullTimeUpdateExclusion", principalArn=puller)
    call("ListPullTimeUpdateExclusions")
    call("DeregisterPullTimeUpdateExclusion", principalArn=puller)
    template = {"prefix": "made", "appliedFor": ["CREATE_ON_PUSH"], "imageTagMutability": "IMMUTABLE"}
    call("CreateRepositoryCreationTemplate", **template)
    call("DescribeRepositoryCreationTemplates", prefixes=["made"])
    call("UpdateRepositoryCreationTemplate", prefix="made", description="ours")
    call("DeleteRepositoryCreationTemplate", prefix="made")
    call("CreatePullThroughCacheRule", ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    call("DescribePullThroughCacheRules", ecrRepositoryPrefixes=["quay"])
    valid = call("ValidatePullThroughCacheRule", ecrRepositoryPrefix="quay")
    same(valid["isValid"], False, "isValid of a rule whose upstream isn't reached")
    call("UpdatePullThroughCacheRule", ecrRepositoryPrefix="quay", customRoleArn=puller)
    call("DeletePullThroughCacheRule", ecrRepositoryPrefix="quay")
    token = call("GetAuthorizationToken")["authorizationData"][0]
    user, _, password = base64.b64decode(token["authorizationToken"]).decode().partition(":")
    same((user, bool(password)), ("AWS", True), "the token is a login")


@check("boto3: every operation of ECR is there, answers as AWS's model has it, and asks for its action")
def _(bench):
    call = Caller(bench, "ecr", REGION, role(bench, "ecr-powerless", allow("s3:GetObject")))
    repositories(call)
    images(call, bench)
    registries(call)
    call.all_were_called()


@check("boto3: every operation of ECR Public is there, answers as AWS's model has it, and asks for its action")
def _(bench):
    call = Caller(bench, "ecr-public", PUBLIC_REGION, role(bench, "public-powerless", allow("s3:GetObject")))
    made = call("CreateRepository", repositoryName="tool", catalogData={"description": "a tool"})["repository"]
    contains(made["repositoryUri"], ["public.ecr.aws/", "/tool"], "repositoryUri")
    call("DescribeRepositories", repositoryNames=["tool"])
    call("PutRepositoryCatalogData", repositoryName="tool", catalogData={"aboutText": "about"})
    call("GetRepositoryCatalogData", repositoryName="tool")
    call("DescribeRegistries")
    call("PutRegistryCatalogData", displayName="Acme")
    call("GetRegistryCatalogData")
    call("SetRepositoryPolicy", repositoryName="tool", policyText=policy("ecr-public:DescribeImages"))
    call("GetRepositoryPolicy", repositoryName="tool")
    call("DeleteRepositoryPolicy", repositoryName="tool")
    call("TagResource", resourceArn=made["repositoryArn"], tags=[{"Key": "a", "Value": "b"}])
    call("ListTagsForResource", resourceArn=made["repositoryArn"])
    call("UntagResource", resourceArn=made["repositoryArn"], tagKeys=["a"])
    layer, config = b"a public layer", b"{}"
    upload(call, "tool", layer)
    upload(call, "tool", config)
    call("BatchCheckLayerAvailability", repositoryName="tool", layerDigests=[digest(layer)])
    call("PutImage", repositoryName="tool", imageManifest=manifest(layer), imageTag="v1")
    call("DescribeImages", repositoryName="tool")
    call("DescribeImageTags", repositoryName="tool")
    call("BatchDeleteImage", repositoryName="tool", imageIds=[{"imageTag": "v1"}])
    call("DeleteRepository", repositoryName="tool")
    token = call("GetAuthorizationToken")["authorizationData"]["authorizationToken"]
    same(base64.b64decode(token).startswith(b"AWS:"), True, "the token is a login")
    call.all_were_called()


@check("boto3: ECR Public is in us-east-1, and another region is told that it isn't there")
def _(bench):
    elsewhere = aws.client(bench, "ecr-public", ROOT, region=REGION)
    code, message, _, _ = aws.refusal(elsewhere.get_authorization_token)
    same(code, "InvalidSignatureException", message)


@check("aws CLI: a repository from creation to deletion, with a lifecycle policy that expires")
def _(bench):
    environment = bench.environment(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")

    def cli(*words, expect=0):
        done = bench.run(program("aws"), *words, env=environment, expect=expect)
        return done.stderr if expect else json.loads(done.stdout) if done.stdout.strip() else None

    named = ("--repository-name", "cli/app")
    tags = ("--tags", "Key=team,Value=web")
    made = cli("ecr", "create-repository", *named, "--image-tag-mutability", "MUTABLE", *tags)
    same(made["repository"]["repositoryArn"], f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/cli/app")
    again = cli("ecr", "create-repository", *named, expect=255)
    contains(again, ["RepositoryAlreadyExistsException", "The repository with name 'cli/app' already exists"])
    ecr = aws.client(bench, "ecr", ROOT)
    for number in range(3):
        layer = f"layer {number}".encode()
        for data in (layer, b"{}") if number == 0 else (layer,):
            begun = ecr.initiate_layer_upload(repositoryName="cli/app")["uploadId"]
            part = {"partFirstByte": 0, "partLastByte": len(data) - 1, "layerPartBlob": data}
            ecr.upload_layer_part(repositoryName="cli/app", uploadId=begun, **part)
            ecr.complete_layer_upload(repositoryName="cli/app", uploadId=begun, layerDigests=[digest(data)])
        file = bench.dir / f"manifest-{number}.json"
        file.write_text(manifest(layer))
        cli("ecr", "put-image", *named, "--image-tag", f"v{number}", "--image-manifest", f"file://{file}")
    twice = cli("ecr", "put-image", *named, "--image-tag", "v2", "--image-manifest", f"file://{file}", expect=255)
    contains(twice, ["ImageAlreadyExistsException", "and tag 'v2' already exists in the repository with name 'cli/app'"])
    text = bench.dir / "lifecycle.json"
    text.write_text(lifecycle("any", 1))
    cli("ecr", "start-lifecycle-policy-preview", *named, "--lifecycle-policy-text", f"file://{text}")
    preview = cli("ecr", "get-lifecycle-policy-preview", *named)
    same(preview["summary"], {"expiringImageTotalCount": 2}, "summary of the preview")
    cli("ecr", "put-lifecycle-policy", *named, "--lifecycle-policy-text", f"file://{text}")
    listed = cli("ecr", "list-images", *named)["imageIds"]
    same(len(listed), 3, "images right after the policy was put")
    swept = aws.http(f"{bench.server.url}/_landfall/lifecycle", "POST")
    gone = [image for image in json.loads(swept.text())["images"] if image["repositoryName"] == "cli/app"]
    same(len(gone), 2, "images that the policy took")
    listed = cli("ecr", "list-images", *named)["imageIds"]
    same([image["imageTag"] for image in listed], ["v2"], "tags that are left")
    deleted = cli("ecr", "batch-delete-image", *named, "--image-ids", "imageTag=v2", "imageTag=none")
    same([failure["failureCode"] for failure in deleted["failures"]], ["ImageNotFound"], "failures")
    cli("ecr", "delete-repository", *named, "--force")
    missing = cli("ecr", "describe-repositories", "--repository-names", "cli/app", expect=255)
    contains(missing, ["RepositoryNotFoundException"], "what the CLI says")


@check("aws CLI: the passwords of `ecr get-login-password` and `ecr-public get-login-password`")
def _(bench):
    environment = bench.environment(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    password = bench.run(program("aws"), "ecr", "get-login-password", env=environment).stdout.strip()
    basic = "Basic " + base64.b64encode(f"AWS:{password}".encode()).decode()
    same(aws.http(f"{bench.server.url}/v2/", headers={"authorization": basic}).status, 200, "GET /v2/ with the password")
    public = ("ecr-public", "get-login-password", "--region", PUBLIC_REGION)
    same(bool(bench.run(program("aws"), *public, env=environment).stdout.strip()), True, "a password for ECR Public")


def basic(client):
    token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return {"authorization": f"Basic {token}"}


def push(bench, login, repository, tag, layer=b"pushed"):
    """Pushes an image by the registry's HTTP; the status of the last answer."""
    base = f"{bench.server.url}/v2/{repository}"
    for data in (layer, b"{}"):
        where = f"{base}/blobs/uploads/?digest={urllib.parse.quote(digest(data))}"
        sent = aws.http(where, "POST", data, login | {"content-type": "application/octet-stream"})
        if sent.status != 201:
            return sent
    return aws.http(f"{base}/manifests/{tag}", "PUT", manifest(layer).encode(), login | {"content-type": MANIFEST})


@check("a push makes its repository where a template says so, and fails where none does")
def _(bench):
    ecr = aws.client(bench, "ecr", ROOT)
    missing = push(bench, basic(ecr), "made/app", "v1")
    same((missing.status, json.loads(missing.text())["errors"][0]["code"]), (404, "NAME_UNKNOWN"))
    template = {"imageTagMutability": "IMMUTABLE", "lifecyclePolicy": lifecycle()}
    ecr.create_repository_creation_template(prefix="made", appliedFor=["CREATE_ON_PUSH"], **template)
    try:
        same(push(bench, basic(ecr), "made/app", "v1").status, 201, "the push")
        [made] = ecr.describe_repositories(repositoryNames=["made/app"])["repositories"]
        same(made["imageTagMutability"], "IMMUTABLE", "imageTagMutability by the template")
        ecr.get_lifecycle_policy(repositoryName="made/app")
        actions = ["GetAuthorizationToken", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"]
        session = role(bench, "no-create", allow(*[f"ecr:{action}" for action in actions]))
        denied = push(bench, basic(aws.client(bench, "ecr", session)), "made/other", "v1")
        same(denied.status, 403, "a push by a role that may not make repositories")
        contains(denied.text(), ["is not authorized to perform: ecr:CreateRepository"], "what it is told")
    finally:
        ecr.delete_repository_creation_template(prefix="made")


@check("what is pushed to the registry appears in another region and another account")
def _(bench):
    ecr, region = aws.client(bench, "ecr", ROOT), aws.client(bench, "ecr", ROOT, region="eu-central-1")
    other = aws.client(bench, "ecr", OTHER_ROOT)
    arn = f"arn:aws:ecr:{REGION}:{OTHER}:repository/*"
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    may = policy(["ecr:ReplicateImage", "ecr:CreateRepository"], Resource=arn, Principal=principal)
    destinations = [{"region": "eu-central-1", "registryId": ACCOUNT}, {"region": REGION, "registryId": OTHER}]
    ecr.create_repository(repositoryName="replicated")
    ecr.put_replication_configuration(replicationConfiguration={"rules": [{"destinations": destinations}]})
    try:
        same(push(bench, basic(ecr), "replicated", "v1").status, 201, "the push")
        image = {"repositoryName": "replicated", "imageId": {"imageTag": "v1"}}
        status = ecr.describe_image_replication_status(**image)["replicationStatuses"]
        same({(to["registryId"], to["status"]) for to in status}, {(ACCOUNT, "COMPLETE"), (OTHER, "FAILED")})
        other.put_registry_policy(policyText=may)
        same(push(bench, basic(ecr), "replicated", "v2", b"again").status, 201, "the second push")
        for registry, tags in ((region, {"v1", "v2"}), (other, {"v2"})):
            listed = registry.list_images(repositoryName="replicated")["imageIds"]
            same({replica["imageTag"] for replica in listed}, tags, "tags of the replica")
        pulled = aws.http(f"{bench.server.url}/v2/replicated/manifests/v2", headers=basic(other) | {"accept": MANIFEST})
        same((pulled.status, pulled.text()), (200, manifest(b"again")), "the replica, pulled from its registry")
    finally:
        ecr.put_replication_configuration(replicationConfiguration={"rules": []})


@check("an archived image is not pulled, and a repository behind a cache rule says that it is not filled")
def _(bench):
    ecr = aws.client(bench, "ecr", ROOT)
    ecr.create_repository(repositoryName="archived")
    push(bench, basic(ecr), "archived", "v1")
    manifest_url = f"{bench.server.url}/v2/archived/manifests/v1"
    same(aws.http(manifest_url, headers=basic(ecr)).status, 200, "before")
    image = {"repositoryName": "archived", "imageId": {"imageTag": "v1"}}
    ecr.update_image_storage_class(**image, targetStorageClass="ARCHIVE")
    refused = aws.http(manifest_url, headers=basic(ecr))
    same(refused.status, 404, "from the archive")
    contains(refused.text(), ["archived"], "what is said")
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
    cached = aws.http(f"{bench.server.url}/v2/quay/tool/manifests/v1", headers=basic(ecr))
    ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix="quay")
    same(cached.status, 404, "through the cache")
    contains(cached.text(), ["quay.io", "does not reach upstream registries"], "what is said")


@check("a layer comes in parts that follow each other, and none but the last may be small")
def _(bench):
    call = Caller(bench, "ecr", REGION, ROOT)
    ecr = call.root
    ecr.create_repository(repositoryName="parts")
    large = b"x" * (5 << 20)

    def part(upload, first, data):
        last = {"partFirstByte": first, "partLastByte": first + len(data) - 1}
        return {"repositoryName": "parts", "uploadId": upload, "layerPartBlob": data} | last

    begun = ecr.initiate_layer_upload(repositoryName="parts")["uploadId"]
    ecr.upload_layer_part(**part(begun, 0, large))
    call.refused("UploadLayerPart", "InvalidLayerPartException", f"First byte of the layer part is 7 instead of {len(large)}", **part(begun, 7, b"end"))
    wrong = part(begun, len(large), b"end") | {"partLastByte": len(large)}
    call.refused("UploadLayerPart", "InvalidLayerPartException", "has 3 bytes", **wrong)
    ecr.upload_layer_part(**part(begun, len(large), b"end"))
    whole = [digest(large + b"end")]
    ecr.complete_layer_upload(repositoryName="parts", uploadId=begun, layerDigests=whole)
    gone = {"repositoryName": "parts", "uploadId": begun, "layerDigests": whole}
    call.refused("CompleteLayerUpload", "UploadNotFoundException", begun, **gone)
    small = ecr.initiate_layer_upload(repositoryName="parts")["uploadId"]
    nothing = {"repositoryName": "parts", "uploadId": small, "layerDigests": [digest(b"smallend")]}
    call.refused("CompleteLayerUpload", "EmptyUploadException", "cannot be completed because it does not have any parts.", **nothing)
    ecr.upload_layer_part(**part(small, 0, b"small"))
    ecr.upload_layer_part(**part(small, 5, b"end"))
    call.refused("CompleteLayerUpload", "LayerPartTooSmallException", "5242880", **nothing)
    fetched = aws.http(ecr.get_download_url_for_layer(repositoryName="parts", layerDigest=whole[0])["downloadUrl"])
    same(digest(fetched.body), whole[0], "the layer that came back")


def equal_documents(got, wanted, what):
    """As Terraform compares policies: by what they say, lists of one text being that text."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return plain(value[0]) if len(value) == 1 else [plain(item) for item in value]
        return value

    same(plain(json.loads(got)), plain(json.loads(wanted)), what)


@check("Terraform's calls for aws_ecr_repository: create, read, change, destroy, and wait until it is gone")
def _(bench):
    ecr = aws.client(bench, "ecr", ROOT)
    made = ecr.create_repository(
        repositoryName="tf/app",
        imageTagMutability="IMMUTABLE",
        encryptionConfiguration={"encryptionType": "AES256"},
        imageScanningConfiguration={"scanOnPush": True},
        tags=[{"Key": "team", "Value": "web"}],
    )["repository"]
    [read] = ecr.describe_repositories(registryId=made["registryId"], repositoryNames=["tf/app"])["repositories"]
    same(read, made, "what is read is what was made: the plan is clean")
    same(ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"], [{"Key": "team", "Value": "web"}])
    named = {"repositoryName": "tf/app", "registryId": made["registryId"]}
    ecr.put_image_tag_mutability(**named, imageTagMutability="MUTABLE")
    ecr.put_image_scanning_configuration(**named, imageScanningConfiguration={"scanOnPush": False})
    ecr.untag_resource(resourceArn=made["repositoryArn"], tagKeys=["team"])
    ecr.tag_resource(resourceArn=made["repositoryArn"], tags=[{"Key": "team", "Value": "api"}])
    [read] = ecr.describe_repositories(registryId=made["registryId"], repositoryNames=["tf/app"])["repositories"]
    changed = (read["imageTagMutability"], read["imageScanningConfiguration"])
    same(changed, ("MUTABLE", {"scanOnPush": False}), "what was changed")
    push(bench, basic(ecr), "tf/app", "v1")
    code, message, _, _ = aws.refusal(ecr.delete_repository, **named, force=False)
    same(code, "RepositoryNotEmptyException", message)
    ecr.delete_repository(**named, force=True)
    code, _, _, _ = aws.refusal(ecr.describe_repositories, registryId=ACCOUNT, repositoryNames=["tf/app"])
    same(code, "RepositoryNotFoundException", "while it waits")


@check("Terraform's calls for the policies: aws_ecr_repository_policy, _lifecycle_policy, _registry_policy")
def _(bench):
    ecr = aws.client(bench, "ecr", ROOT)
    ecr.create_repository(repositoryName="tf/policies")
    text = policy(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], Sid="pull")
    ecr.set_repository_policy(repositoryName="tf/policies", policyText=text)
    read = ecr.get_repository_policy(repositoryName="tf/policies", registryId=ACCOUNT)["policyText"]
    equal_documents(read, text, "repository policy")
    ecr.delete_repository_policy(repositoryName="tf/policies", registryId=ACCOUNT)
    code, _, _, _ = aws.refusal(ecr.get_repository_policy, repositoryName="tf/policies")
    same(code, "RepositoryPolicyNotFoundException", "repository policy, destroyed")
    # What ECR says of a role that Terraform makes at the same time and that may not be there yet (terraform-provider-aws #39064).
    early = policy("ecr:BatchGetImage", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/not-yet"})
    _, message, _, _ = aws.refusal(ecr.set_repository_policy, repositoryName="tf/policies", policyText=early)
    contains(message, ["Principal not found"], "a principal that isn't there yet")
    ecr.put_lifecycle_policy(repositoryName="tf/policies", lifecyclePolicyText=lifecycle())
    read = ecr.get_lifecycle_policy(repositoryName="tf/policies")["lifecyclePolicyText"]
    equal_documents(read, lifecycle(), "lifecycle policy")
    ecr.delete_lifecycle_policy(repositoryName="tf/policies")
    code, _, _, _ = aws.refusal(ecr.get_lifecycle_policy, repositoryName="tf/policies")
    same(code, "LifecyclePolicyNotFoundException", "lifecycle policy, destroyed")
    wide = policy("ecr:ReplicateImage", Resource=[f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/*"])
    same(ecr.put_registry_policy(policyText=wide)["registryId"], ACCOUNT, "registryId")
    equal_documents(ecr.get_registry_policy()["policyText"], wide, "registry policy")
    ecr.delete_registry_policy()
    code, _, _, _ = aws.refusal(ecr.get_registry_policy)
    same(code, "RegistryPolicyNotFoundException", "registry policy, destroyed")
    ecr.delete_repository(repositoryName="tf/policies")


@check("Terraform's calls for the registry: scanning, replication, and creation templates")
def _(bench):
    ecr = aws.client(bench, "ecr", ROOT)
    rules = [{"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}]
    ecr.put_registry_scanning_configuration(scanType="BASIC", rules=rules)
    read = ecr.get_registry_scanning_configuration()
    same((read["registryId"], read["scanningConfiguration"]), (ACCOUNT, {"scanType": "BASIC", "rules": rules}))
    ecr.put_registry_scanning_configuration(scanType="BASIC", rules=[])
    same(ecr.get_registry_scanning_configuration()["scanningConfiguration"]["rules"], [], "rules, destroyed")
    filters = [{"filter": "prod-", "filterType": "PREFIX_MATCH"}]
    rule = {"destinations": [{"region": "us-west-2", "registryId": ACCOUNT}], "repositoryFilters": filters}
    ecr.put_replication_configuration(replicationConfiguration={"rules": [rule]})
    same(ecr.describe_registry()["replicationConfiguration"], {"rules": [rule]}, "replicationConfiguration")
    ecr.put_replication_configuration(replicationConfiguration={"rules": []})
    same(ecr.describe_registry()["replicationConfiguration"], {"rules": []}, "replicationConfiguration, destroyed")
    template = {
        "prefix": "tf-made",
        "description": "ours",
        "appliedFor": ["PULL_THROUGH_CACHE"],
        "imageTagMutability": "IMMUTABLE",
        "encryptionConfiguration": {"encryptionType": "AES256"},
        "repositoryPolicy": policy("ecr:BatchGetImage"),
        "lifecyclePolicy": lifecycle(),
    }
    ecr.create_repository_creation_template(**template)

    def read_template():
        [found] = ecr.describe_repository_creation_templates(prefixes=["tf-made"])["repositoryCreationTemplates"]
        return found

    read = read_template()
    equal_documents(read["repositoryPolicy"], template["repositoryPolicy"], "repositoryPolicy")
    equal_documents(read["lifecyclePolicy"], template["lifecyclePolicy"], "lifecyclePolicy")
    plain = ["prefix", "description", "appliedFor", "imageTagMutability", "encryptionConfiguration"]
    same({name: read[name] for name in plain}, {name: template[name] for name in plain}, "template")
    ecr.update_repository_creation_template(prefix="tf-made", description="yours", appliedFor=["REPLICATION"])
    read = read_template()
    same((read["description"], read["appliedFor"]), ("yours", ["REPLICATION"]), "what was changed")
    ecr.delete_repository_creation_template(prefix="tf-made")
    code, _, _, _ = aws.refusal(ecr.describe_repository_creation_templates, prefixes=["tf-made"])
    same(code, "TemplateNotFoundException", "template, destroyed")


# A repository is as large as its fullest page.
IMAGES = 250


@check("pages: hundreds of images come in pages, each once")
def _(bench):
    ecr = aws.client(bench, "ecr", ROOT)
    ecr.create_repository(repositoryName="pages")
    push(bench, basic(ecr), "pages", "v0")
    began = time.monotonic()
    for number in range(1, IMAGES):
        ecr.put_image(repositoryName="pages", imageManifest=manifest(b"pushed") + " " * number, imageTag=f"v{number}")
    spent = time.monotonic() - began
    pages = list(ecr.get_paginator("describe_images").paginate(repositoryName="pages", PaginationConfig={"PageSize": 99}))
    same([len(page["imageDetails"]) for page in pages], [99, 99, 52], f"images of each page, pushed in {spent:.1f} s")
    tags = [tag for page in pages for image in page["imageDetails"] for tag in image["imageTags"]]
    same(sorted(tags), sorted(f"v{number}" for number in range(IMAGES)), "tags")
    ecr.delete_repository(repositoryName="pages", force=True)


@check("pages: whoever deletes what a page told is told all, images and repositories")
def _(bench):
    ecr = aws.client(bench, "ecr", ROOT)
    for number in range(5):
        ecr.create_repository(repositoryName=f"paged/{number}")
    push(bench, basic(ecr), "paged/0", "v0")
    for number in range(1, 8):
        ecr.put_image(repositoryName="paged/0", imageManifest=manifest(b"pushed") + " " * number, imageTag="v0")
    untagged = ecr.get_paginator("list_images").paginate(
        repositoryName="paged/0", filter={"tagStatus": "UNTAGGED"}, PaginationConfig={"PageSize": 2}
    )
    for page in untagged:
        ecr.batch_delete_image(repositoryName="paged/0", imageIds=page["imageIds"])
    same([one.get("imageTag") for one in ecr.list_images(repositoryName="paged/0")["imageIds"]], ["v0"], "left")
    for page in ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 2}):
        names = [one["repositoryName"] for one in page["repositories"]]
        for name in [name for name in names if name.startswith("paged/")]:
            ecr.delete_repository(repositoryName=name, force=True)
    left = [one["repositoryName"] for one in ecr.describe_repositories()["repositories"]]
    same([name for name in left if name.startswith("paged/")], [], "repositories left")
