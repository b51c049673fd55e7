"""`landfall push`: every kind of source goes in, and skopeo takes out what had gone in."""

import json
import pathlib
import stat
import subprocess

import aws
import docker_engine
from containers import multi_layout
from harness import CLIENT_SECONDS_MAX, add, check, contains, program, same
from images import contents, copy, layout, log_in, manifest_of, password, role
from root_key import PUSH

OUT = "landfall-push"


def environment(bench, session=None, **more):
    """The environment of a job that has a session; nobody has logged in to the registry."""
    key, secret, token = session or aws.exchange(bench, bench.token())
    return bench.environment(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=token, **more)


def push(bench, *words, stdin=None, expect=0, **more):
    """Runs `landfall push --format json`; gives what it says of the first repository."""
    words = [bench.landfall, "push", "--format", "json", *words]
    done = bench.run(*words, env=environment(bench, **more), stdin=stdin, expect=expect)
    return json.loads(done.stdout)[0] if expect == 0 else done


def configuration(bench, name, platform="amd64"):
    """The configuration of an image in the registry, by skopeo."""
    login = log_in(bench, aws.exchange(bench, bench.token()), OUT)
    words = ["--override-arch", platform, "inspect", "--config", "--authfile", login, "--tls-verify=false"]
    return json.loads(bench.run(program("skopeo"), *words, f"docker://{bench.server.address}/{name}").stdout)


def own_configuration(folder):
    """The configuration of the only image of a layout."""
    blobs = contents(folder)
    manifest = json.loads(blobs[manifest_of(folder).removeprefix("sha256:")])
    return json.loads(blobs[manifest["config"]["digest"].removeprefix("sha256:")])


def archive(bench, name, kind="docker-archive"):
    """A layout, and the same image as an archive that skopeo has written."""
    source, file = bench.dir / f"archive-{name}", bench.dir / f"archive-{name}.tar"
    layout(source)
    words = ["--insecure-policy", "copy", f"oci:{source}:it", f"{kind}:{file}:app:{name}"]
    bench.run(program("skopeo"), *words)
    return source, file


@check("a docker archive goes in, and its layers hold what they held; the same archive has the same digest")
def _(bench):
    source, file = archive(bench, "saved")
    name = f"{bench.server.address}/web:saved"
    first, second = push(bench, "--archive", file, name), push(bench, file, name)
    same((first["digest"], second["blobsSent"]), (second["digest"], 0), "digest, and what is sent again")
    same(configuration(bench, "web:saved")["rootfs"], own_configuration(source)["rootfs"], "layers")
    back = bench.dir / "saved-back"
    copy(bench, bench.dir / f"auth-{OUT}.json", f"docker://{name}", f"dir:{back}")
    same((back / "manifest.json").is_file(), True, "skopeo has unpacked it, and checked each digest")


@check("the same archive through standard input, and with gzip, is the same image")
def _(bench):
    _, file = archive(bench, "streamed")
    name = f"{bench.server.address}/web:streamed"
    wanted = push(bench, file, name)["digest"]
    subprocess.run(["gzip", "--keep", "--fast", str(file)], check=True)
    same(push(bench, f"{file}.gz", name)["digest"], wanted, "digest of the compressed one")
    with open(file, "rb") as stream:
        words = [bench.landfall, "push", "--format", "json", "-", name]
        done = subprocess.run(words, stdin=stream, env=environment(bench), capture_output=True, check=True, timeout=CLIENT_SECONDS_MAX)
    same(json.loads(done.stdout)[0]["digest"], wanted, "digest of the streamed one")


@check("an OCI layout in an archive keeps its digest")
def _(bench):
    source, file = archive(bench, "packed", kind="oci-archive")
    name = f"{bench.server.address}/web:packed"
    same(push(bench, file, name)["digest"], manifest_of(source), "digest")


@check("of an index, all images go in, or the one of a platform")
def _(bench):
    source = bench.dir / "push-multi"
    index, images = multi_layout(source)
    there = f"{bench.server.address}/web"
    whole = push(bench, "--oci", source, f"{there}:multi-pushed")
    same((whole["digest"], whole["manifests"]), (index, 3), "digest and number of manifests")
    same(push(bench, "--oci", source, "--platform", "linux/arm64", there)["digest"], images["arm64"], "digest")
    refused = push(bench, "--oci", source, "--platform", "linux/s390x", there, expect=2)
    contains(refused.stderr, ["no image for linux/s390x", "linux/amd64", "linux/arm64"])


@check("directories for two machines become an index, on a base image, with the same digest again")
def _(bench):
    source, folders = bench.dir / "push-base", {}
    multi_layout(source)
    for platform in ("amd64", "arm64"):
        folders[platform] = bench.folder(f"push-{platform}")
        (folders[platform] / "server").write_text(platform)
    name = f"{bench.server.address}/web:two-machines"
    dirs = [word for platform, folder in folders.items() for word in ("--dir", f"linux/{platform}={folder}")]
    words = [*dirs, "--base", source, "--entrypoint", "/server", "--expose", "8080", "--env", "A=b=c", name]
    first, second = push(bench, *words), push(bench, *words)
    same((first["digest"], first["manifests"]), (second["digest"], 3), "digest and number of manifests")
    config = configuration(bench, "web:two-machines", "arm64")
    same(config["architecture"], "arm64", "architecture")
    same(len(config["rootfs"]["diff_ids"]), 3, "layers: the base's two, and ours")
    run = config["config"]
    same((run["Entrypoint"], run["Env"], run["ExposedPorts"]), (["/server"], ["A=b=c"], {"8080/tcp": {}}), "config")


