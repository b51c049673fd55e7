#!/usr/bin/env python3
"""The registry beside Debian's docker-registry, on one machine in one run: how fast, and with how much memory.

    cargo build --release --package landfall
    python3 tools/registry_bench.py target/release/landfall [--clients 1,8,64] [--runs 3]

A blob of 100 MB goes in and out by curl, and an image of three layers by skopeo, from so many clients at once.
Every line is the best of some runs, and the ratio is ours to theirs. What is pushed is the same each time, so
that it takes the disk once; uploads in flight take it once for each client.

Then large layers, which this script makes while it sends them: one from each of many clients at once, every one
with its own content (`--layer-mb`), and a single one in and out (`--single-mb`). What is looked at is the most
memory that the server had. The disk has to hold a layer of every client. `--skip-small` and `--skip-large` leave
a part out.
"""

import argparse
import base64
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

MB = 1_000_000
BLOB_BYTES = 100 * MB
IMAGE_LAYER_BYTES = 5 * MB
IMAGE_LAYERS = 3
# What large layers are made of and sent by, in bytes.
BLOCK_BYTES = 1 << 20
# Longest time that a server may take to start, in seconds.
START_SECONDS_MAX = 20

DISTRIBUTION = """
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}
http: {addr: "127.0.0.1:%d"}
"""


class Registry:
    """A server under test: where it is, who may use it, and how much memory it has used."""

    def __init__(self, name, command, address, authorization=None):
        self.name, self.address, self.authorization = name, address, authorization
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def url(self, path):
        return f"http://{self.address}/v2/{path}"

    def headers(self):
        return ["--header", f"authorization: {self.authorization}"] if self.authorization else []

    def wait(self):
        """Waits until it answers."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            words = ["curl", "--silent", "--output", os.devnull, "--write-out", "%{http_code}", self.url("")]
            if subprocess.run(words, capture_output=True, text=True).stdout in ("200", "401"):
                return
            time.sleep(0.05)
        sys.exit(f"{self.name} did not start")

    def peak_mb(self):
        """The most memory that it has had at a time."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024 / MB

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def landfall(binary, place, port):
    command = [binary, "serve", "--addr", f"127.0.0.1:{port}", "--registry", "strict-oci", "--format", "json"]
    ours = Registry("landfall", command, f"127.0.0.1:{port}")
    ours.wait()
    ours.authorization = f"Basic {login(port)}"
    return ours


def login(port):
    """A registry login of the root user, by a call that is signed as AWS's clients sign it."""
    import datetime
    import hmac

    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    body = b"{}"
    sent = {
        "content-type": "application/x-amz-json-1.1",
        "host": f"127.0.0.1:{port}",
        "x-amz-date": stamp,
        "x-amz-target": "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
    }
    names = ";".join(sent)
    listed = "".join(f"{name}:{value}\n" for name, value in sent.items())
    canonical = "\n".join(["POST", "/", "", listed, names, hashlib.sha256(body).hexdigest()])
    scope = f"{stamp[:8]}/us-east-1/ecr/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4test"
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    sent["authorization"] = f"AWS4-HMAC-SHA256 Credential=test/{scope}, SignedHeaders={names}, Signature={signature}"
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", data=body, headers=sent)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["authorizationData"][0]["authorizationToken"]


def distribution(place, port):
    config = place / "distribution.yml"
    config.write_text(DISTRIBUTION % (place / "distribution", port))
    program = shutil.which("docker-registry") or shutil.which("registry")
    if not program:
        sys.exit("docker-registry is not installed: apt-get install docker-registry")
    theirs = Registry("docker-registry", [program, "serve", str(config)], f"127.0.0.1:{port}")
    theirs.wait()
    return theirs


def together(commands):
    """Runs commands at once; the seconds until the last one has ended."""
    began = time.monotonic()
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for command in commands]
    for process in running:
        _, errors = process.communicate()
        if process.returncode:
            sys.exit(f"{' '.join(map(str, process.args))}\n{errors.decode()}")
    return time.monotonic() - began


def begin(registry, name):
    """Begins an upload; its address."""
    words = ["curl", "--silent", "--show-error", "--fail", "--request", "POST", *registry.headers()]
    words += ["--output", os.devnull, "--write-out", "%header{location}", registry.url(f"{name}/blobs/uploads/")]
    place = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return place if place.startswith("http") else f"http://{registry.address}{place}"


