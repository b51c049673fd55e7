#!/usr/bin/env python3
"""`landfall push` beside skopeo, and beside crane where there is one, on one machine in one run.

    cargo build --release --package landfall
    python3 tools/push_bench.py target/release/landfall [--megabytes 300] [--runs 3]

An OCI layout of three incompressible layers goes into `landfall serve` under a new repository each time. Wall
time is the best of some runs, CPU time and memory are of that run. landfall and skopeo verify digests while they
send; crane doesn't. crane comes from `go install github.com/google/go-containerregistry/cmd/crane@latest`.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
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
        # In pieces: what this process has in memory counts for the clients that it starts.
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
    arguments = parser.parse_args()
    place = pathlib.Path(tempfile.mkdtemp(prefix="landfall-push-"))
    server = None
    try:
        (place / "empty").mkdir()
        source = place / "image"
        layout(source, arguments.megabytes)
        command = [arguments.landfall, "serve", "--addr", "127.0.0.1:0", "--data", str(place / "data")]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        address = re.search(r"127\.0\.0\.1:\d+", server.stdout.readline()).group()
        environment = os.environ | ROOT | {"AWS_ENDPOINT_URL": f"http://{address}", "DOCKER_CONFIG": str(place / "docker")}
        subprocess.run([arguments.landfall, "ecr", "login"], env=environment, check=True, stdout=subprocess.DEVNULL)
        bench(arguments, place, source, address, environment)
    finally:
        if server:
            server.terminate()
            server.wait()
        shutil.rmtree(place, ignore_errors=True)


def bench(arguments, place, source, address, environment):
    """Runs every client and prints the table."""
    login = place / "docker/config.json"
    clients = {
        "landfall push": lambda to: [arguments.landfall, "push", "--create-repository", "--oci", source, to],
        "skopeo copy": lambda to: [
            "skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "--authfile", login,
            f"oci:{source}:it", f"docker://{to}",
        ],
        "crane push": lambda to: ["crane", "push", "--insecure", source, to],
    }
    path = os.pathsep.join([os.environ.get("PATH", ""), os.path.expanduser("~/go/bin")])
    print(f"{arguments.megabytes} MB in {LAYERS} layers, best of {arguments.runs}")
    print(f"{'':16}{'seconds':>10}{'CPU s':>10}{'MB':>8}{'times landfall':>16}")
    ours = None
    for name, words in clients.items():
        tool = words("x")[0]
        if not shutil.which(str(tool), path=path):
            print(f"{name:16}{'not installed':>20}")
            continue
        results = []
        for run in range(arguments.runs):
            repository = f"{name.split()[0]}-{run}"
            made = [arguments.landfall, "push", "--create-repository", "--dir", str(place / "empty"), f"{address}/{repository}"]
            subprocess.run(made, env=environment, check=True, stdout=subprocess.DEVNULL)
            results.append(measured(words(f"{address}/{repository}:v1"), environment | {"PATH": path}))
        seconds, cpu, memory = min(results)
        ours = ours or seconds
        print(f"{name:16}{seconds:>10.2f}{cpu:>10.2f}{memory:>8.0f}{seconds / ours:>16.2f}")


if __name__ == "__main__":
    main()
