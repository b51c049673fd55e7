#!/usr/bin/env python3
"""`landfall push` beside skopeo, and beside crane where there is one, on one machine in one run.

    cargo build --release --package landfall
    python3 tools/push_bench.py target/release/landfall [--megabytes 300] [--runs 3] [--only SOURCE]…

Into `landfall serve`, under a new repository each time: an OCI layout of three incompressible layers, the same as
`docker save` has it, and a directory of text-like files, which is compressed on the way. Wall
time is the best of some runs, CPU time and memory are of that run. landfall and skopeo verify digests while they
send; crane doesn't. crane comes from `go install github.com/google/go-containerregistry/cmd/crane@latest`.
"""

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

LAYERS = 3
ROOT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1"}


def layout(folder, megabytes):
    """An OCI layout of so many megabytes."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data, media_type):
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    kind = "application/vnd.oci.image."
    def layer():
        file, hashing, size = blobs / "new", hashlib.sha256(), 0
        with open(file, "wb") as output:
            while size < megabytes * 1_000_000 // LAYERS:
                piece = os.urandom(1_000_000)
                hashing.update(piece)
                size += output.write(piece)
        file.rename(blobs / hashing.hexdigest())
        return {"mediaType": f"{kind}layer.v1.tar", "digest": f"sha256:{hashing.hexdigest()}", "size": size}

    layers = [layer() for _ in range(LAYERS)]
    diff_ids = [layer["digest"] for layer in layers]
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    config = blob(json.dumps(config).encode(), f"{kind}config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": f"{kind}manifest.v1+json", "config": config, "layers": layers}
    manifest = blob(json.dumps(manifest).encode(), f"{kind}manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "it"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def saved(folder, file):
    """The layout as `docker save` would write it: layers are archives, and lie there as they are."""
    manifest = json.loads((folder / "index.json").read_text())["manifests"][0]

    def blob(digest):
        return folder / "blobs/sha256" / digest.removeprefix("sha256:")

    manifest = json.loads(blob(manifest["digest"]).read_text())
    with tarfile.open(file, "w") as archive:
        names, diff_ids = [], []
        for index, layer in enumerate(manifest["layers"]):
            # An archive of one incompressible file.
            inner = file.with_name("layer.tar")
            with tarfile.open(inner, "w") as packed:
                packed.add(blob(layer["digest"]), "noise")
            hashing = hashlib.sha256()
            with open(inner, "rb") as content:
                while piece := content.read(1_000_000):
                    hashing.update(piece)
            diff_ids.append(f"sha256:{hashing.hexdigest()}")
            names.append(f"{index}/layer.tar")
            archive.add(inner, names[-1])
            inner.unlink()
        config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        listed = [{"Config": "config.json", "RepoTags": ["app:it"], "Layers": names}]
        for name, value in ("config.json", config), ("manifest.json", listed):
            data = json.dumps(value).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def files(folder, megabytes):
    """A directory of files of a megabyte that compress as code does: to about a third."""
    folder.mkdir()
    draw = random.Random(1)
    words = [bytes(draw.choices(b"abcdefghijklmnopqrstuvwxyz_(){}=.;", k=draw.randint(2, 12))) for _ in range(20_000)]
    for number in range(megabytes):
        text = b" ".join(draw.choices(words, k=160_000))
        (folder / f"{number}.txt").write_bytes(text[:1_000_000])


def make(arguments, place):
    """All that is pushed."""
    layout(place / "image", arguments.megabytes)
    if wanted(arguments, "archive"):
        saved(place / "image", place / "saved.tar")
    if wanted(arguments, "directory"):
        files(place / "files", arguments.megabytes)


def measured(command, environment):
    """Seconds, CPU seconds and megabytes of a command's run."""
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    if status:
        sys.exit(f"{' '.join(map(str, command))}\n{error}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("landfall", help="the binary, built with --release")
    parser.add_argument("--megabytes", type=int, default=300, metavar="N")
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    parser.add_argument("--only", action="append", default=[], choices=["layout", "archive", "directory"])
    arguments = parser.parse_args()
    place = pathlib.Path(tempfile.mkdtemp(prefix="landfall-push-"))
    server = None
    try:
        (place / "empty").mkdir()
        # In a process of its own: what this one has in memory counts for the clients that it starts.
        making = multiprocessing.get_context("fork").Process(target=make, args=(arguments, place))
        making.start()
        making.join()
        if making.exitcode:
            sys.exit("what is pushed could not be made")
        command = [arguments.landfall, "serve", "--addr", "127.0.0.1:0", "--data", str(place / "data")]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        address = re.search(r"127\.0\.0\.1:\d+", server.stdout.readline()).group()
        environment = os.environ | ROOT | {"AWS_ENDPOINT_URL": f"http://{address}", "DOCKER_CONFIG": str(place / "docker")}
        subprocess.run([arguments.landfall, "ecr", "login"], env=environment, check=True, stdout=subprocess.DEVNULL)
        bench(arguments, place, address, environment)
    finally:
        if server:
            server.terminate()
            server.wait()
        shutil.rmtree(place, ignore_errors=True)


def wanted(arguments, kind):
    return kind in (arguments.only or ["layout", "archive", "directory"])


def bench(arguments, place, address, environment):
    """Runs every client and prints the table."""
    login = place / "docker/config.json"
    skopeo = ["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "--authfile", login]
    push = [arguments.landfall, "push"]
    source, saved_as, folder = place / "image", place / "saved.tar", place / "files"
    clients = {
        "layout": {
            "landfall push": lambda to: [*push, "--oci", source, to],
            "skopeo copy": lambda to: [*skopeo, f"oci:{source}:it", f"docker://{to}"],
            "crane push": lambda to: ["crane", "push", "--insecure", source, to],
        },
        "archive": {
            "landfall push": lambda to: [*push, saved_as, to],
            "landfall push -": lambda to: ["sh", "-c", 'cat "$0" | "$1" push - "$2"', saved_as, arguments.landfall, to],
            "skopeo copy": lambda to: [*skopeo, f"docker-archive:{saved_as}", f"docker://{to}"],
            "crane push": lambda to: ["crane", "push", "--insecure", saved_as, to],
        },
        "directory": {
            "landfall push": lambda to: [*push, "--dir", folder, to],
            "… with zstd": lambda to: [*push, "--compression", "zstd", "--dir", folder, to],
            "tar, crane append": lambda to: [
                "sh", "-c", 'tar -cf - -C "$0" . | gzip -6 > "$1" && crane append --insecure -f "$1" -t "$2"',
                folder, place / "files.tgz", to,
            ],
        },
    }
    path = os.pathsep.join([os.environ.get("PATH", ""), os.path.expanduser("~/go/bin")])
    environment |= {"PATH": path}
    print(f"{arguments.megabytes} MB, best of {arguments.runs}")
    print(f"{'':30}{'seconds':>10}{'CPU s':>10}{'MB':>8}{'times landfall':>16}")
    for kind in filter(lambda kind: wanted(arguments, kind), clients):
        ours = None
        for index, (name, words) in enumerate(clients[kind].items()):
            missing = [tool for tool in ("skopeo", "crane") if tool in name and not shutil.which(tool, path=path)]
            if missing:
                print(f"{kind:11}{name:19}{'not installed':>20}")
                continue
            results = []
            for run in range(arguments.runs):
                repository = f"{kind}-{index}-{run}"
                to = f"{address}/{repository}"
                made = [*push, "--create-repository", "--dir", str(place / "empty"), to]
                subprocess.run(made, env=environment, check=True, stdout=subprocess.DEVNULL)
                results.append(measured(words(f"{to}:v1"), environment))
            seconds, cpu, memory = min(results)
            ours = ours or seconds
            print(f"{kind:11}{name:19}{seconds:>10.2f}{cpu:>10.2f}{memory:>8.0f}{seconds / ours:>16.2f}", flush=True)


if __name__ == "__main__":
    main()