def put(registry, blob, count):
    """A blob from so many clients at once."""
    digest = blob.name
    commands = []
    for number in range(count):
        place = begin(registry, f"bench/{number}")
        place += ("&" if "?" in place else "?") + f"digest=sha256:{digest}"
        words = ["curl", "--silent", "--show-error", "--fail", *registry.headers(), "--header", "expect:"]
        commands.append([*words, "--upload-file", blob, place])
    return together(commands)


def get(registry, blob, count):
    """The blob to so many clients at once; they throw it away."""
    words = ["curl", "--silent", "--show-error", "--fail", "--output", os.devnull, *registry.headers()]
    return together([[*words, registry.url(f"bench/{number}/blobs/sha256:{blob.name}")] for number in range(count)])


def skopeo(registry, place, sources, targets):
    """`skopeo copy` from so many clients at once."""
    auth = place / f"{registry.name}.json"
    basic = (registry.authorization or "Basic " + base64.b64encode(b"any:one").decode()).removeprefix("Basic ")
    auth.write_text(json.dumps({"auths": {registry.address: {"auth": basic}}}))
    words = ["skopeo", "--insecure-policy", "copy", "--quiet", "--authfile", auth]
    words += ["--src-tls-verify=false", "--dest-tls-verify=false"]
    return together([[*words, source, target] for source, target in zip(sources, targets)])


def push(registry, place, layout, count):
    # A repository that has the layers already would be told so and send nothing: each run has new ones.
    run = time.monotonic_ns()
    names = [f"docker://{registry.address}/push/{run}/{number}:it" for number in range(count)]
    seconds = skopeo(registry, place, [f"oci:{layout}:it"] * count, names)
    return seconds, names


def pull(registry, place, names):
    targets = [f"dir:{tempfile.mkdtemp(dir=place)}" for _ in names]
    seconds = skopeo(registry, place, names, targets)
    for target in targets:
        shutil.rmtree(target.removeprefix("dir:"))
    return seconds


def make_blob(place, size):
    """A file of random bytes that is named by its digest."""
    content = os.urandom(1 << 20)
    hasher, file = hashlib.sha256(), place / "blob"
    with open(file, "wb") as out:
        for start in range(0, size, len(content)):
            piece = start.to_bytes(8, "big") + content[8 : min(len(content), size - start)]
            piece = piece[: size - start]
            hasher.update(piece)
            out.write(piece)
    return file.rename(place / hasher.hexdigest())


