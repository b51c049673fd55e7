"""ECR Public's registry: skopeo, docker, `landfall push` and the helper against the local public.ecr.aws."""

import base64
import json

import aws
import docker_engine
from harness import ACCOUNT, add, check, contains, lacks, program, same
from images import contents, copy, layout, manifest_of, role
from root_key import allow

ROOT = ("test", "test")
# ECR Public's calls are made in one region.
REGION = "us-east-1"
ACTIONS = ["InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"]
LOGIN = ["ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"]


def publisher(bench, name, *left_out):
    """A session that may push to ECR Public, but for some actions."""
    actions = [f"ecr-public:{action}" for action in ACTIONS if action not in left_out]
    return role(bench, name, allow(*LOGIN, *actions))


def repository(bench, name):
    """A new public repository; `ALIAS/NAME`, as it is called after the registry's address."""
    client = aws.client(bench, "ecr-public", ROOT, region=REGION)
    uri = client.create_repository(repositoryName=name)["repository"]["repositoryUri"]
    return uri.removeprefix("public.ecr.aws/")


def address(bench):
    return bench.server.ready["public_registry"]


def password(bench, session):
    """`aws ecr-public get-login-password`."""
    key, secret, token = session
    environment = bench.environment(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=token)
    words = ["ecr-public", "get-login-password", "--region", REGION]
    return bench.run(program("aws"), *words, env=environment).stdout.strip()


def log_in(bench, session, name):
    """`skopeo login`; gives the file that holds the login."""
    file = bench.dir / f"auth-{name}.json"
    login = ["login", "--tls-verify=false", "--authfile", file, "--username", "AWS", "--password-stdin"]
    bench.run(program("skopeo"), *login, address(bench), stdin=password(bench, session))
    return file


def nobody(bench):
    """A file without a login."""
    file = bench.dir / "auth-nobody.json"
    file.write_text("{}")
    return file


@check("skopeo: who may pushes an image, and anybody pulls it without a login, byte for byte")
def _(bench):
    source, back = bench.dir / "public", bench.dir / "public-back"
    pushed = layout(source)
    there = f"docker://{address(bench)}/{repository(bench, 'open')}:v1"
    copy(bench, log_in(bench, publisher(bench, "public-pusher"), "public"), f"oci:{source}:it", there)
    copy(bench, nobody(bench), there, f"oci:{back}:it")
    same((manifest_of(back), contents(back) == contents(source)), (pushed, True), "digest, equal blobs")
    client = aws.client(bench, "ecr-public", ROOT, region=REGION)
    [image] = client.describe_images(repositoryName="open")["imageDetails"]
    same((image["imageDigest"], image["imageTags"]), (pushed, ["v1"]), "what ECR Public describes")
    words = ["inspect", "--authfile", nobody(bench), "--tls-verify=false", there]
    same(json.loads(bench.run(program("skopeo"), *words).stdout)["RepoTags"], ["v1"], "tags that anybody sees")


@check("skopeo: without a login nobody pushes, and with one only who may, in AWS's words")
def _(bench):
    source = bench.dir / "public-refused"
    layout(source)
    there = f"docker://{address(bench)}/{repository(bench, 'closed')}:v1"
    said = copy(bench, nobody(bench), f"oci:{source}:it", there, expect=1).stderr
    contains(said, ["Not Authorized"], "what skopeo says without a login")
    login = log_in(bench, publisher(bench, "public-no-image", "PutImage"), "public-no-image")
    said = copy(bench, login, f"oci:{source}:it", there, expect=1).stderr
    arn = f"arn:aws:ecr-public::{ACCOUNT}:repository/closed"
    contains(said, [f"not authorized to perform: ecr-public:PutImage on resource: {arn}"], "what skopeo says")


@check("skopeo: a wrong password is refused, and so is one of the private registry")
def _(bench):
    words = ["login", "--tls-verify=false", "--authfile", nobody(bench), "--username", "AWS", "--password-stdin"]
    private = aws.client(bench, "ecr", ROOT).get_authorization_token()["authorizationData"][0]["authorizationToken"]
    private = base64.b64decode(private).decode().removeprefix("AWS:")
    for wrong in ("guess", private):
        said = bench.run(program("skopeo"), *words, address(bench), stdin=wrong, expect=1).stderr
        contains(said, ["invalid status code from registry 400"], "what skopeo says")


@check("skopeo: without a login the private registry says what ECR says, and asks for one")
def _(bench):
    words = ["inspect", "--no-creds", "--tls-verify=false", f"docker://{bench.server.address}/web:none"]
    said = bench.run(program("skopeo"), *words, expect=1).stderr
    contains(said, ["unauthorized: authentication required"], "what skopeo says")
    lacks(said, ["Your Authorization Token is invalid"], "what skopeo says")


@check("landfall push: to public.ecr.aws, which leads here, and to the local address, without a login at hand")
def _(bench):
    source = bench.dir / "public-landfall"
    pushed = layout(source)
    name = repository(bench, "pushed")
    key, secret, token = publisher(bench, "public-landfall")
    session = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}
    for registry, tag in (("public.ecr.aws", "by-name"), (address(bench), "by-address")):
        words = ["push", "--format", "json", source, f"{registry}/{name}:{tag}"]
        [said] = json.loads(bench.run(bench.landfall, *words, env=bench.environment(**session)).stdout)
        same(said["digest"], pushed, "digest")
    client = aws.client(bench, "ecr-public", ROOT, region=REGION)
    [image] = client.describe_images(repositoryName="pushed")["imageDetails"]
    same(sorted(image["imageTags"]), ["by-address", "by-name"], "tags")


@check("landfall push: who may not is told which action is missing")
def _(bench):
    source = bench.dir / "public-landfall-refused"
    layout(source)
    name = repository(bench, "unpushed")
    key, secret, token = publisher(bench, "public-no-start", "InitiateLayerUpload")
    session = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}
    words = ["push", source, f"public.ecr.aws/{name}:v1"]
    said = bench.run(bench.landfall, *words, env=bench.environment(**session), expect=1).stderr
    contains(said, ["ecr-public:InitiateLayerUpload"], "what landfall says")


def _docker(bench):
    docker_engine.engine(bench)
    name = f"{address(bench)}/{repository(bench, 'docker')}:v1"
    place = bench.folder("build-public")
    (place / "data").write_bytes(b"public")
    (place / "Dockerfile").write_text('FROM scratch\nCOPY data /data\nCMD ["/data"]\n')
    docker_engine.docker(bench, "build", "--tag", name, place)
    said = docker_engine.docker(bench, "push", name, expect=1)
    contains(said.stderr + said.stdout, ["Not Authorized"], "what a push without a login says")
    login = ["login", "--username", "AWS", "--password-stdin", address(bench)]
    secret = password(bench, publisher(bench, "public-docker"))
    contains(docker_engine.docker(bench, *login, stdin=secret).stdout, ["Login Succeeded"])
    docker_engine.docker(bench, "push", name)
    docker_engine.docker(bench, "logout", address(bench))
    built = docker_engine.docker(bench, "inspect", "--format", "{{.Id}}", name).stdout
    docker_engine.docker(bench, "rmi", name)
    docker_engine.docker(bench, "pull", name)
    same(docker_engine.docker(bench, "inspect", "--format", "{{.Id}}", name).stdout, built, "id of the image")


# Left out where no engine can be started, as all of that group are.
add("docker_engine", "ECR Public: a push needs a login that may, and a pull none", _docker)
