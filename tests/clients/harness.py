"""What the checks have in common: a list of checks, clean processes, and a running `landfall serve`."""

import contextlib
import copy
import dataclasses
import difflib
import json
import os
import pathlib
import queue
import random
import re
import shutil
import signal
import socket
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

# Longest time that one client may take, in seconds. Nothing waits for it when all is well, and a machine that is busy
# with something else doesn't come near it.
CLIENT_SECONDS_MAX = 600
# Longest time in which a server has to be up, or gone, or has done what is waited for.
SERVER_SECONDS_MAX = 120
# Between two looks at something that is waited for, in seconds.
LOOK_SECONDS = 0.05

# Bound and not listening, for as long as this process lives: nobody else gets the port, and who comes is refused.
UNHEARD = socket.socket()
UNHEARD.bind(("127.0.0.1", 0))
NOBODY = f"127.0.0.1:{UNHEARD.getsockname()[1]}"


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


def until(read, wanted, seconds_max=SERVER_SECONDS_MAX):
    """Reads until the answer is as wanted; gives it."""
    deadline = time.monotonic() + seconds_max
    while True:
        answer = read()
        if wanted(answer):
            return answer
        if time.monotonic() > deadline:
            raise Wrong(f"after {seconds_max} s it is {json.dumps(answer, default=str)}")
        time.sleep(LOOK_SECONDS)


def free_port():
    """A port of loopback that nobody has, for a program that can't choose its own. It is none of those that the system
    gives to whoever asks for any, so nobody gets it by chance meanwhile."""
    ephemeral = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(10_000, ephemeral), 100):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("", port))
            return port
    raise Skip("no port is free here")


def caller(listener):
    """The connection of the client that comes next to a listening socket."""
    listener.settimeout(SERVER_SECONDS_MAX)
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        raise Wrong(f"nobody came within {SERVER_SECONDS_MAX} s") from None
    connection.settimeout(SERVER_SECONDS_MAX)
    return connection


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
        words = [str(word) for word in command]
        streams = {"stdin": None if stdin is None else subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        own = {"cwd": cwd or self.dir, "env": env or self.environment(), "text": True, "start_new_session": True}
        process = subprocess.Popen(words, **streams, **own)
        try:
            out, err = process.communicate(stdin, CLIENT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{' '.join(words)}\n  was not over after {CLIENT_SECONDS_MAX} s") from None
        finally:
            end(process)
        if expect is not None and process.returncode != expect:
            raise Wrong(f"{' '.join(words)}\n  exit code {process.returncode}, wanted {expect}\n{out}{err}")
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def start(self, *command, cwd=None, env=None):
        """Starts a client that goes on beside the check."""
        return Running([str(word) for word in command], cwd or self.dir, env or self.environment())

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


def end(process):
    """Ends a process that still runs, with all that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Lines:
    """The lines of a stream as they come, read by a thread of its own: a program that says nothing holds nobody up."""

    def __init__(self, stream):
        self.queue = queue.Queue()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream):
        for line in stream:
            self.queue.put(line)
        # The end of the stream, as a file's.
        self.queue.put("")

    def next(self, seconds_max):
        """The next line, or nothing at the end; `queue.Empty` when there is none in time."""
        line = self.queue.get(timeout=max(0.0, seconds_max))
        if not line:
            # Whoever asks again is told the same.
            self.queue.put(line)
        return line


class Running:
    """A client that goes on beside the check. What it says on both streams is one text; `with` ends it in any case."""

    def __init__(self, command, cwd, env):
        self.shown, self.said = " ".join(command), ""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, cwd=cwd, env=env, text=True, start_new_session=True, **streams)
        self.lines = Lines(self.process.stdout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)

    def _more(self, what, deadline):
        try:
            line = self.lines.next(deadline - time.monotonic())
        except queue.Empty:
            raise Wrong(f"{self.shown}\n  {what} within {CLIENT_SECONDS_MAX} s:\n{self.said}") from None
        self.said += line
        return line

    def says(self, part):
        """Waits for a line with this text."""
        deadline = time.monotonic() + CLIENT_SECONDS_MAX
        while part not in (line := self._more(f"did not say {part!r}", deadline)):
            if not line:
                raise Wrong(f"{self.shown}\n  ended, and did not say {part!r}:\n{self.said}")
        return line

    def has_said(self, part):
        """The same, but that it may have said so before."""
        if part not in self.said:
            self.says(part)

    def over(self, expect=0):
        """Waits for its end; gives all that it has said."""
        deadline = time.monotonic() + CLIENT_SECONDS_MAX
        while self._more("was not over", deadline):
            pass
        same(self.process.wait(CLIENT_SECONDS_MAX), expect, f"exit code of {self.shown}\n{self.said}\n")
        return self.said


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
        self.lines = Lines(self.process.stdout)
        self.decisions = []
        # What it says of itself; the pipe must not fill up.
        told = threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True)
        told.start()
        try:
            self.ready = json.loads(self.lines.next(SERVER_SECONDS_MAX))
        except (queue.Empty, json.JSONDecodeError):
            end(self.process)
            told.join(SERVER_SECONDS_MAX)
            raise Wrong(f"`{' '.join(command)}` did not say that it is ready: {''.join(self.errors)}") from None
        self.url = self.ready["url"]
        self.address = self.url.removeprefix("http://")

    def decision(self, request_id):
        """The record of one request in the decision log."""
        deadline = time.monotonic() + SERVER_SECONDS_MAX
        while True:
            found = [record for record in self.decisions if record.get("request_id") == request_id]
            if found:
                return found[-1]
            try:
                line = self.lines.next(deadline - time.monotonic())
            except queue.Empty:
                line = ""
            if not line:
                raise Wrong(f"the decision log has no record of request {request_id}")
            self.decisions.append(json.loads(line))

    def stop(self):
        """Asks it to stop; gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(SERVER_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            end(self.process)
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