def make_layout(place):
    """An OCI layout of one image with layers that can't be compressed."""
    folder = place / "layout"
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data, media_type):
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    # As gzip, which skopeo doesn't compress again; it does not look inside.
    layers = [
        blob(os.urandom(IMAGE_LAYER_BYTES), "application/vnd.oci.image.layer.v1.tar+gzip") for _ in range(IMAGE_LAYERS)
    ]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [x["digest"] for x in layers]}}
    config = blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
    media_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers}
    named = blob(json.dumps(manifest).encode(), media_type)
    named["annotations"] = {"org.opencontainers.image.ref.name": "it"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def line(what, count, figures, unit):
    """One line: ours, theirs, the ratio."""
    ours, theirs = figures
    ratio = f"{ours / theirs:5.2f}" if theirs else "    -"
    print(f"{what:<12} {count:>3} clients  {ours:>9.1f} {theirs:>9.1f} {unit:<8} x{ratio}", flush=True)


def measure(registries, place, arguments):
    blob, layout = make_blob(place, BLOB_BYTES), make_layout(place)
    image_bytes = IMAGE_LAYERS * IMAGE_LAYER_BYTES
    print(f"{'':<24}  {registries[0].name:>9} {registries[1].name[:9]:>9}")
    for count in arguments.clients:
        total = count * BLOB_BYTES / MB
        best = {}
        for registry in registries:
            registry.forget_peak()
        for _ in range(arguments.runs):
            for registry in registries:
                seconds = {"PUT blob": put(registry, blob, count), "GET blob": get(registry, blob, count)}
                seconds["push image"], names = push(registry, place, layout, count)
                seconds["pull image"] = pull(registry, place, names)
                for what, taken in seconds.items():
                    known = best.setdefault(what, {})
                    known[registry.name] = min(taken, known.get(registry.name, taken))
        for what, taken in best.items():
            amount = total if what.endswith("blob") else count * image_bytes / MB
            line(what, count, [amount / taken[registry.name] for registry in registries], "MB/s")
        line("peak memory", count, [registry.peak_mb() for registry in registries], "MB")


class Layer:
    """A large layer that exists only while it is sent: one block again and again, and at the end its number."""

    def __init__(self, megabytes):
        self.block = os.urandom(BLOCK_BYTES)
        self.blocks = megabytes * MB // BLOCK_BYTES
        self.size = self.blocks * BLOCK_BYTES + 8
        self.hasher = hashlib.sha256()
        for _ in range(self.blocks):
            self.hasher.update(self.block)

    def digest(self, number):
        whole = self.hasher.copy()
        whole.update(number.to_bytes(8, "big"))
        return whole.hexdigest()

    def send(self, registry, number):
        """Pushes the layer of a number, all in one request."""
        place = begin(registry, f"large/{number}")
        place += ("&" if "?" in place else "?") + f"digest=sha256:{self.digest(number)}"
        host, path = place.removeprefix("http://").split("/", 1)
        lines = [f"PUT /{path} HTTP/1.1", f"host: {host}", f"content-length: {self.size}", "connection: close"]
        if registry.authorization:
            lines.append(f"authorization: {registry.authorization}")
        name, port = host.rsplit(":", 1)
        with socket.create_connection((name, int(port))) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            for _ in range(self.blocks):
                connection.sendall(self.block)
            connection.sendall(number.to_bytes(8, "big"))
            answer = connection.recv(1 << 16).decode()
        if " 201 " not in answer.split("\r\n")[0]:
            raise RuntimeError(f"{registry.name}: {answer}")


def send_together(layer, registry, count):
    """One layer from each of so many clients at once; the seconds until the last one is stored."""
    failures = []

    def one(number):
        try:
            layer.send(registry, number)
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            failures.append(str(error))

    clients = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    began = time.monotonic()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if failures:
        sys.exit(failures[0])
    return time.monotonic() - began


def large(start, place, arguments):
    """Large layers into one server, which ends and leaves nothing behind."""

    def said(what, megabytes, seconds):
        print(
            f"{registry.name:<16} {what:<34} {megabytes / seconds:7.1f} MB/s, peak memory {registry.peak_mb():6.1f} MB",
            flush=True,
        )

    def server():
        registry = start()
        print(f"{registry.name:<16} {'idle':<34} {'':>12}  peak memory {registry.peak_mb():6.1f} MB", flush=True)
        return registry

    count, megabytes = arguments.clients[-1], arguments.layer_mb
    registry = server()
    try:
        layer = Layer(megabytes)
        seconds = send_together(layer, registry, count)
        said(f"{count} x {megabytes} MB in", count * megabytes, seconds)
    finally:
        clear(registry, place)
    registry = server()
    try:
        megabytes = arguments.single_mb
        layer = Layer(megabytes)
        said(f"{megabytes} MB in", megabytes, send_together(layer, registry, 1))
        words = ["curl", "--silent", "--show-error", "--fail", "--output", os.devnull, *registry.headers()]
        seconds = together([[*words, registry.url(f"large/0/blobs/sha256:{layer.digest(0)}")]])
        said(f"{megabytes} MB out", megabytes, seconds)
    finally:
        clear(registry, place)


def clear(registry, place):
    """Ends a server and removes all that it has stored."""
    registry.stop()
    for left in place.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("landfall", help="the release binary")
    parser.add_argument("--clients", default="1,8,64", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--runs", default=3, type=int, help="best of so many")
    parser.add_argument("--layer-mb", default=1000, type=int, help="how large the layer of each of many clients is")
    parser.add_argument("--single-mb", default=10_000, type=int, help="how large a single layer is")
    parser.add_argument("--skip-small", action="store_true", help="only large layers")
    parser.add_argument("--skip-large", action="store_true", help="no large layers")
    parser.add_argument("--only-landfall", action="store_true", help="large layers into Landfall alone")
    parser.add_argument("--port", default=14_566, type=int, help="the first of two ports")
    parser.add_argument("--dir", help="where the data goes [default: the temporary folder]")
    arguments = parser.parse_args()
    place = pathlib.Path(tempfile.mkdtemp(prefix="registry-bench-", dir=arguments.dir))
    os.environ["TMPDIR"] = str(place)
    starts = [
        lambda: landfall(arguments.landfall, place, arguments.port),
        lambda: distribution(place, arguments.port + 1),
    ]
    registries = []
    try:
        if not arguments.skip_small:
            registries = [start() for start in starts]
            measure(registries, place, arguments)
            while registries:
                clear(registries.pop(), place)
        if not arguments.skip_large:
            for start in starts[: 1 if arguments.only_landfall else 2]:
                large(start, place, arguments)
    finally:
        for registry in registries:
            registry.stop()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
