"""Container engines of the checks' own: Docker with a bridge, and Podman's service."""

import ipaddress
import json
import os
import random
import secrets
import shutil
import subprocess
import time

import docker_engine
from harness import SERVER_SECONDS_MAX, Skip, program

STARTED = {}


def started(bench, name, start):
    """An engine of this name, started once; its address."""
    if name not in STARTED:
        try:
            STARTED[name] = start(bench)
        except Skip as reason:
            STARTED[name] = reason
    if isinstance(STARTED[name], Skip):
        raise STARTED[name]
    return STARTED[name]


def docker(bench):
    """Docker with a bridge, which is taken away again; nothing else of the machine's network is touched."""
    return started(bench, "docker", docker_with_bridge)


def podman(bench):
    """Podman's service, as its socket unit starts it."""
    return started(bench, "podman", podman_service)


def docker_with_bridge(bench):
    ip = program("ip")
    if os.geteuid() != 0:
        raise Skip("a bridge needs root")
    bridge, subnet = f"landfall{secrets.token_hex(3)}", free_subnet(bench)
    own = f"{subnet[1]}/{subnet.prefixlen}"
    for words in (["link", "add", bridge, "type", "bridge"], ["address", "add", own, "dev", bridge], ["link", "set", bridge, "up"]):
        done = bench.run(ip, *words, expect=None)
        if done.returncode != 0:
            bench.run(ip, "link", "delete", bridge, expect=None)
            raise Skip(f"no bridge can be made here: {done.stderr.strip()}")
    bench.undo.append(lambda: bench.run(ip, "link", "delete", bridge, expect=None))
    return docker_engine.start(bench, bridge, "docker-bridge")


def free_subnet(bench):
    """A subnet that nothing on this machine has a route to, or an address in."""
    routes = json.loads(bench.run(program("ip"), "-4", "-json", "route", "show", "table", "all").stdout or "[]")
    taken = [ipaddress.ip_network(route["dst"], strict=False) for route in routes if route["dst"] != "default"]
    subnets = list(ipaddress.ip_network("172.16.0.0/12").subnets(new_prefix=24))
    random.shuffle(subnets)
    for subnet in subnets:
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise Skip("every subnet of 172.16.0.0/12 is in use here")


def environment_path():
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def runtime():
    """What runs Podman's containers: crun takes no machine that has both kinds of control groups; runc does."""
    return shutil.which("runc", path=environment_path()) or "crun"


def podman_service(bench):
    podman = program("podman")
    if os.geteuid() != 0:
        raise Skip("Podman's own store needs root here")
    place = bench.folder("podman")
    host = f"unix://{place}/podman.sock"
    store = ["--root", place / "root", "--runroot", place / "run", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
    store += ["--runtime", runtime()]
    log = open(place / "log", "w+")
    # Its own defaults are more than every machine lets anyone have.
    (place / "containers.conf").write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n')
    environment = bench.environment(HOME=str(place), CONTAINERS_CONF=str(place / "containers.conf"))
    command = [str(word) for word in [podman, *store, "system", "service", "--time=0", host]]
    # Its monitor writes a file into the working folder when a container is out of memory.
    process = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log, start_new_session=True)

    def stop():
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        bench.run(podman, *store, "rm", "--all", "--force", "--time", "0", env=environment, expect=None)

    # Also where this is ended while it waits.
    bench.undo.append(stop)
    deadline = time.monotonic() + SERVER_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        if bench.run(podman, "--remote", "--url", host, "version", env=environment, expect=None).returncode == 0:
            return host
        time.sleep(0.1)
    stop()
    log.seek(0)
    raise Skip(f"Podman's service did not start: {log.read().strip().splitlines()[-1:]}")
