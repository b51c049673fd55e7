"""Service containers, job containers and actions that are containers, rehearsed where no Docker answers: by Podman."""

import json
import shutil

import docker_actions
from docker_actions import static_busybox
from engines import runtime
from harness import Skip, check, free_port, contains, lacks, program, same
from rehearsals import rehearsing

STORE = {}


def store(bench):
    """A store of Podman's own with a busybox in it: what the rehearsals are told of it."""
    if "variables" not in STORE:
        program("podman")
        if bench.run(program("docker"), "version", env=rehearsing(bench), expect=None).returncode == 0:
            raise Skip("a Docker answers by itself here, and is taken first")
        place = bench.folder("podman-actions")
        (place / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{place}/root"\nrunroot = "{place}/run"\n')
        # Its own defaults are more than every machine lets anyone have.
        engine = f'[engine]\ncgroup_manager = "cgroupfs"\nruntime = {json.dumps(runtime())}\nevents_logger = "file"\n'
        (place / "containers.conf").write_text(f'[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n{engine}')
        variables = {"CONTAINERS_STORAGE_CONF": f"{place}/storage.conf", "CONTAINERS_CONF": f"{place}/containers.conf"}
        STORE["variables"] = variables | {"BUILDAH_ISOLATION": "chroot"}
        STORE["image"] = busybox(bench, place)
    return STORE["variables"]


def podman(bench, *words, **more):
    return bench.run(program("podman"), *words, env=rehearsing(bench) | STORE["variables"], **more)


def busybox(bench, place):
    """An image with a shell, from nothing."""
    tree = place / "tree"
    (tree / "bin").mkdir(parents=True)
    shutil.copy(static_busybox(), tree / "bin/busybox")
    applets = bench.run(tree / "bin/busybox", "--list").stdout.split()
    for name in applets:
        if name != "busybox":
            (tree / "bin" / name).symlink_to("busybox")
    bench.run(program("tar"), "--create", "--file", place / "tree.tar", "--directory", tree, ".")
    name = docker_actions.BUSYBOX
    made = podman(bench, "import", "--change", 'CMD ["sh"]', place / "tree.tar", f"localhost/{name}", expect=None)
    if made.returncode:
        raise Skip(f"Podman can't be used here: {made.stderr.strip().splitlines()[-1]}")
    ran = podman(bench, "run", "--rm", "--network=host", name, "true", expect=None)
    if ran.returncode:
        raise Skip(f"Podman runs no container here: {ran.stderr.strip().splitlines()[-1]}")
    return name


def rehearse(bench, workflow, *flags, **more):
    variables = store(bench)
    # Services are in this machine's network.
    workflow = workflow.replace("8080", str(free_port()))
    said = docker_actions.rehearse(bench, workflow, *flags, host="", **more, **variables)
    left = podman(bench, "ps", "--all", "--quiet").stdout.split()
    left += [line for line in podman(bench, "images", "--format", "{{.Repository}}").stdout.splitlines() if "landfall-action" in line]
    same(left, [], "what is left in the engine")
    return said


@check("a service container is started, healthy before the first step, reached on its port, and removed")
def _(bench):
    store(bench)
    said = rehearse(bench, docker_actions.services(STORE["image"]), "--job", "test")
    contains(said, ["hello from the service", "Initialize containers", "Stop containers", "services are in this machine's network"])


@check("a service that never gets healthy fails its job, with its log")
def _(bench):
    store(bench)
    workflow = docker_actions.services(STORE["image"]).replace("httpd -f -p 8080 -h /www", "echo broken; sleep 600")
    workflow = workflow.replace("--health-retries 60", "--health-retries 3")
    said = rehearse(bench, workflow, expect=1)
    contains(said, ["its health check says unhealthy", "web: broken", "Failed to initialize container"])


@check("steps of a job with a container run inside of it, with services by their names and GitHub's folders")
def _(bench):
    store(bench)
    workflow = docker_actions.job_container(STORE["image"])
    said = rehearse(bench, workflow, "--secret", "TOKEN=hunter2")
    contains(said, ["the-container", "/__w/web/web /__w/_temp /github/home inside", "hello from the service", "no other programs"])
    contains(said, ["the secret is ***", "made", "set", "has a session", "seen: yes", "the crossing works"])
    lacks(said, ["hunter2"])


@check("actions that are containers run: from a Dockerfile with arguments and a post step, and from an image")
def _(bench):
    store(bench)
    workflow, files = docker_actions.container_actions(STORE["image"])
    said = rehearse(bench, workflow, files=files)
    contains(said, ["main world, two words, world, 1 in /github/workspace with /github/workspace", "it said hello world"])
    contains(said, ["post kept to world", "from an image and more", "exit code 3", "done"])
