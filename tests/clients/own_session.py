"""A session for one command (`landfall exec`) and for whoever asks (`landfall credentials`): with boto3 and the aws CLI."""

import json
import signal
import sys

from harness import ACCOUNT, REGION, ROLE, Wrong, check, contains, lacks, program, same

SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/github-oidc-role/GitHubActions"
WHO = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
# Runs until SIGTERM, and ends with 9.
UNTIL_TOLD = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
print("up", flush=True)
signal.pause()
"""


def from_token(bench, *words, repo="acme/web"):
    """A command of landfall with what makes the session: a token in a file."""
    file = bench.dir / f"token-{repo.replace('/', '-')}"
    file.write_text(bench.token(repo=repo))
    return [bench.landfall, words[0], "--role", ROLE, "--web-identity-token-file", file, *words[1:]]


def profile(bench, *flags):
    """An environment with a profile whose credential_process is landfall."""
    words = " ".join(str(word) for word in from_token(bench, "credentials", *flags))
    config = bench.dir / "config-process"
    config.write_text(f"[profile deploy]\nregion = {REGION}\ncredential_process = {words}\n")
    return bench.environment(AWS_CONFIG_FILE=str(config), AWS_PROFILE="deploy")


@check("boto3 under `exec` is the role, whatever keys, profiles and files are around")
def _(bench):
    shared = bench.dir / "shared-credentials"
    shared.write_text("[default]\naws_access_key_id = test\naws_secret_access_key = test\n")
    around = bench.environment(
        AWS_SHARED_CREDENTIALS_FILE=str(shared), AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test"
    )
    for flags in [], ["--env"]:
        command = from_token(bench, "exec", *flags, "--", sys.executable, "-c", WHO)
        same(bench.run(*command, env=around).stdout.strip(), SESSION, f"caller with {flags}")


@check("the aws CLI under `exec` is the role, and no file and no key in its variables says so")
def _(bench):
    before = sorted(path for path in bench.home.rglob("*"))
    cli = [program("aws"), "sts", "get-caller-identity", "--output", "json"]
    answer = bench.run(*from_token(bench, "exec", "--", *cli))
    same(json.loads(answer.stdout)["Arn"], SESSION, "caller")
    variables = bench.run(*from_token(bench, "exec", "--", "env")).stdout
    lacks(variables, ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"], "variables")
    same(sorted(path for path in bench.home.rglob("*")), before, "files at home")


@check("`exec` passes on the exit code, and ends when its command is told to")
def _(bench):
    bench.run(*from_token(bench, "exec", "--", "sh", "-c", "exit 42"), expect=42)
    bench.run(*from_token(bench, "exec", "--", "no-such-command"), expect=127)
    with bench.start(*from_token(bench, "exec", "--", sys.executable, "-c", UNTIL_TOLD)) as running:
        running.says("up")
        running.process.send_signal(signal.SIGTERM)
        same(running.over(expect=9), "up\n", "what is said")


@check("a role that refuses the token starts no command, and is told at once with the token's claims")
def _(bench):
    refused = bench.run(*from_token(bench, "exec", "--", "echo", "started", repo="acme/other"), expect=1)
    lacks(refused.stdout, ["started"])
    contains(refused.stderr, ["token: sub = repo:acme/other:ref:refs/heads/main", f"role: {ROLE}"], "what is said")


@check("a token in a variable makes the session, and the command gets the session only")
def _(bench):
    command = [bench.landfall, "exec", "--role", ROLE, "--web-identity-token-variable", "MY_TOKEN", "--", "env"]
    variables = bench.run(*command, env=bench.environment(MY_TOKEN=bench.token())).stdout
    contains(variables, ["AWS_CONTAINER_CREDENTIALS_FULL_URI="], "variables")
    lacks(variables, ["MY_TOKEN"], "variables")


@check("under `exec` another landfall finds the session as a pod would, and takes a role with it or none")
def _(bench):
    inner = [bench.landfall, "login", "--format", "json"]
    given = json.loads(bench.run(*from_token(bench, "exec", "--", *inner)).stdout)
    same(given["Arn"], SESSION, "caller")
    refused = bench.run(*from_token(bench, "exec", "--", *inner, "--role", ROLE), expect=1)
    contains(refused.stderr, ["Could not assume role with user credentials", "AccessDenied"], "what is said")


@check("keys on standard input are used instead of those in the environment")
def _(bench):
    keys = json.dumps({"AccessKeyId": "test", "SecretAccessKey": "test"})
    own = bench.environment(AWS_ACCESS_KEY_ID="wrong", AWS_SECRET_ACCESS_KEY="wrong")
    given = bench.run(bench.landfall, "login", "--keys-from-stdin", "--format", "json", stdin=keys, env=own)
    same(json.loads(given.stdout)["Arn"], f"arn:aws:iam::{ACCOUNT}:root", "caller")


@check("an account that isn't allowed starts no command")
def _(bench):
    command = from_token(bench, "exec", "--allowed-account-ids", "210987654321", "--", "echo", "started")
    lacks(bench.run(*command, expect=1).stdout, ["started"])


@check("the aws CLI and boto3 take `landfall credentials` as their credential_process")
def _(bench):
    own = profile(bench)
    cli = bench.run(program("aws"), "sts", "get-caller-identity", "--output", "json", env=own)
    same(json.loads(cli.stdout)["Arn"], SESSION, "the aws CLI's caller")
    same(bench.run(sys.executable, "-c", WHO, env=own).stdout.strip(), SESSION, "boto3's caller")


@check("with --cache the second client gets the first one's session, from a file that only its owner may read")
def _(bench):
    cache = bench.dir / "credentials-cache"
    command = from_token(bench, "credentials", "--cache", cache)
    first, second = (json.loads(bench.run(*command).stdout) for _ in range(2))
    same(second, first, "the second session")
    same(cache.stat().st_mode & 0o777, 0o600, "mode")
    cache.chmod(0o644)
    contains(bench.run(*command, expect=2).stderr, ["0600 is expected"], "what is said of a cache for everybody")


@check("without --cache nothing is kept")
def _(bench):
    command = from_token(bench, "credentials")
    first, second = (json.loads(bench.run(*command).stdout) for _ in range(2))
    if first["AccessKeyId"] == second["AccessKeyId"]:
        raise Wrong("the same session came twice")
    same(sorted(first), ["AccessKeyId", "AccountId", "Expiration", "SecretAccessKey", "SessionToken", "Version"], "members")