@check("what a neighbour repository has is mounted where the account has it so")
def _(bench):
    root = aws.client(bench, "ecr", ("test", "test"))
    root.create_repository(repositoryName="neighbour")
    root.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    source = bench.dir / "push-mount"
    layout(source)
    names = [f"{bench.server.address}/{name}:mounted" for name in ("web", "neighbour")]
    words = [bench.landfall, "push", "--format", "json", "--oci", source, *names]
    [first, second] = json.loads(bench.run(*words, env=environment(bench)).stdout)
    root.put_account_setting(name="BLOB_MOUNTING", value="DISABLED")
    same((first["blobsSent"], second["blobsSent"], second["blobsMounted"]), (3, 0, 3), "blobs sent and mounted")


@check("--create-repository makes what isn't there, and without it the message says so")
def _(bench):
    source = bench.dir / "push-new"
    layout(source)
    words = ["--oci", source, f"{bench.server.address}/brand/new:v1"]
    refused = push(bench, *words, expect=1)
    contains(refused.stderr, ["NAME_UNKNOWN", "brand/new", "--create-repository"])
    session = role(bench, "maker", PUSH.replace('"ecr:PutImage"', '"ecr:PutImage", "ecr:CreateRepository"'))
    made = push(bench, *words, "--create-repository", session=session)
    same((made["repositoryCreated"], made["tags"]), (True, ["v1"]), "what was made")


@check("--dry-run says what is missing and sends nothing; the digest is in a file when that is wanted")
def _(bench):
    source, file = bench.dir / "push-dry", bench.dir / "push-digest"
    digest = layout(source)
    words = ["--oci", source, f"{bench.server.address}/web:dry"]
    for _ in range(2):
        planned = push(bench, *words, "--dry-run")
        same((planned["digest"], planned["blobsMissing"]), (digest, 3), "what would be sent")
    push(bench, *words, "--digest-file", file)
    same(file.read_text(), digest + "\n", "the file")
    same(push(bench, *words, "--dry-run")["blobsMissing"], 0, "blobs missing afterwards")


@check("a login comes from the credential helper that Docker's configuration names; its secret is never shown")
def _(bench):
    source, tools, config = bench.dir / "push-helper", bench.folder("push-tools"), bench.folder("push-docker")
    layout(source)
    secret = password(bench, aws.exchange(bench, bench.token()))
    helper = tools / "docker-credential-checked"
    there = bench.server.address

    def answers(script):
        helper.write_text(f"#!/bin/sh\nread -r registry\n{script}\n")
        helper.chmod(helper.stat().st_mode | stat.S_IXUSR)

    (config / "config.json").write_text(json.dumps({"credHelpers": {there: "checked"}}))
    more = {"PATH": f"{tools}:{bench.environment()['PATH']}", "DOCKER_CONFIG": str(config)}
    # Without AWS's own way to a password: only the helper has one.
    alone = bench.environment(AWS_ENDPOINT_URL="", **more)
    words = [bench.landfall, "push", "--oci", source, f"{there}/web:helper"]
    answers(f'[ "$1 $registry" = "get {there}" ] && echo \'{{"Username":"AWS","Secret":"{secret}"}}\'')
    bench.run(*words, env=alone)
    for script, wanted in [
        ("echo 'credentials not found in native keychain'; exit 1", "wants a login: there is none in"),
        ("echo 'the keychain is locked'; exit 1", "docker-credential-checked failed: the keychain is locked"),
        (f"echo '{secret}'", "docker-credential-checked answered no JSON with Username and Secret"),
        ('echo \'{"Username":"AWS","Secret":"guess"}\'', "it doesn't take the one of docker-credential-checked"),
    ]:
        answers(script)
        refused = bench.run(*words, env=alone, expect=1)
        contains(refused.stderr, [wanted])
        same(secret in refused.stderr, False, "the secret is shown")


@check("sources that hold nothing, are damaged or aren't there: exit code 2, and which file")
def _(bench):
    source, file = archive(bench, "damaged")
    there = f"{bench.server.address}/web:never"
    bench.run(bench.landfall, "push", "/nowhere", there, expect=2)
    for content, wanted in [
        (b"", "holds no image"),
        (b"nonsense" * 200, "is not a tar archive"),
        (file.read_bytes()[:200_000], "cut short"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "compressed with zstd"),
    ]:
        broken = bench.dir / "broken.tar"
        broken.write_bytes(content)
        contains(push(bench, broken, there, expect=2).stderr, ["broken.tar", wanted])
    blob = max(pathlib.Path(source, "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(bytes(blob.stat().st_size))
    contains(push(bench, "--oci", source, there, expect=2).stderr, [blob.name, "is damaged"])


def from_engine(bench):
    _, file = archive(bench, "loaded")
    docker_engine.docker(bench, "load", "--input", file)
    name = f"{bench.server.address}/web:engine"
    host = docker_engine.engine(bench)
    pushed = push(bench, "--engine", "app:loaded", name, DOCKER_HOST=host)
    by_file = push(bench, file, name)
    wanted = json.loads(docker_engine.docker(bench, "inspect", "app:loaded").stdout)[0]["RootFS"]["Layers"]
    same(configuration(bench, "web:engine")["rootfs"]["diff_ids"], wanted, "layers")
    same(pushed["blobsSent"] + pushed["blobsPresent"], by_file["blobsPresent"] + by_file["blobsSent"], "blobs")
    refused = push(bench, "--engine", "app:gone", name, expect=2, DOCKER_HOST=host)
    contains(refused.stderr, ["gives no image `app:gone`", "No such image"])
    nowhere = push(bench, "--engine", "app", name, expect=3, DOCKER_HOST=f"unix://{bench.dir}/none.sock")
    contains(nowhere.stderr, ["asking the container engine at", "none.sock"])


add("docker_engine", "landfall push takes an image out of the engine", from_engine)
