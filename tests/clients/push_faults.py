"""What goes wrong around a push: full disks, signals, proxies; and a registry that isn't ECR."""

import contextlib
import json
import os
import signal
import socket
import subprocess

from harness import SERVER_SECONDS_MAX, Skip, caller, check, contains, end, lacks, program, same
from images import layout
from login_faults import stub
from push import environment


def tree(bench, name, megabytes):
    """A folder with so much that doesn't compress."""
    folder = bench.folder(name)
    (folder / "noise").write_bytes(os.urandom(megabytes * 1_000_000))
    return folder


@check("a full disk for temporary files: said with the variable that names it, nothing is pushed, nothing is left")
def _(bench):
    if os.geteuid() != 0:
        raise Skip("a disk of one's own needs root")
    folder, disk = tree(bench, "full-tree", 2), bench.folder("full-temporary")
    archive = bench.dir / "full.tar"
    subprocess.run(["tar", "-cf", archive, "-C", folder, "."], check=True)
    script = """
        mount -t tmpfs -o size=1m tmpfs "$TMPDIR"
        "$0" "$@" < "$ARCHIVE"
        echo "exit code $?"
        ls -A "$TMPDIR"; df --output=used "$TMPDIR" | tail -1
    """
    own = environment(bench, TMPDIR=str(disk), ARCHIVE=str(archive))
    to = f"{bench.server.address}/web:full"
    for words, wanted in [
        (["--dir", folder, to], "writing a layer to a temporary file (TMPDIR says where)"),
        (["-", to], "writing an archive to a temporary file (TMPDIR says where)"),
    ]:
        shell = [program("unshare"), "--mount", "sh", "-c", script, bench.landfall, "push", *words]
        done = bench.run(*shell, env=own)
        contains(done.stderr, [wanted, "No space left on device"], "what is said")
        same(done.stdout.split(), ["exit", "code", "2", "0"], "how it ends, and what is left")


@check("a push that is told to stop, or killed, leaves no file behind")
def _(bench):
    folder = tree(bench, "stopped-tree", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGKILL:
            place = bench.folder(f"stopped-{number.name}")
            outputs = place / "output"
            own = environment(bench, TMPDIR=str(place), GITHUB_OUTPUT=str(outputs))
            to = f"127.0.0.1:{silent.getsockname()[1]}/web:stopped"
            command = [bench.landfall, "push", "--dir", folder, to]
            running = subprocess.Popen(command, env=own, start_new_session=True, stderr=subprocess.PIPE, text=True)
            try:
                # It has its layer, and asks what the registry has.
                with caller(silent) as connection:
                    connection.recv(1)
                    running.send_signal(number)
                    _, error = running.communicate(timeout=SERVER_SECONDS_MAX)
            finally:
                end(running)
            wanted = (-9, "") if number == signal.SIGKILL else (1, "error: stopped before the end\n")
            same((running.returncode, error), wanted, f"how it ends at {number.name}")
            same(list(place.iterdir()), [], f"files left by {number.name}")


@check("a proxy: every call of a push goes there but those to this machine; its password stays unsaid")
def _(bench):
    source = bench.dir / "proxy-image"
    layout(source)
    with stub(lambda handler, _: handler.reply(407, b"")) as (proxy, asked):
        own = environment(bench, HTTPS_PROXY=f"http://me:hunter2@{proxy}")
        bench.run(bench.landfall, "push", source, f"{bench.server.address}/web:past-the-proxy", env=own)
        same(asked, [], "what the proxy was asked")
        away = [bench.landfall, "push", source, "registry.test/web:away"]
        said = bench.run(*away, env=own, expect=3).stderr
        contains(said, ["GET registry.test/v2/", "the proxy wants a user and a password", f"the proxy http://{proxy}/ (HTTPS_PROXY)"], "what is said")
        lacks(said, ["hunter2"], "what is said")
        flag = bench.run(*away, "--http-proxy", "http://me:hunter2@h:1", env=own, expect=2).stderr
        contains(flag, ["a command line is no place for them"], "what is said of a password in the command line")
        lacks(flag, ["hunter2"], "what is said")


@contextlib.contextmanager
def plain_registry(bench):
    """Debian's docker-registry, which chooses its port and says it; gives its address."""
    place = bench.dir / "plain-registry"
    place.mkdir(exist_ok=True)
    (place / "config.yml").write_text(json.dumps({
        "version": 0.1,
        "log": {"level": "info", "formatter": "json"},
        "storage": {"filesystem": {"rootdirectory": str(place / "data")}},
        "http": {"addr": "127.0.0.1:0"},
    }))
    with bench.start(program("docker-registry"), "serve", place / "config.yml") as running:
        message = json.loads(running.says("listening on "))["msg"]
        yield message.removeprefix("listening on ")


@check("another registry than ECR: pushed with no login, mounted from a neighbour, not sent twice")
def _(bench):
    source = bench.dir / "plain-image"
    digest = layout(source)
    with plain_registry(bench) as address:
        names = [f"{address}/team/one:v1", f"{address}/two:v1"]
        words = [bench.landfall, "push", "--format", "json", "--oci", source, *names]
        own = bench.environment(AWS_ENDPOINT_URL="")
        [first, second] = json.loads(bench.run(*words, env=own).stdout)
        same((first["digest"], first["blobsSent"]), (digest, 3), "what is pushed first")
        same((second["digest"], second["blobsMounted"]), (digest, 3), "what is mounted then")
        [again, _] = json.loads(bench.run(*words, env=own).stdout)
        same((again["blobsSent"], again["blobsPresent"]), (0, 3), "what is sent again")
        inspect = [program("skopeo"), "inspect", "--tls-verify=false", "--format", "{{.Digest}}"]
        for name in names:
            same(bench.run(*inspect, f"docker://{name}").stdout.strip(), digest, name)
