"""Images for several platforms, with skopeo, podman, buildah and docker: in and out, by tag and by digest."""

import json
import pathlib
import re

import aws
import docker_engine
from harness import ACCOUNT, Wrong, add, check, contains, program, same
from images import PUSH, contents, digest, layout, log_in, manifest_of, password, role, without

INDEX = "application/vnd.oci.image.index.v1+json"
PLATFORMS = ("amd64", "arm64")


def multi_layout(folder):
    """An OCI layout with one index of two images; gives the digests: the index, and each platform's image."""
    images, described = {}, []
    blobs = pathlib.Path(folder, "blobs/sha256")
    blobs.mkdir(parents=True)
    for platform in PLATFORMS:
        single = pathlib.Path(f"{folder}-{platform}")
        images[platform] = layout(single, platform)
        for name, data in contents(single).items():
            (blobs / name).write_bytes(data)
        [descriptor] = json.loads((single / "index.json").read_text())["manifests"]
        del descriptor["annotations"]
        described.append(descriptor | {"platform": {"os": "linux", "architecture": platform}})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": described}).encode()
    (blobs / digest(index).removeprefix("sha256:")).write_bytes(index)
    named = {"mediaType": INDEX, "digest": digest(index), "size": len(index)}
    named["annotations"] = {"org.opencontainers.image.ref.name": "it"}
    pathlib.Path(folder, "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    pathlib.Path(folder, "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return digest(index), images


def pushed(bench, name):
    """An index that skopeo has pushed as web:NAME: its digest, and each platform's."""
    source = bench.dir / f"multi-{name}"
    index, images = multi_layout(source)
    login = log_in(bench, aws.exchange(bench, bench.token()), f"multi-{name}")
    every(bench, login, f"oci:{source}:it", f"docker://{bench.server.address}/web:{name}")
    return index, images


def with_engine(title):
    """A check that is left out where no engine can be started, as all of its group are."""
    return lambda function: add("docker_engine", title.removeprefix("docker: "), function)


def every(bench, login, source, target):
    """`skopeo copy --all`: the index with all its images."""
    tls = "--src-tls-verify=false" if source.startswith("docker:") else "--dest-tls-verify=false"
    words = ["--insecure-policy", "copy", "--all", "--authfile", login, tls, source, target]
    return bench.run(program("skopeo"), *words)


def podman(bench, *arguments, tool="podman", variables=(), **more):
    """podman or buildah with a store of its own, without a driver that needs anything of the kernel; and with a
    home of its own, where they look for Docker's logins even when they are told of a file."""
    place = bench.dir / "containers"
    (place / "home").mkdir(parents=True, exist_ok=True)
    store = ["--root", place / "root", "--runroot", place / "run", "--storage-driver", "vfs"]
    environment = bench.environment(**dict(variables) | {"HOME": str(place / "home")})
    return bench.run(program(tool), *store, *arguments, env=environment, **more)


def buildah(bench, *arguments, **more):
    return podman(bench, *arguments, tool="buildah", **more)


def login(bench, tool, session, name):
    """`podman login` or `buildah login`; gives the file that holds the login."""
    file = bench.dir / f"auth-{name}.json"
    words = ["login", "--tls-verify=false", "--authfile", file, "--username", "AWS", "--password-stdin"]
    tool(bench, *words, bench.server.address, stdin=password(bench, session))
    return file


@check("skopeo: an index with two images goes in and comes back, by tag and by digest, byte for byte")
def _(bench):
    index, images = pushed(bench, "skopeo-multi")
    source = bench.dir / "multi-skopeo-multi"
    login = log_in(bench, aws.exchange(bench, bench.token()), "multi-back")
    for name, place in (("tag", ":skopeo-multi"), ("digest", f"@{index}")):
        back = bench.dir / f"multi-back-{name}"
        every(bench, login, f"docker://{bench.server.address}/web{place}", f"oci:{back}:it")
        same((manifest_of(back), contents(back) == contents(source)), (index, True), f"by {name}: digest, equal blobs")
    for platform, wanted in images.items():
        one = bench.dir / f"multi-one-{platform}"
        words = ["--insecure-policy", "--override-arch", platform, "copy", "--authfile", login, "--src-tls-verify=false"]
        bench.run(program("skopeo"), *words, f"docker://{bench.server.address}/web:skopeo-multi", f"oci:{one}:it")
        same(manifest_of(one), wanted, f"the image for {platform}")


@check("boto3: ECR describes an index and both of its images, and only the index has the tag")
def _(bench):
    index, images = pushed(bench, "described-multi")
    ecr = aws.client(bench, "ecr", aws.exchange(bench, bench.token()))
    ids = [{"imageDigest": name} for name in (index, *images.values())]
    details = ecr.describe_images(repositoryName="web", imageIds=ids)["imageDetails"]
    found = {image["imageDigest"]: (image["imageManifestMediaType"], image.get("imageTags")) for image in details}
    same(found.pop(index), (INDEX, ["described-multi"]), "the index")
    single = ("application/vnd.oci.image.manifest.v1+json", None)
    same(found, {name: single for name in images.values()}, "the images")


@check("podman: pulls each platform's image of an index, pushes what it pulled, and pulls that by digest")
def _(bench):
    index, images = pushed(bench, "podman-multi")
    session = aws.exchange(bench, bench.token())
    file = login(bench, podman, session, "podman")
    name = f"{bench.server.address}/web"
    flags = ["--tls-verify=false", "--authfile", file]
    for platform, wanted in images.items():
        podman(bench, "pull", "--quiet", "--arch", platform, *flags, f"{name}:podman-multi")
        [seen] = json.loads(podman(bench, "inspect", f"{name}:podman-multi").stdout)
        same((seen["Architecture"], wanted in str(seen)), (platform, True), f"platform, and {wanted} in what podman knows")
        file_of_digest = bench.dir / f"podman-{platform}"
        podman(bench, "push", *flags, "--digestfile", file_of_digest, f"{name}:podman-multi", f"{name}:by-podman-{platform}")
        mine = file_of_digest.read_text().strip()
        podman(bench, "rmi", "--force", f"{name}:podman-multi")
        podman(bench, "pull", "--quiet", *flags, f"{name}@{mine}")
    podman(bench, "pull", "--quiet", *flags, f"{name}@{index}")


@check("podman: an index that it made is pushed whole, and skopeo sees both of its platforms")
def _(bench):
    pushed(bench, "podman-parts")
    session = aws.exchange(bench, bench.token())
    file = login(bench, podman, session, "podman-manifest")
    name = f"{bench.server.address}/web"
    flags = ["--tls-verify=false", "--authfile", file]
    podman(bench, "manifest", "create", "made")
    podman(bench, "manifest", "add", "--all", *flags, "made", f"docker://{name}:podman-parts")
    podman(bench, "manifest", "push", "--all", *flags, "made", f"docker://{name}:by-podman")
    raw = ["inspect", "--raw", "--tls-verify=false", "--authfile", file, f"docker://{name}:by-podman"]
    index = json.loads(bench.run(program("skopeo"), *raw).stdout)
    same(sorted(item["platform"]["architecture"] for item in index["manifests"]), list(PLATFORMS), "platforms")


@check("podman: without a login, without the action, and from nowhere, each refusal has AWS's words")
def _(bench):
    pushed(bench, "podman-refused")
    name = f"{bench.server.address}/web:podman-refused"
    nobody = bench.dir / "auth-nobody.json"
    nobody.write_text("{}")
    flags = ["--tls-verify=false", "--authfile"]
    refused = podman(bench, "pull", *flags, nobody, name, expect=125)
    contains(refused.stderr, ["unauthorized: authentication required"], "what podman says")
    denied = login(bench, podman, role(bench, "podman-no-pull", without(PUSH, "ecr:BatchGetImage")), "podman-no-pull")
    refused = podman(bench, "pull", *flags, denied, name, expect=125)
    contains(refused.stderr, ["assumed-role/podman-no-pull/reader is not authorized to perform: ecr:BatchGetImage"])
    allowed = login(bench, podman, aws.exchange(bench, bench.token()), "podman-nowhere")
    refused = podman(bench, "pull", *flags, allowed, f"{bench.server.address}/nowhere:it", expect=125)
    contains(refused.stderr, [f"The repository with name 'nowhere' does not exist in the registry with id '{ACCOUNT}'"])


@check("buildah: builds for two platforms, pushes the index, pulls it by tag and by digest")
def _(bench):
    session = aws.exchange(bench, bench.token())
    file = login(bench, buildah, session, "buildah")
    name = f"{bench.server.address}/web:buildah"
    flags = ["--tls-verify=false", "--authfile", file]
    place = bench.folder("buildah")
    (place / "hello.txt").write_text("hello\n")
    (place / "Containerfile").write_text("FROM scratch\nCOPY hello.txt /\n")
    platforms = ",".join(f"linux/{platform}" for platform in PLATFORMS)
    buildah(bench, "bud", "--isolation", "chroot", "--platform", platforms, "--manifest", "built", place)
    buildah(bench, "manifest", "push", "--all", *flags, "--digestfile", place / "digest", "built", f"docker://{name}")
    index = (place / "digest").read_text().strip()
    ecr = aws.client(bench, "ecr", session)
    [image] = ecr.describe_images(repositoryName="web", imageIds=[{"imageTag": "buildah"}])["imageDetails"]
    same(image["imageDigest"], index, "digest that ECR describes")
    for platform in PLATFORMS:
        buildah(bench, "pull", "--arch", platform, *flags, name)
        seen = json.loads(buildah(bench, "inspect", "--type", "image", name).stdout)
        same(seen["OCIv1"]["architecture"], platform, "platform of what came back")
    buildah(bench, "pull", *flags, f"{bench.server.address}/web@{index}")


@check("buildah: a push without ecr:PutImage ends with AWS's words, and so does one of a moved tag that may not move")
def _(bench):
    place = bench.folder("buildah-refused")
    (place / "Containerfile").write_text("FROM scratch\nCOPY Containerfile /\n")
    name = f"{bench.server.address}/web:buildah-refused"
    buildah(bench, "bud", "--isolation", "chroot", "--tag", name, place)
    denied = login(bench, buildah, role(bench, "buildah-no-put", without(PUSH, "ecr:PutImage")), "buildah-no-put")
    refused = buildah(bench, "push", "--tls-verify=false", "--authfile", denied, name, expect=125)
    contains(refused.stderr, ["assumed-role/buildah-no-put/reader is not authorized to perform: ecr:PutImage"])
    root = aws.client(bench, "ecr", ("test", "test"))
    root.create_repository(repositoryName="locked", imageTagMutability="IMMUTABLE")
    allowed = login(bench, buildah, aws.exchange(bench, bench.token()), "buildah-locked")
    locked = f"{bench.server.address}/locked:it"
    buildah(bench, "push", "--tls-verify=false", "--authfile", allowed, name, locked)
    (place / "Containerfile").write_text("FROM scratch\nCOPY Containerfile /again\n")
    buildah(bench, "bud", "--isolation", "chroot", "--tag", name, place)
    refused = buildah(bench, "push", "--tls-verify=false", "--authfile", allowed, name, locked, expect=125)
    contains(refused.stderr, ["'it' already exists in the 'locked' repository and cannot be overwritten because the tag is immutable"])


@with_engine("docker: pulls its own platform's image of an index by tag and by digest, and makes an index of its own")
def _(bench):
    docker_engine.engine(bench)
    index, images = pushed(bench, "docker-multi")
    name = f"{bench.server.address}/web"
    secret = password(bench, aws.exchange(bench, bench.token()))
    docker_engine.docker(bench, "login", "-u", "AWS", "--password-stdin", bench.server.address, stdin=secret)
    for place in (f"{name}:docker-multi", f"{name}@{index}"):
        said = docker_engine.docker(bench, "pull", place).stdout
        contains(said, [f"Digest: {index}"], "what docker says")
        docker_engine.docker(bench, "rmi", place)
    for platform, wanted in images.items():
        docker_engine.docker(bench, "pull", "--platform", f"linux/{platform}", f"{name}@{wanted}")
        seen = docker_engine.docker(bench, "inspect", "--format", "{{.Architecture}}", f"{name}@{wanted}").stdout.strip()
        same(seen, platform, "platform")
    parts = [f"{name}@{wanted}" for wanted in images.values()]
    docker_engine.docker(bench, "manifest", "create", "--insecure", f"{name}:by-docker", *parts)
    made = docker_engine.docker(bench, "manifest", "push", "--insecure", f"{name}:by-docker").stdout.strip()
    found = re.search(r"sha256:[0-9a-f]{64}", made)
    if not found:
        raise Wrong(f"`docker manifest push` tells no digest: {made}")
    contains(docker_engine.docker(bench, "pull", f"{name}:by-docker").stdout, [found.group(0)], "what docker says")


@with_engine("docker: a push without ecr:PutImage and a pull without ecr:BatchGetImage end with AWS's words")
def _(bench):
    docker_engine.engine(bench)
    pushed(bench, "docker-refused")
    place = bench.folder("docker-refused")
    (place / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    name = f"{bench.server.address}/web:docker-denied"
    docker_engine.docker(bench, "build", "--tag", name, place)
    for missing, words in (("PutImage", ["push", name]), ("BatchGetImage", ["pull", f"{bench.server.address}/web:docker-refused"])):
        session = role(bench, f"docker-no-{missing}", without(PUSH, f"ecr:{missing}"))
        secret = password(bench, session)
        docker_engine.docker(bench, "login", "-u", "AWS", "--password-stdin", bench.server.address, stdin=secret)
        refused = docker_engine.docker(bench, *words, expect=1)
        sentence = f"assumed-role/docker-no-{missing}/reader is not authorized to perform: ecr:{missing} on resource"
        contains(refused.stdout + refused.stderr, [sentence], "what docker says")
