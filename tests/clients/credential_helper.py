"""AWS's own credential helper for ECR, and skopeo that asks it: with the registry's real name.

The helper takes its registries from their names, in what it is asked for and in what ECR answers, so the names
have to be ECR's own. They lead here by a hosts file that only the clients see, which takes root and a mount
namespace. Debian 12's version of the helper (0.6) has no way to be led to another endpoint than AWS's own, over
TLS; this one is built from the Go module proxy.
"""

import json
import os

import aws
import golang
from harness import ACCOUNT, REGION, Skip, check, contains, program, same
from images import PUSH, contents, layout, manifest_of, role, without

HELPER = "github.com/awslabs/amazon-ecr-credential-helper/ecr-login/cli/docker-credential-ecr-login"
VERSION = "v0.12.0"


def registry(bench):
    """The registry's name, with this server's port."""
    return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com:{port(bench)}"


def port(bench):
    return bench.server.address.rpartition(":")[2]


def led_here(bench, session, *command, stdin=None, expect=0):
    """Runs a command for which ECR's names lead to this machine, with the helper on its path."""
    if os.geteuid() != 0:
        raise Skip("a hosts file of one's own needs root")
    key, secret, token = session
    own = bench.environment(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=token)
    api = f"api.ecr.{REGION}.amazonaws.com"
    own["AWS_ENDPOINT_URL"] = f"http://{api}:{port(bench)}"
    own["PATH"] = f"{golang.built(HELPER, VERSION, (1, 24)).parent}:{own['PATH']}"
    # What the helper remembers of one session must not serve another.
    own["AWS_ECR_DISABLE_CACHE"] = "true"
    hosts = bench.dir / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {api} {registry(bench).rpartition(':')[0]}\n")
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    shell = [program("unshare"), "--mount", "sh", "-c", script, hosts]
    return bench.run(*shell, *command, stdin=stdin, env=own, expect=expect)


def ask(bench, session, expect=0):
    """What `docker` does: the registry on standard input, the login on standard output."""
    return led_here(bench, session, "docker-credential-ecr-login", "get", stdin=registry(bench), expect=expect)


def copy(bench, session, source, target, expect=0):
    """`skopeo copy` with a login from the helper."""
    auth = bench.dir / "auth-helper.json"
    auth.write_text(json.dumps({"credHelpers": {registry(bench): "ecr-login"}}))
    tls = "--src-tls-verify=false" if source.startswith("docker:") else "--dest-tls-verify=false"
    skopeo = [program("skopeo"), "--insecure-policy", "copy", "--authfile", auth, tls, source, target]
    return led_here(bench, session, *skopeo, expect=expect)


@check("the helper gives the login of the session that asks, for the registry that is named")
def _(bench):
    given = json.loads(ask(bench, aws.exchange(bench, bench.token())).stdout)
    same((given["Username"], given["ServerURL"]), ("AWS", registry(bench)), "user and registry")


@check("skopeo with the helper pushes to and pulls from ECR's own name, and nothing says where it leads")
def _(bench):
    session = aws.exchange(bench, bench.token())
    source, back = bench.dir / "helper-image", bench.dir / "helper-back"
    pushed = layout(source)
    there = f"docker://{registry(bench)}/web:helper"
    copy(bench, session, f"oci:{source}:it", there)
    copy(bench, session, there, f"oci:{back}:it")
    same((manifest_of(back), contents(back) == contents(source)), (pushed, True), "digest, and equal blobs")


@check("a session without ecr:GetAuthorizationToken gets no login from the helper, and skopeo none of its images")
def _(bench):
    session = role(bench, "helper-no-login", without(PUSH, "ecr:GetAuthorizationToken"))
    refused = ask(bench, session, expect=1)
    contains(refused.stdout + refused.stderr, ["credentials not found in native keychain"], "what the helper says")
    log = (bench.home / ".ecr/log/ecr-login.log").read_text()
    sentence = "assumed-role/helper-no-login/reader is not authorized to perform: ecr:GetAuthorizationToken"
    contains(log, ["AccessDeniedException", sentence], "the helper's log")


@check("skopeo with the helper is denied in AWS's words what the session may not do")
def _(bench):
    session = role(bench, "helper-no-put", without(PUSH, "ecr:PutImage"))
    source = bench.dir / "helper-denied"
    layout(source)
    refused = copy(bench, session, f"oci:{source}:it", f"docker://{registry(bench)}/web:helper-denied", expect=1)
    contains(refused.stderr, ["assumed-role/helper-no-put/reader is not authorized to perform: ecr:PutImage"])
