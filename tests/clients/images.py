"""Images go in and come back the same, byte for byte: skopeo, and the registry's HTTP."""

import base64
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import tarfile

import aws
from harness import ACCOUNT, REGION, Wrong, check, contains, program, same
from root_key import PUSH, allow, trust, without

LAYER_BYTES = 300_000
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TARGET = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/web"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layout(folder, architecture="amd64"):
    """An OCI layout with an image of two layers of random bytes; gives the manifest's digest."""
    blobs = pathlib.Path(folder, "blobs/sha256")
    blobs.mkdir(parents=True)

    def blob(data, media_type):
        (blobs / digest(data).removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    layers, diff_ids = [], []
    for name in ("first", "second"):
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            member = tarfile.TarInfo(f"data/{name}")
            member.size = LAYER_BYTES
            archive.addfile(member, io.BytesIO(os.urandom(LAYER_BYTES)))
        diff_ids.append(digest(tar.getvalue()))
        layers.append(blob(gzip.compress(tar.getvalue(), mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip"))
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/data/first"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    config = blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
    described = blob(json.dumps(manifest).encode(), MANIFEST)
    index = {"schemaVersion": 2, "manifests": [described | {"annotations": {"org.opencontainers.image.ref.name": "it"}}]}
    pathlib.Path(folder, "index.json").write_text(json.dumps(index))
    pathlib.Path(folder, "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return described["digest"]


def contents(folder):
    """Every blob of a layout, by name."""
    return {path.name: path.read_bytes() for path in pathlib.Path(folder, "blobs/sha256").iterdir()}


def manifest_of(folder):
    return json.loads(pathlib.Path(folder, "index.json").read_text())["manifests"][0]["digest"]


def password(bench, session):
    key, secret, token = session
    environment = bench.environment(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=token)
    return bench.run(program("aws"), "ecr", "get-login-password", env=environment).stdout.strip()


def log_in(bench, session, name):
    """`aws ecr get-login-password | skopeo login`; gives the file that holds the login."""
    file = bench.dir / f"auth-{name}.json"
    login = ["login", "--tls-verify=false", "--authfile", file, "--username", "AWS", "--password-stdin"]
    bench.run(program("skopeo"), *login, bench.server.address, stdin=password(bench, session))
    return file


def copy(bench, login, source, target, expect=0):
    """`skopeo copy` between a layout and the registry."""
    tls = ["--src-tls-verify=false"] if source.startswith("docker:") else ["--dest-tls-verify=false"]
    return bench.run(
        program("skopeo"), "--insecure-policy", "copy", "--authfile", login, *tls, source, target, expect=expect
    )


def role(bench, name, policy):
    """A role for acme/web in the default account with this policy; gives a session of it."""
    iam = aws.client(bench, "iam", ("test", "test"))
    subject = "repo:acme/web:ref:refs/heads/main"
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(ACCOUNT, subject))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)
    return aws.exchange(bench, bench.token(), role=arn)


@check("skopeo: logs in with the password, pushes an image, pulls it, and every byte is the same")
def _(bench):
    source, back = bench.dir / "image", bench.dir / "image-back"
    pushed = layout(source)
    login = log_in(bench, aws.exchange(bench, bench.token()), "skopeo")
    there = f"docker://{bench.server.address}/web:skopeo"
    copy(bench, login, f"oci:{source}:it", there)
    copy(bench, login, there, f"oci:{back}:it")
    same(manifest_of(back), pushed, "digest of the manifest")
    wanted, got = contents(source), contents(back)
    same(sorted(got), sorted(wanted), "blobs")
    for name, data in wanted.items():
        same(got[name] == data, True, f"blob {name} came back with the same bytes")


@check("skopeo: an image is found by digest, and inspect shows its layers and its tag")
def _(bench):
    source = bench.dir / "image-inspect"
    pushed = layout(source)
    login = log_in(bench, aws.exchange(bench, bench.token()), "inspect")
    repository = f"docker://{bench.server.address}/web"
    copy(bench, login, f"oci:{source}:it", f"{repository}:inspect")
    inspect = ["inspect", "--authfile", login, "--tls-verify=false"]
    seen = json.loads(bench.run(program("skopeo"), *inspect, f"{repository}@{pushed}").stdout)
    same(seen["Digest"], pushed, "Digest")
    same(len(seen["Layers"]), 2, "number of layers")
    contains(" ".join(seen["RepoTags"]), ["inspect"], "RepoTags")


@check("boto3: ECR describes what skopeo pushed: digest, tag, size, media type")
def _(bench):
    source = bench.dir / "image-described"
    pushed = layout(source)
    session = aws.exchange(bench, bench.token())
    login = log_in(bench, session, "described")
    copy(bench, login, f"oci:{source}:it", f"docker://{bench.server.address}/web:described")
    ecr = aws.client(bench, "ecr", session)
    [image] = ecr.describe_images(repositoryName="web", imageIds=[{"imageTag": "described"}])["imageDetails"]
    manifest = json.loads(contents(source)[pushed.removeprefix("sha256:")])
    same(image["imageDigest"], pushed, "imageDigest")
    same(image["imageTags"], ["described"], "imageTags")
    same(image["imageManifestMediaType"], MANIFEST, "imageManifestMediaType")
    # AWS doesn't say whether the configuration counts.
    layers = sum(layer["size"] for layer in manifest["layers"])
    possible = [layers, layers + manifest["config"]["size"]]
    same(image["imageSizeInBytes"] in possible, True, f"imageSizeInBytes {image['imageSizeInBytes']}, one of {possible}")
    listed = ecr.list_images(repositoryName="web")["imageIds"]
    same({"imageDigest": pushed, "imageTag": "described"} in listed, True, f"listed: {listed}")


@check("what `landfall push` pushed, skopeo pulls: the same digest")
def _(bench):
    folder, back = bench.folder("files"), bench.dir / "pushed-back"
    (folder / "hello.txt").write_text("hello\n")
    session = aws.exchange(bench, bench.token())
    key, secret, token = session
    environment = bench.environment(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=token)
    bench.run(bench.landfall, "ecr", "login", env=environment)
    name = f"{bench.server.address}/web:by-landfall"
    said = bench.run(bench.landfall, "push", "--dir", folder, "--entrypoint", "/hello.txt", name, env=environment)
    copy(bench, log_in(bench, session, "landfall"), f"docker://{name}", f"oci:{back}:it")
    contains(said.stdout + said.stderr, [manifest_of(back)], "what `landfall push` said")


@check("what skopeo has as a layout, `landfall push` pushes: skopeo pulls the same bytes")
def _(bench):
    source, back = bench.dir / "layout", bench.dir / "layout-back"
    pushed = layout(source)
    session = aws.exchange(bench, bench.token())
    key, secret, token = session
    environment = bench.environment(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=token)
    bench.run(bench.landfall, "ecr", "login", env=environment)
    name = f"{bench.server.address}/web:layout"
    bench.run(bench.landfall, "push", "--oci", source, name, env=environment)
    copy(bench, log_in(bench, session, "layout"), f"docker://{name}", f"oci:{back}:it")
    same((manifest_of(back), contents(back) == contents(source)), (pushed, True), "digest, and equal blobs")


@check("a role without ecr:PutImage gets all but the manifest in, and is told which action is missing")
def _(bench):
    source = bench.dir / "image-denied"
    layout(source)
    session = role(bench, "no-put-image", without(PUSH, "ecr:PutImage"))
    login = log_in(bench, session, "no-put-image")
    refused = copy(bench, login, f"oci:{source}:it", f"docker://{bench.server.address}/web:denied", expect=1)
    contains(
        refused.stderr,
        [f"arn:aws:sts::{ACCOUNT}:assumed-role/no-put-image/reader is not authorized to perform: ecr:PutImage", TARGET],
        "what skopeo says",
    )


@check("a role that may only push may not pull")
def _(bench):
    source = bench.dir / "image-push-only"
    layout(source)
    only = without(without(PUSH, "ecr:BatchGetImage"), "ecr:BatchCheckLayerAvailability")
    pusher = log_in(bench, aws.exchange(bench, bench.token()), "power-user")
    there = f"docker://{bench.server.address}/web:push-only"
    copy(bench, pusher, f"oci:{source}:it", there)
    login = log_in(bench, role(bench, "push-only", only), "push-only")
    refused = copy(bench, login, there, f"oci:{bench.dir}/push-only-back:it", expect=1)
    contains(refused.stderr, ["is not authorized to perform: ecr:BatchGetImage"], "what skopeo says")


@check("a role for one repository may not push to another")
def _(bench):
    source = bench.dir / "image-other"
    layout(source)
    aws.client(bench, "ecr", ("test", "test")).create_repository(repositoryName="other")
    policy = json.loads(PUSH)
    policy["Statement"][0]["Resource"] = TARGET
    policy["Statement"].append(json.loads(allow("ecr:GetAuthorizationToken"))["Statement"][0])
    login = log_in(bench, role(bench, "web-only", json.dumps(policy)), "web-only")
    copy(bench, login, f"oci:{source}:it", f"docker://{bench.server.address}/web:mine")
    refused = copy(bench, login, f"oci:{source}:it", f"docker://{bench.server.address}/other:mine", expect=1)
    contains(refused.stderr, ["403 (Forbidden)", "repository other"], "what skopeo says")


@check("a repository that isn't there is named by its refusal")
def _(bench):
    source = bench.dir / "image-nowhere"
    layout(source)
    login = log_in(bench, aws.exchange(bench, bench.token()), "nowhere")
    refused = copy(bench, login, f"oci:{source}:it", f"docker://{bench.server.address}/nowhere:it", expect=1)
    contains(
        refused.stderr,
        [f"The repository with name 'nowhere' does not exist in the registry with id '{ACCOUNT}'"],
        "what skopeo says",
    )


@check("the registry answers as ECR does: 401 without credentials, 400 with wrong ones")
def _(bench):
    answer = aws.http(f"{bench.server.url}/v2/")
    same((answer.status, answer.text()), (401, "Not Authorized\n"), "status and body")
    contains(answer.headers["www-authenticate"], ['Basic realm="', 'service="ecr.amazonaws.com"'], "www-authenticate")
    same(answer.headers["docker-distribution-api-version"], "registry/2.0", "docker-distribution-api-version")
    basic = base64.b64encode(b"AWS:guess").decode()
    for path in ("/v2/", "/v2/web/tags/list"):
        answer = aws.http(bench.server.url + path, headers={"authorization": f"Basic {basic}"})
        # ECR answers 400, as Docker's users know: "login attempt failed with status: 400 Bad Request".
        same(answer.status, 400, f"status of {path}")
        contains(answer.text(), ["DENIED", "Your Authorization Token is invalid."], "body")


@check("a blob whose bytes don't have the digest that was said is not taken")
def _(bench):
    basic = base64.b64encode(f"AWS:{password(bench, aws.exchange(bench, bench.token()))}".encode()).decode()
    headers = {"authorization": f"Basic {basic}"}
    started = aws.http(f"{bench.server.url}/v2/web/blobs/uploads/", "POST", b"", headers)
    same(started.status, 202, "status")
    place = started.headers["location"]
    place = place if place.startswith("http") else bench.server.url + place
    wrong = digest(b"something else")
    answer = aws.http(f"{place}?digest={wrong}", "PUT", b"these bytes", headers)
    same(answer.status, 400, "status")
    contains(answer.text(), ["BLOB_UPLOAD_INVALID"], "body")
    missing = aws.http(f"{bench.server.url}/v2/web/blobs/{wrong}", "HEAD", headers=headers)
    same(missing.status, 404, "status of the blob afterwards")


@check("an image by digest that was changed on its way is refused")
def _(bench):
    source = bench.dir / "image-changed"
    pushed = layout(source)
    manifest = contents(source)[pushed.removeprefix("sha256:")]
    session = aws.exchange(bench, bench.token())
    copy(bench, log_in(bench, session, "changed"), f"oci:{source}:it", f"docker://{bench.server.address}/web:changed")
    basic = base64.b64encode(f"AWS:{password(bench, session)}".encode()).decode()
    headers = {"authorization": f"Basic {basic}", "content-type": MANIFEST}
    answer = aws.http(f"{bench.server.url}/v2/web/manifests/{pushed}", "PUT", manifest + b" ", headers)
    if answer.status < 400:
        raise Wrong(f"a manifest with another digest was taken: {answer.status}")
    shutil.rmtree(source)
