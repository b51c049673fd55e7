"""`landfall issuer`: what STS will find at an issuer. Each issuer here is a TLS server on loopback with certificates of
its own, and answers well or badly."""

import base64
import contextlib
import http.server
import json
import ssl
import threading
import time

from harness import NOBODY, check, contains, lacks, program, same

HOST = "gitlab.example.test"
ISSUER = f"https://{HOST}"
# Longest time that STS waits for both documents, in seconds.
STS_SECONDS = 5
MODULUS = base64.urlsafe_b64encode(b"\xc7" + b"\x35" * 255).decode().rstrip("=")
KEY = {"kty": "RSA", "kid": "key-1", "alg": "RS256", "use": "sig", "n": MODULUS, "e": "AQAB"}
DISCOVERY = {
    "issuer": ISSUER,
    "jwks_uri": f"{ISSUER}/keys",
    "response_types_supported": ["id_token"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["RS256"],
}
EXTENSIONS = """
[root]
basicConstraints = critical, CA:TRUE
[middle]
basicConstraints = critical, CA:TRUE
[own]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:gitlab.example.test, IP:127.0.0.1
[other]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:other.example.test
"""


def certificates(bench):
    """A root, an intermediate, and two servers' certificates: PEM by name, with the server's key."""
    place = bench.dir / "certificates"
    names = ("root", "middle", "own", "other", "ending")
    if not place.is_dir():
        place.mkdir()
        (place / "extensions").write_text(EXTENSIONS)
        openssl = program("openssl")
        signers = {"root": None, "middle": "root", "own": "middle", "other": "middle", "ending": "middle"}
        for name, signer in signers.items():
            subject = {"root": "Example Root", "middle": "Example Intermediate"}.get(name, f"{name}.example.test")
            new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"]
            bench.run(openssl, "req", *new, "-subj", f"/CN={subject}", "-out", f"{name}.csr", cwd=place)
            by = ["-signkey", f"{name}.key"] if not signer else ["-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-CAcreateserial"]
            section = "own" if name == "ending" else name
            days = "3" if name == "ending" else "90"
            more = ["-extfile", "extensions", "-extensions", section, "-days", days]
            bench.run(openssl, "x509", "-req", "-in", f"{name}.csr", *by, *more, "-out", f"{name}.pem", cwd=place)
    return {name: (place / f"{name}.pem").read_text() for name in names} | {"place": place}


@contextlib.contextmanager
def issuer(bench, chain=("own", "middle"), **answers):
    """An issuer that listens; gives the flags that lead there. An answer is JSON, text, a status or a pause."""
    made = certificates(bench)
    file = made["place"] / f"chain-{'-'.join(chain)}.pem"
    file.write_text("".join(made[name] for name in chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, made["place"] / f"{chain[0]}.key")
    documents = {"/.well-known/openid-configuration": DISCOVERY, "/keys": {"keys": [KEY]}}
    documents |= {"/" + name.replace("discovery", ".well-known/openid-configuration"): said for name, said in answers.items()}
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            said = documents.get(self.path, 404)
            if callable(said):
                return said(over)
            status = said if isinstance(said, int) else 200
            body = (said if isinstance(said, str) else json.dumps(said)).encode() if status == 200 else b""
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):
            # A client that goes away is what some of these are about.
            pass

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield ["--issuer-address", f"{HOST}=127.0.0.1:{server.server_port}", "--ca-bundle", made["place"] / "root.pem"]
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def looked_at(bench, flags, url=ISSUER, expect=0):
    done = bench.run(bench.landfall, "issuer", url, *flags, expect=expect)
    return done.stdout + done.stderr


@check("an issuer that is as it should be: documents, sizes, times, keys, certificates, what the provider needs")
def _(bench):
    with issuer(bench) as flags:
        said = looked_at(bench, flags)
        told = json.loads(looked_at(bench, [*flags, "--format", "json"]))
    parts = [f"discovery  {ISSUER}/.well-known/openid-configuration", "RSA 2048 bits  alg RS256  use sig  kid key-1"]
    parts += ["of the 5000 ms that AWS waits", "1  own.example.test  issued by Example Intermediate"]
    parts += ["2  Example Intermediate  issued by Example Root", "thumbprint_list  not needed", "✓ STS can verify tokens"]
    contains(said, parts)
    same((told["usable"], told["findings"], len(told["documents"])), (True, [], 2), "usable, findings, documents")
    same(told["documents"][1]["bytes"], len(json.dumps({"keys": [KEY]})), "bytes of the keys")


@check("without an authority that vouches, and with a chain that ends early, it says thumbprint and what is missing")
def _(bench):
    with issuer(bench) as flags:
        said = looked_at(bench, flags[:2])
    thumbprint = bench.run(program("openssl"), "x509", "-in", "middle.pem", "-noout", "-fingerprint", "-sha1", cwd=bench.dir / "certificates")
    thumbprint = thumbprint.stdout.strip().partition("=")[2].replace(":", "").lower()
    contains(said, ["warning[issuer-thumbprint]", f"thumbprint_list  {thumbprint}"])
    with issuer(bench, ["own"]) as flags:
        said = looked_at(bench, flags, expect=1)
    contains(said, ["error[issuer-certificate]", "`own.example.test` was issued by `Example Intermediate`", "have the server send that one's"])


@check("a chain in the wrong order, a certificate that is sent twice, one for another name, one that ends soon")
def _(bench):
    for chain, parts, code in (
        (("own", "root", "middle"), ["error[issuer-chain]", "out of order"], 1),
        (("own", "middle", "middle"), ["error[issuer-chain]", "twice, as number 2 and 3"], 1),
        (("other", "middle"), ["error[issuer-certificate]", "for other names (it is `other.example.test`'s)"], 1),
        (("ending", "middle"), ["warning[issuer-certificate]", "the certificate of `ending.example.test` ends on"], 0),
    ):
        with issuer(bench, chain) as flags:
            contains(looked_at(bench, flags, expect=code), parts)


@check("another issuer in the document, also by its slash alone: the keys are looked at all the same")
def _(bench):
    with issuer(bench, discovery=DISCOVERY | {"issuer": ISSUER + "/"}) as flags:
        said = looked_at(bench, flags, expect=1)
    contains(said, ["error[issuer-document]", "the slash at the end is all that differs", "kid key-1", "✗ STS can't verify"])
    with issuer(bench, discovery=DISCOVERY | {"issuer": "https://gitlab.com"}) as flags:
        contains(looked_at(bench, flags, expect=1), ["says that its issuer is `https://gitlab.com`"])


@check("documents that aren't there, aren't JSON, lead elsewhere, or are too large")
def _(bench):
    huge = '{"keys": [' + " " * 1_100_000 + "]}"
    for answers, parts in (
        ({"discovery": 404}, ["openid-configuration answers 404", "readable by anyone"]),
        ({"keys": 403}, ["/keys answers 403"]),
        ({"discovery": 302}, ["redirects to"]),
        ({"discovery": "<html>"}, ["is not JSON"]),
        ({"keys": huge}, ["has more than 1048576 bytes"]),
        ({"keys": {"keys": []}}, ["holds no keys that can be used"]),
        ({"keys": {"keys": [KEY | {"use": "enc"}]}}, ["holds no keys that can be used"]),
        ({"discovery": {"issuer": ISSUER}}, ["has no jwks_uri", "lacks response_types_supported"]),
    ):
        with issuer(bench, **answers) as flags:
            contains(looked_at(bench, flags, expect=1), parts)


@check("keys without a name or with the same one, and a document that lacks what IAM asks for, are warnings")
def _(bench):
    nameless = {name: value for name, value in KEY.items() if name != "kid"}
    with issuer(bench, keys={"keys": [KEY, KEY, nameless]}, discovery={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}) as flags:
        said = looked_at(bench, flags)
    contains(said, ["two keys have the kid `key-1`", "a key has no kid", "lacks response_types_supported", "✓ STS can verify"])
    lacks(said, ["error["])


@check("an issuer that says nothing is given up after the five seconds that AWS waits")
def _(bench):
    began = time.monotonic()
    # It answers when the check is over: who waits for it waits too long.
    with issuer(bench, keys=lambda over: over.wait()) as flags:
        said = looked_at(bench, flags, expect=1)
    contains(said, ["error[issuer-slow]", "longer than the 5000 ms that AWS waits", "TLS up after"])
    same(time.monotonic() - began >= STS_SECONDS, True, "it is given as long as AWS gives it")


@check("an issuer that isn't there is an outside failure, and one on this machine can't be reached by AWS")
def _(bench):
    gone = looked_at(bench, ["--issuer-address", f"{HOST}={NOBODY}"], expect=3)
    contains(gone, ["error[issuer-unreachable]", "no connection to", f"{ISSUER} could not be reached"])
    with issuer(bench) as flags:
        port = flags[1].rpartition(":")[2]
        here = looked_at(bench, flags[2:], f"https://127.0.0.1:{port}", expect=3)
    contains(here, ["error[issuer-unreachable]: `127.0.0.1` is at 127.0.0.1, where AWS can't reach it"])
    contains(looked_at(bench, [], "http://x", expect=2), ["must begin with https://"])


@check("a token whose issuer is another one, or whose key isn't published")
def _(bench):
    token = bench.dir / "token-issuer"
    token.write_text(bench.token())
    with issuer(bench) as flags:
        said = looked_at(bench, [*flags, "--token", token], expect=1)
    contains(said, ["error[token-issuer]", "error[token-key]", "✗ STS can't verify this token"])
    (bench.dir / "no-token").write_text("hunter2")
    with issuer(bench) as flags:
        lacks(looked_at(bench, [*flags, "--token", bench.dir / "no-token"], expect=2), ["hunter2"])
