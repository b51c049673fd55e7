"""What goes wrong around a login: each has a clear outcome in a bounded time, and none leaves credentials behind."""

import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import threading
import urllib.request

import aws
from harness import ACCOUNT, NOBODY, REGION, ROLE, SERVER_SECONDS_MAX, Skip, Wrong, caller, check, contains, end, lacks, program, same

THROTTLED = (
    '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>Throttling</Code>'
    "<Message>Rate exceeded</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
)


@contextlib.contextmanager
def stub(answer):
    """A server on loopback; `answer(handler, count)` answers a request. Gives its address and what it was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self, status, body, kind="application/json"):
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def passed_on(self, url):
            """The answer of another server to the same request."""
            length = int(self.headers.get("content-length") or 0)
            headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
            request = urllib.request.Request(url, self.rfile.read(length) or None, headers, method=self.command)
            try:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SERVER_SECONDS_MAX) as response:
                    self.reply(response.status, response.read(), response.headers.get("content-type"))
            except urllib.error.HTTPError as error:
                self.reply(error.code, error.read(), error.headers.get("content-type"))

        def do_GET(self):
            asked.append(self.path)
            answer(self, len(asked))

        do_POST = do_CONNECT = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


class Job:
    """A step of a GitHub job: its files, and an offer of an ID token."""

    def __init__(self, bench, name, offer=NOBODY, **more):
        self.bench = bench
        self.place = bench.folder(f"fault-{name}")
        self.files = {variable: self.place / variable for variable in ("GITHUB_ENV", "GITHUB_OUTPUT")}
        self.env = bench.environment(
            HOME=str(self.place),
            GITHUB_ACTIONS="true",
            ACTIONS_ID_TOKEN_REQUEST_URL=f"http://{offer}/idtoken?api-version=2.0",
            ACTIONS_ID_TOKEN_REQUEST_TOKEN="bearer",
            **{variable: str(path) for variable, path in self.files.items()},
            **more,
        )

    def login(self, *flags, expect=0):
        command = [self.bench.landfall, "login", "--role", ROLE, "--region", REGION, *flags]
        return self.bench.run(*command, env=self.env, expect=expect)

    def nothing_is_left(self):
        """No file with anything of a session."""
        for path in self.place.rglob("*"):
            if path.is_file() and "ASIA" in path.read_text(errors="replace"):
                raise Wrong(f"{path} has credentials")


def offered(token):
    return json.dumps({"value": token}).encode()


@check("a refusal is told at once: neither GitHub nor STS is asked again")
def _(bench):
    token = bench.token(repo="acme/other")
    with stub(lambda handler, _: handler.reply(200, offered(token))) as (offer, asked):
        before = aws.decisions(bench.server)[-1]["sequence"]
        job = Job(bench, "refused", offer)
        contains(job.login(expect=1).stderr, ["AccessDenied", "token: sub = repo:acme/other"], "what is said")
        same(len(asked), 1, "tokens")
    calls = aws.decisions(bench.server, before)
    same([(call["operation"], call["outcome"]) for call in calls], [("AssumeRoleWithWebIdentity", "refused")], "calls")
    job.nothing_is_left()


@check("GitHub's endpoint that is down for a moment is asked again; one that stays down ends the login")
def _(bench):
    token = bench.token()

    def answer(handler, count):
        handler.reply(503, b"{}") if count < 3 else handler.reply(200, offered(token))

    with stub(answer) as (offer, asked):
        job = Job(bench, "down-then-up", offer)
        job.login()
        same(len(asked), 3, "tokens")
    contains(job.files["GITHUB_ENV"].read_text(), ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"], "variables")
    gone = Job(bench, "down")
    contains(gone.login(expect=3).stderr, ["getIDToken call failed"], "what is said")
    gone.nothing_is_left()


@check("an endpoint or an STS that says nothing ends with --action-timeout-s, and nothing is left")
def _(bench):
    token = bench.token()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        job = Job(bench, "silent-endpoint", address)
        contains(job.login("--action-timeout-s", "1", expect=3).stderr, ["no session within 1 s"], "what is said")
        job.nothing_is_left()
        with stub(lambda handler, _: handler.reply(200, offered(token))) as (offer, _):
            job = Job(bench, "silent-sts", offer)
            flags = ["--action-timeout-s", "1", "--sts-endpoint", f"http://{address}"]
            contains(job.login(*flags, expect=3).stderr, ["no session within 1 s"], "what is said")
            job.nothing_is_left()


@check("an STS that throttles is asked again; one that goes on with it is told, and with --disable-retry at once")
def _(bench):
    token = bench.dir / "token-throttled"
    token.write_text(bench.token())

    def answer(handler, count):
        if count < 3:
            handler.rfile.read(int(handler.headers["content-length"]))
            return handler.reply(400, THROTTLED.encode(), "text/xml")
        return handler.passed_on(bench.server.url)

    with stub(answer) as (sts, asked):
        job = Job(bench, "throttled")
        # Whose the session is goes past the stub's signature: the host's name is part of it.
        job.env["AWS_ENDPOINT_URL_STS"] = f"http://{sts}"
        job.login("--web-identity-token-file", token)
        same(len(asked), 4, "calls")
    always = stub(lambda handler, _: handler.reply(400, THROTTLED.encode(), "text/xml"))
    with always as (sts, asked):
        job = Job(bench, "throttled-always")
        flags = ["--web-identity-token-file", token, "--sts-endpoint", f"http://{sts}", "--disable-retry"]
        contains(job.login(*flags, expect=3).stderr, ["Rate exceeded", "Throttling"], "what is said")
        same(len(asked), 1, "calls")
        job.nothing_is_left()


@check("a token file that is a link to elsewhere is not read, and one as Kubernetes mounts it is")
def _(bench):
    job = Job(bench, "link")
    secret = job.place / "secret"
    secret.write_text("hunter2")
    mount = job.place / "mount"
    (mount / "..2026").mkdir(parents=True)
    (mount / "..2026/token").write_text(bench.token())
    (mount / "token").symlink_to("..2026/token")
    (mount / "led-away").symlink_to(secret)
    said = job.login("--web-identity-token-file", mount / "led-away", expect=2)
    contains(said.stderr, ["it is a symbolic link to another folder"], "what is said")
    lacks(said.stdout + said.stderr, ["hunter2"], "what is said")
    job.nothing_is_left()
    job.login("--web-identity-token-file", mount / "token")


@check("through a proxy: every call goes there but those to this machine, and NO_PROXY is obeyed")
def _(bench):
    token = bench.token()

    def answer(handler, _):
        # What a proxy is asked for is a whole URL.
        if "/idtoken" in handler.path:
            return handler.reply(200, offered(token))
        return handler.passed_on(bench.server.url)

    with stub(answer) as (proxy, asked):
        job = Job(bench, "proxy", "token.test", HTTP_PROXY=f"http://{proxy}", AWS_ENDPOINT_URL_STS="http://sts.test")
        job.login()
        same(sorted({path.split("/")[2] for path in asked}), ["sts.test", "token.test"], "hosts")
        count = len(asked)
        past = Job(bench, "no-proxy", "token.test", HTTP_PROXY=f"http://{proxy}", NO_PROXY="*.test")
        contains(past.login("--disable-retry", expect=3).stderr, ["getIDToken call failed"], "what is said")
        same(len(asked), count, "calls")
        local = Job(bench, "local", HTTPS_PROXY=f"http://{proxy}")
        file = local.place / "token"
        file.write_text(token)
        local.login("--web-identity-token-file", file)
        same(len(asked), count, "calls")
    broken = Job(bench, "broken-proxy", HTTPS_PROXY="socks5://me:hunter2@h:1")
    said = broken.login(expect=2).stderr
    contains(said, ["HTTPS_PROXY is not a proxy's URL"], "what is said")
    lacks(said, ["hunter2"], "what is said")


@check("a full disk: Docker's configuration stays what it was, and nothing is left of the new login")
def _(bench):
    if os.geteuid() != 0:
        raise Skip("a disk of one's own needs root")
    key, secret, token = aws.exchange(bench, bench.token())
    own = bench.environment(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=token)
    disk = bench.folder("full-disk")
    before = '{"auths": {"ghcr.io": {"auth": "eDp5"}}}'
    script = """
        mount -t tmpfs -o size=16k tmpfs "$1"
        printf '%s' "$2" > "$1/config.json"
        dd if=/dev/zero of="$1/filler" bs=4k count=16 2>/dev/null
        DOCKER_CONFIG="$1" "$0" ecr login
        echo "exit code $?"
        cat "$1/config.json"; ls -A "$1"
    """
    shell = [program("unshare"), "--mount", "sh", "-c", script, bench.landfall, disk, before]
    done = bench.run(*shell, env=own)
    contains(done.stderr, [f"writing `{disk}/config.json`", "No space left on device"], "what is said")
    contains(done.stdout, ["exit code 2", before, "config.json\nfiller\n"], "what is there afterwards")


@check("a full disk for one of the job's files: neither of them keeps anything of the session")
def _(bench):
    if os.geteuid() != 0:
        raise Skip("a disk of one's own needs root")
    job, disk = Job(bench, "full-runner-file"), bench.folder("full-runner-disk")
    file = job.place / "token"
    file.write_text(bench.token())
    script = """
        disk="$1" variable="$2"; shift 2
        mount -t tmpfs -o size=16k tmpfs "$disk"
        printf 'OLD=1\n' > "$disk/file"
        dd if=/dev/zero of="$disk/filler" bs=4k count=16 2>/dev/null
        # What is left of the file's own page is full too.
        head -c 4085 /dev/zero >> "$disk/file"
        env "$variable=$disk/file" "$0" "$@"
        echo "exit code $?"
        head -c 6 "$disk/file"; wc -c < "$disk/file"; ls -A "$disk"
    """
    words = ["login", "--role", ROLE, "--web-identity-token-file", file, "--output-credentials"]
    for variable in job.files:
        shell = [program("unshare"), "--mount", "sh", "-c", script, bench.landfall, disk, variable, *words]
        done = bench.run(*shell, env=job.env)
        contains(done.stderr, [f"writing `{disk}/file`", "No space left on device"], "what is said")
        contains(done.stdout, ["exit code 2", "OLD=1\n4091\nfile\nfiller\n"], "what is there afterwards")
        job.nothing_is_left()
        same([path.exists() for path in job.files.values()], [False, False], "the job's other file")


@check("a home that can't be written to: `ecr login` and a profile say which file, and nothing is left elsewhere")
def _(bench):
    if os.geteuid() != 0:
        raise Skip("a disk of one's own needs root")
    job, home = Job(bench, "read-only-home"), bench.folder("read-only")
    file = job.place / "token"
    file.write_text(bench.token())
    key, secret, token = aws.exchange(bench, bench.token())
    keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}
    script = 'mount -t tmpfs -o ro tmpfs "$HOME"; exec "$0" "$@"'
    login = ["login", "--role", ROLE, "--web-identity-token-file", file, "--aws-profile", "ci"]
    login += ["--output-env-credentials", "true", "--output-credentials"]
    for words, wanted, more in [
        (["ecr", "login", "--output-docker-credentials"], ".docker/config.json`", keys),
        (login, ".aws/credentials`", {}),
    ]:
        shell = [program("unshare"), "--mount", "sh", "-c", script, bench.landfall, *words]
        said = bench.run(*shell, env=job.env | more | {"HOME": str(home)}, expect=2).stderr
        contains(said, [f"writing `{home}/{wanted}", "Read-only file system"], "what is said")
        job.nothing_is_left()
        same([path.exists() for path in job.files.values()], [False, False], "the job's files")


@check("a login that is told to stop ends at once, and leaves the job's files as they were")
def _(bench):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for number in signal.SIGINT, signal.SIGTERM:
            job = Job(bench, f"stopped-{number.name}", f"127.0.0.1:{silent.getsockname()[1]}")
            command = [bench.landfall, "login", "--role", ROLE]
            streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            running = subprocess.Popen(command, env=job.env, start_new_session=True, **streams)
            try:
                # It has asked for a token: from now on it waits, for as long as nobody answers.
                with caller(silent) as connection:
                    connection.recv(1)
                    running.send_signal(number)
                    out, err = running.communicate(timeout=SERVER_SECONDS_MAX)
            finally:
                end(running)
            same((running.returncode, out, err), (1, "", "error: stopped before the end\n"), "how it ends")
            same([path.exists() for path in job.files.values()], [False, False], "the job's files")


@check("without HOME and without an account a login prints its session, and `ecr login` says what it misses")
def _(bench):
    if os.geteuid() != 0:
        raise Skip("to be nobody needs root")
    token = bench.dir / "token-nobody"
    token.write_text(bench.token())
    token.chmod(0o644)
    bench.dir.chmod(0o755)
    own = bench.environment()
    del own["HOME"]
    # A number that no user has.
    nobody = [program("setpriv"), "--reuid=64999", "--regid=64999", "--clear-groups"]
    if bench.run(*nobody, bench.landfall, "--version", env=own, expect=None).returncode != 0:
        raise Skip("the binary is where only its owner may run it")
    flags = ["--role", ROLE, "--web-identity-token-file", token, "--format", "json"]
    given = json.loads(bench.run(*nobody, bench.landfall, "login", *flags, env=own).stdout)
    same(given["AccountId"], ACCOUNT, "account")
    own |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    said = bench.run(*nobody, bench.landfall, "ecr", "login", env=own, expect=2).stderr
    contains(said, ["no place for Docker's config.json", "HOME"], "what is said")
    profile = bench.run(*nobody, bench.landfall, "login", "--aws-profile", "x", env=own, expect=2).stderr
    contains(profile, ["no place for the profile: HOME or"], "what is said of a profile")


@check("an account that isn't allowed leaves the job's files as they were")
def _(bench):
    token = bench.token()
    with stub(lambda handler, _: handler.reply(200, offered(token))) as (offer, asked):
        job = Job(bench, "not-allowed", offer)
        said = job.login("--allowed-account-ids", "210987654321", expect=1)
        contains(said.stderr, ["does not match any of the expected account IDs: 210987654321"], "what is said")
        same(([path.exists() for path in job.files.values()], asked), ([False, False], []), "files, and calls")
