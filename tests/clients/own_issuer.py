"""Issuers of one's own, over TLS on this machine: `serve --ca-bundle`, `--issuer-address` and `--offline`, with the
aws CLI. What can be wrong with a self-managed GitLab's certificates and documents is refused in AWS's words,
and the decision log says what it is.
"""

import base64
import functools
import http.server
import json
import socket
import ssl
import threading
import time

import aws
from harness import ACCOUNT, Server, Wrong, add, check, contains, program, same, table

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/oauth/discovery/keys"
SUBJECT = "project_path:acme/api:ref_type:branch:ref:main"
ROOT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
LEAF = """[leaf]
subjectAltName = {names}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
"""


def host(name):
    return f"{name}.example.test"


class Certificates:
    """A root, an intermediate, and one certificate for all the hosts, made with openssl."""

    def __init__(self, bench, hosts):
        self.bench, self.dir = bench, bench.folder("own-issuer")
        names = ", ".join(f"DNS:{one}" for one in hosts)
        (self.dir / "extensions").write_text(LEAF.format(names=names))
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "2", "-subj", "/CN=Example Root",
                     "-keyout", "root.key", "-out", "root.pem")
        self.sign("middle", "root", "authority", "/CN=Example Intermediate")
        self.sign("own", "middle", "leaf", "/CN=gitlab.example.test")

    def openssl(self, *words, stdin=None):
        return self.bench.run(program("openssl"), *words, cwd=self.dir, stdin=stdin).stdout

    def sign(self, name, by, extensions, subject):
        self.openssl("req", "-newkey", "rsa:2048", "-noenc", "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial",
                     "-days", "2", "-extfile", "extensions", "-extensions", extensions, "-out", f"{name}.pem")

    def chain(self, *names):
        """A server's context that sends these certificates in this order."""
        path = self.dir / ("-".join(names) + ".chain")
        path.write_text("".join((self.dir / f"{name}.pem").read_text() for name in names))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path, self.dir / "own.key")
        return context

    def thumbprint(self, name):
        said = self.openssl("x509", "-in", f"{name}.pem", "-noout", "-fingerprint", "-sha1")
        return said.partition("=")[2].strip().replace(":", "").lower()

    def jwk(self):
        """The public half of the key that signs tokens: the intermediate's does as well as any other."""
        modulus = self.openssl("rsa", "-in", "middle.key", "-noout", "-modulus").partition("=")[2].strip()
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "one", "n": encoded(bytes.fromhex(modulus)), "e": "AQAB"}

    def token(self, issuer):
        """A job's ID token."""
        now = int(time.time())
        claims = {"iss": issuer, "sub": SUBJECT, "aud": issuer, "iat": now, "nbf": now - 5, "exp": now + 600}
        head = {"alg": "RS256", "typ": "JWT", "kid": "one"}
        text = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
        (self.dir / "token.txt").write_text(text)
        self.openssl("dgst", "-sha256", "-sign", "middle.key", "-out", "token.sig", "token.txt")
        return f"{text}.{encoded((self.dir / 'token.sig').read_bytes())}"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """An issuer that answers what it is told to; a path with None is met with silence, until the client goes."""

    def __init__(self, bench, context, answers):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path in answers and answers[self.path] is None:
                    self.connection.recv(1)
                    return
                body = json.dumps(answers.get(self.path, {})).encode()
                self.send_response(200 if self.path in answers else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                """Clients that don't like a certificate hang up."""

        listener = Listener(("127.0.0.1", 0), Handler)
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        bench.undo.append(listener.server_close)
        bench.undo.append(listener.shutdown)
        self.address = f"127.0.0.1:{listener.server_port}"


@functools.cache
def stage(bench):
    """The issuers of the table, each with a certificate chain and documents of its own."""
    rows = table("issuers.toml", "issuer")
    made = Certificates(bench, [host(row["name"]) for row in rows])
    bench.own_issuer_addresses = {}
    closed = socket.socket()
    # Bound and not listening: nobody else gets the port, and who comes is refused.
    closed.bind(("127.0.0.1", 0))
    bench.undo.append(closed.close)
    refusing = f"127.0.0.1:{closed.getsockname()[1]}"
    addresses = {"nobody.example.test": refusing}
    for row in rows:
        url = f"https://{host(row['name'])}"
        keys = row.get("jwks_uri", f"{url}{KEYS}")
        answers = {DISCOVERY: {"issuer": url, "jwks_uri": keys}, KEYS: {"keys": [made.jwk()]}}
        for path in row.get("missing", []):
            del answers[path]
        for path in row.get("silent", []):
            answers[path] = None
        addresses[host(row["name"])] = Issuer(bench, made.chain(*row["chain"]), answers).address
    flags = [flag for name, address in addresses.items() for flag in ("--issuer-address", f"{name}={address}")]
    return made, flags


def serving(bench, *flags):
    server = Server(bench, *flags)
    bench.undo.append(server.stop)
    return server


@functools.cache
def trusting(bench):
    """A server that trusts the root, and knows where the issuers are."""
    made, flags = stage(bench)
    return serving(bench, "--ca-bundle", str(made.dir / "root.pem"), *flags)


@functools.cache
def strict(bench):
    """A server that trusts the public authorities alone."""
    return serving(bench, *stage(bench)[1])


def cli(bench, server, *words, expect=0, **own):
    """The aws CLI on a server."""
    environment = bench.environment(**(ROOT | own)) | {"AWS_ENDPOINT_URL": server.url}
    return bench.run(program("aws"), *words, "--output", "json", env=environment, expect=expect)


def provide(bench, server, url, thumbprints=None, expect=0):
    """Makes a provider; the aws CLI would fetch a parameter that is an address, but not one within JSON."""
    given = {"Url": url, "ClientIDList": [url]} | ({"ThumbprintList": thumbprints} if thumbprints else {})
    words = ["--cli-input-json", json.dumps(given)]
    return cli(bench, server, "iam", "create-open-id-connect-provider", *words, expect=expect)


def trust(bench, server, name):
    """A role for the jobs of one issuer; gives its ARN."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host(name)}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{host(name)}:sub": SUBJECT}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    words = ["--role-name", name, "--assume-role-policy-document", document]
    return json.loads(cli(bench, server, "iam", "create-role", *words).stdout)["Role"]["Arn"]


def exchange(bench, server, name, expect=0):
    token = bench.dir / f"{name}.token"
    token.write_text(stage(bench)[0].token(f"https://{host(name)}"))
    words = ["--role-arn", f"arn:aws:iam::{ACCOUNT}:role/{name}", "--role-session-name", "job"]
    return cli(bench, server, "sts", "assume-role-with-web-identity", *words, "--web-identity-token", f"file://{token}", expect=expect)


def newest_refusal(server, operation):
    """The decision log's record of the last refusal of an operation."""
    path = f"/_landfall/decisions?outcome=refused&action={operation}"
    lines = aws.http(server.url + path).text().splitlines()
    found = [json.loads(line) for line in lines]
    if not found:
        raise Wrong(f"{path} has no record")
    return found[-1]


@check("aws CLI: a provider gets its issuer's thumbprint, and its jobs a session that works")
def _(bench):
    made, _ = stage(bench)
    server, url = trusting(bench), f"https://{host('gitlab')}"
    arn = json.loads(provide(bench, server, url).stdout)["OpenIDConnectProviderArn"]
    got = json.loads(cli(bench, server, "iam", "get-open-id-connect-provider", "--open-id-connect-provider-arn", arn).stdout)
    same((got["Url"], got["ThumbprintList"]), (host("gitlab"), [made.thumbprint("middle")]))
    trust(bench, server, "gitlab")
    given = json.loads(exchange(bench, server, "gitlab").stdout)
    same((given["Provider"], given["SubjectFromWebIdentityToken"], given["Audience"]), (arn, SUBJECT, url))
    session = given["Credentials"]
    named = {"AWS_ACCESS_KEY_ID": "AccessKeyId", "AWS_SECRET_ACCESS_KEY": "SecretAccessKey", "AWS_SESSION_TOKEN": "SessionToken"}
    own = {name: session[member] for name, member in named.items()}
    who = json.loads(cli(bench, server, "sts", "get-caller-identity", **own).stdout)
    same(who["Arn"], f"arn:aws:sts::{ACCOUNT}:assumed-role/gitlab/job")


def add_refusals():
    """A check for each issuer of the table with which something is wrong."""
    for row in table("issuers.toml", "issuer"):
        if row.get("rule"):
            add(__name__, f"aws CLI: {row['title']}", functools.partial(refused, row=row))


def refused(bench, row):
    name, server = row["name"], strict(bench) if row.get("strict") else trusting(bench)
    url = f"https://{host(name)}"
    if "provider" in row:
        said = provide(bench, server, url, expect=255).stderr
        contains(said, ["OpenIdIdpCommunicationError", f"Could not connect to openid configuration of provider: {url}"])
        contains(json.dumps(newest_refusal(server, "CreateOpenIDConnectProvider")), [row["rule"], row["provider"]])
    provide(bench, server, url, ["0" * 40])
    trust(bench, server, name)
    said = exchange(bench, server, name, expect=255).stderr
    contains(said, ["(InvalidIdentityToken)", row["says"]])
    record = json.dumps(newest_refusal(server, "AssumeRoleWithWebIdentity"), ensure_ascii=False)
    contains(record, [f'"rule": "{row["rule"]}"', row["why"]], "the decision log")


add_refusals()


@check("aws CLI: with the thumbprint of its chain's end an issuer needs no authority that everyone knows")
def _(bench):
    made, _ = stage(bench)
    server = strict(bench)
    provide(bench, server, f"https://{host('gitlab')}", [made.thumbprint("middle")])
    trust(bench, server, "gitlab")
    exchange(bench, server, "gitlab")


@check("serve --offline asks nobody: no thumbprint, and no token of an issuer that is not played")
def _(bench):
    made, flags = stage(bench)
    server = serving(bench, "--offline", "--ca-bundle", str(made.dir / "root.pem"), *flags)
    arn = json.loads(provide(bench, server, f"https://{host('gitlab')}").stdout)["OpenIDConnectProviderArn"]
    got = json.loads(cli(bench, server, "iam", "get-open-id-connect-provider", "--open-id-connect-provider-arn", arn).stdout)
    same(got["ThumbprintList"], [])
    trust(bench, server, "gitlab")
    contains(exchange(bench, server, "gitlab", expect=255).stderr, ["Couldn't retrieve verification key"])
    contains(json.dumps(newest_refusal(server, "AssumeRoleWithWebIdentity")), ["issuer-not-played"])
