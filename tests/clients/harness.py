"""What the checks have in common: a list of checks, clean processes, and a running `landfall serve`."""

import copy
import dataclasses
import difflib
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
EXAMPLE = ROOT / "examples/github-ecr"

ACCOUNT = "123456789012"
REGION = "ap-northeast-2"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/github-oidc-role"
ISSUER = "https://token.actions.githubusercontent.com"

# Longest time that one client may take, in seconds. Nothing waits for it when all is well.
CLIENT_SECONDS_MAX = 120
# Longest time in which a server has to be up, or gone.
SERVER_SECONDS_MAX = 15


class Skip(Exception):
    """A check that can't run here, and why."""


class Wrong(AssertionError):
    """Something isn't as the check says."""


@dataclasses.dataclass
class Check:
    """One sentence that has to be true."""

    group: str
    title: str
    run: object


CHECKS = []


def check(title):
    """Makes a function a check; its module is the group."""

    def register(function):
        add(function.__module__, title, function)
        return function

    return register


def add(group, title, function):
    """Adds one row of a table."""
    CHECKS.append(Check(group.replace("_", " "), title, function))


def table(name, kind):
    """The rows of a table in this folder."""
    with open(HERE / name, "rb") as file:
        return tomllib.load(file)[kind]


def same(got, wanted, what="value"):
    """Refuses anything but the wanted value, and shows both."""
    if got == wanted:
        return
    if isinstance(got, str) and isinstance(wanted, str) and "\n" in got + wanted:
        lines = difflib.unified_diff(wanted.splitlines(), got.splitlines(), "wanted", "got", lineterm="")
        raise Wrong(f"{what} differs:\n" + "\n".join(lines))
    raise Wrong(f"{what}\n  wanted {wanted!r}\n  got    {got!r}")


def contains(text, parts, what="output"):
    """Refuses a text that lacks one of the parts."""
    missing = [part for part in parts if part not in text]
    if missing:
        raise Wrong(f"{what} lacks {', '.join(repr(part) for part in missing)}:\n{text.rstrip()}")


def lacks(text, parts, what="output"):
    """Refuses a text that has one of the parts."""
    found = [part for part in parts if part in text]
    if found:
        raise Wrong(f"{what} must not have {', '.join(repr(part) for part in found)}:\n{text.rstrip()}")


def matches(text, pattern, what="text"):
    """Refuses a text that isn't described by the pattern, from its beginning to its end."""
    found = re.fullmatch(pattern, text)
    if not found:
        raise Wrong(f"{what}\n  wanted {pattern}\n  got    {text}")
    return found


def program(name):
    """A client: from the virtual environment of this Python, or from the PATH."""
    beside = pathlib.Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise Skip(f"{name} is not installed")
    return found


class Bench:
    """One place to work in: a temporary folder, the binary, and a server that runs the example's infra."""

    def __init__(self, landfall):
        self.landfall = str(pathlib.Path(landfall).resolve())
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="landfall-clients-"))
        self.temporary = self.folder("tmp")
        self.home = self.folder("home")
        self.server = None
        self.undo = []

    def folder(self, name):
        """A new folder of this name."""
        path = self.dir / name
        path.mkdir(parents=True)
        return path

    def environment(self, **more):
        """Nothing of the user's own: no profile, no proxy, no credentials."""
        own = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_PAGER": "",
            "AWS_RETRY_MODE": "standard",
            "AWS_MAX_ATTEMPTS": "1",
        }
        if self.server:
            own["AWS_ENDPOINT_URL"] = self.server.url
        return own | more

    def run(self, *command, stdin=None, cwd=None, env=None, expect=0):
        """Runs a client to its end. Its output is in the message when the exit code isn't the expected one."""
        done = subprocess.run(
            [str(word) for word in command],
            input=stdin,
            cwd=cwd or self.dir,
            env=env or self.environment(),
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS_MAX,
            start_new_session=True,
        )
        if expect is not None and done.returncode != expect:
            shown = " ".join(str(word) for word in command)
            raise Wrong(f"{shown}\n  exit code {done.returncode}, wanted {expect}\n{done.stdout}{done.stderr}")
        return done

    def token(self, *flags, repo="acme/web"):
        """A token from `landfall token github`."""
        minted = self.run(self.landfall, "token", "github", "--repo", repo, "--endpoint", self.server.url, *flags)
        return minted.stdout.strip()

    def beside(self, *flags):
        """The same place with a server of its own, which is stopped in the end."""
        other = copy.copy(self)
        other.server = Server(self, *flags)
        self.undo.append(other.server.stop)
        return other

    def close(self):
        """Ends what the checks have started, and takes the folder away."""
        for undo in reversed(self.undo):
            undo()
        if self.server:
            self.server.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class Server:
    """`landfall serve --format json`: its first line says where it is, every further one is a decision."""

    def __init__(self, bench, *flags, environment=None):
        command = [bench.landfall, "serve", "--addr", "127.0.0.1:0", "--format", "json", *flags]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            # No engine of this machine, unless one is given.
            env=bench.environment(**{"DOCKER_HOST": f"unix://{bench.dir}/no-engine"} | (environment or {})),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.errors = []
        self.lines = queue.Queue()
        self.decisions = []
        threading.Thread(target=self._read, args=(self.process.stdout, self.lines.put), daemon=True).start()
        threading.Thread(target=self._read, args=(self.process.stderr, self.errors.append), daemon=True).start()
        try:
            self.ready = json.loads(self.lines.get(timeout=SERVER_SECONDS_MAX))
        except queue.Empty:
            self.stop()
            raise Wrong(f"`{' '.join(command)}` did not say that it is ready: {''.join(self.errors)}") from None
        self.url = self.ready["url"]
        self.address = self.url.removeprefix("http://")

    @staticmethod
    def _read(stream, take):
        for line in stream:
            take(line)

    def decision(self, request_id):
        """The record of one request in the decision log."""
        deadline = time.monotonic() + SERVER_SECONDS_MAX
        while True:
            found = [record for record in self.decisions if record.get("request_id") == request_id]
            if found:
                return found[-1]
            try:
                self.decisions.append(json.loads(self.lines.get(timeout=max(0.0, deadline - time.monotonic()))))
            except queue.Empty:
                raise Wrong(f"the decision log has no record of request {request_id}") from None

    def stop(self):
        """Asks it to stop; gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(SERVER_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Wrong("`landfall serve` did not stop when it was asked to") from None


def processes(part):
    """Running processes whose command line contains the text, by number; none where there is no /proc."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if part in line and path.parent.name != str(os.getpid()):
            found[int(path.parent.name)] = line.strip()
    return found
