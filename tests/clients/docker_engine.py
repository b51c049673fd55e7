"""Docker, where there is an engine or one can be started: build, push, pull, and the example's second job."""

import json
import os
import pathlib
import re
import subprocess
import time

import aws
from harness import EXAMPLE, SERVER_SECONDS_MAX, Skip, Wrong, check, contains, program, same
from images import password

STARTED = {}


def engine(bench):
    """An engine of our own if we may start one, else the one that answers; its address."""
    if "host" not in STARTED:
        try:
            STARTED["host"] = start(bench)
        except Skip as reason:
            STARTED["host"] = answering(bench, reason)
    if isinstance(STARTED["host"], Skip):
        raise STARTED["host"]
    return STARTED["host"]


def answering(bench, reason):
    """The engine that Docker finds by itself, or why there is none."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        asked = bench.run(program("docker"), "--host", host, "version", expect=None)
    except Skip as missing:
        return missing
    return host if asked.returncode == 0 else Skip(f"no engine answers at {host}, and none can be started: {reason}")


def start(bench, bridge="none", name="docker"):
    """`dockerd` without networks but this bridge, with all that it keeps in the temporary folder."""
    program("docker")
    dockerd = program("dockerd")
    if os.geteuid() != 0:
        raise Skip("dockerd needs root")
    place = bench.folder(name)
    host = f"unix://{place}/docker.sock"
    command = [dockerd, "--host", host, "--data-root", f"{place}/data", "--exec-root", f"{place}/exec"]
    command += ["--pidfile", f"{place}/pid", "--iptables=false", "--ip6tables=false", f"--bridge={bridge}"]
    command += ["--storage-driver", "vfs", "--log-level", "warn"]
    log = open(place / "log", "w+")
    process = subprocess.Popen(command, env=bench.environment(), stdout=log, stderr=log, start_new_session=True)

    def stop():
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        # It leaves a mount behind, which keeps the folder from being taken away.
        bench.run(program("umount"), "--lazy", place / "exec/netns/default", expect=None)

    # Also where this is ended while it waits.
    bench.undo.append(stop)
    deadline = time.monotonic() + 2 * SERVER_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        if bench.run(program("docker"), "--host", host, "version", expect=None).returncode == 0:
            return host
        time.sleep(0.2)
    stop()
    lines = pathlib.Path(log.name).read_text().strip().splitlines()
    raise Skip(f"dockerd did not start: {lines[-1] if lines else 'it says nothing'}")


def docker(bench, *arguments, **more):
    """Runs the client; builds without BuildKit, which needs a plugin and a container."""
    home = bench.home / "docker"
    home.mkdir(exist_ok=True)
    environment = bench.environment(DOCKER_CONFIG=str(home), DOCKER_BUILDKIT="0")
    return bench.run(program("docker"), "--host", engine(bench), *arguments, env=environment, **more)


@check("docker login takes the password of get-login-password, and refuses a guess")
def _(bench):
    engine(bench)
    login = ["login", "--username", "AWS", "--password-stdin", bench.server.address]
    refused = docker(bench, *login, stdin="guess", expect=None)
    same(refused.returncode != 0, True, f"a guess is refused: {refused.stdout}{refused.stderr}")
    session = aws.exchange(bench, bench.token())
    contains(docker(bench, *login, stdin=password(bench, session)).stdout, ["Login Succeeded"])


@check("docker build, push, pull: the image that comes back is the one that went")
def _(bench):
    engine(bench)
    session = aws.exchange(bench, bench.token())
    docker(bench, "login", "-u", "AWS", "--password-stdin", bench.server.address, stdin=password(bench, session))
    place = bench.folder("build")
    (place / "data.bin").write_bytes(os.urandom(200_000))
    (place / "Dockerfile").write_text('FROM scratch\nCOPY data.bin /data.bin\nCMD ["/data.bin"]\n')
    name = f"{bench.server.address}/web:docker"
    docker(bench, "build", "--tag", name, place)
    built = docker(bench, "inspect", "--format", "{{.Id}}", name).stdout
    pushed = docker(bench, "push", name).stdout
    found = re.search(r"docker: digest: (sha256:[0-9a-f]{64})", pushed)
    if not found:
        raise Wrong(f"`docker push` tells no digest: {pushed}")
    [image] = aws.client(bench, "ecr", session).describe_images(repositoryName="web", imageIds=[{"imageTag": "docker"}])[
        "imageDetails"
    ]
    same(image["imageDigest"], found.group(1), "digest that ECR describes")
    docker(bench, "rmi", name)
    same(docker(bench, "inspect", name, expect=1).stdout.strip(), "[]", "what is left of the image")
    docker(bench, "pull", name)
    same(docker(bench, "inspect", "--format", "{{.Id}}", name).stdout, built, "id of the image")
    docker(bench, "rmi", name)


@check("docker push asks docker-credential-landfall, which is the store of all its logins")
def _(bench):
    host = engine(bench)
    place, links = bench.folder("store"), bench.folder("store/bin")
    bench.run(bench.landfall, "ecr", "install-helper", "--dir", links)
    (place / "config.json").write_text(json.dumps({"credsStore": "landfall"}))
    (place / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    key, secret, token = aws.exchange(bench, bench.token())
    own = bench.environment(
        DOCKER_CONFIG=str(place), DOCKER_BUILDKIT="0", AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=token
    )
    own["PATH"] = f"{links}:{own['PATH']}"
    run = lambda *words, expect=0, env=own: bench.run(program("docker"), "--host", host, *words, env=env, expect=expect)
    name = f"{bench.server.address}/web:store"
    run("build", "--tag", name, place)
    contains(run("push", name).stdout, ["digest: sha256:"])
    run("rmi", name)
    run("pull", name)
    # No login is written down, and with other credentials there is none.
    same(json.loads((place / "config.json").read_text()), {"credsStore": "landfall"}, "Docker's configuration")
    run("push", name, expect=1, env=own | {"AWS_SECRET_ACCESS_KEY": "wrong", "LANDFALL_ECR_CACHE": "off"})
    run("rmi", name)


@check("docker push without a login is refused")
def _(bench):
    engine(bench)
    docker(bench, "logout", bench.server.address)
    place = bench.folder("build-anonymous")
    (place / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    name = f"{bench.server.address}/web:anonymous"
    docker(bench, "build", "--tag", name, place)
    refused = docker(bench, "push", name, expect=1)
    contains((refused.stdout + refused.stderr).lower(), ["no basic auth credentials"], "what docker says")
    docker(bench, "rmi", name)


@check("the example's second job, with docker build and docker push, is rehearsed with the engine")
def _(bench):
    host = engine(bench)
    workflow = EXAMPLE / "service/.github/workflows/deploy-docker.yml"
    environment = bench.environment(DOCKER_HOST=host, DOCKER_BUILDKIT="0")
    environment.pop("AWS_ENDPOINT_URL")
    said = bench.run(bench.landfall, "rehearse", workflow, env=environment)
    contains(said.stdout, ["the crossing works", "ecr:PutImage", "sha256:"], "what the rehearsal says")
