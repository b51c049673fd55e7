"""AWS's SDK for JavaScript and GitHub's own @actions/core, as the actions on GitHub use them.

What is installed stands in javascript/package.json, and comes from the npm registry into a folder of the
user's cache.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import aws
from harness import ACCOUNT, EXAMPLE, HERE, REGION, ROLE, Skip, Wrong, check, contains, lacks, program, same

# The oldest Node that the SDK runs on.
NODE_MIN = 18
# Longest time in which the packages have to be there, in seconds.
INSTALL_SECONDS_MAX = 600


def scripts(bench):
    """A folder with the scripts and, beside them, the packages."""
    place = bench.dir / "javascript"
    if place.is_dir():
        return place
    version = bench.run(program("node"), "--version").stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < NODE_MIN:
        raise Skip(f"Node {NODE_MIN} is needed for AWS's SDK for JavaScript; there is {version}")
    return copied(bench, HERE / "javascript", "javascript")


def copied(bench, source, name):
    """A copy of a folder with scripts and, beside them, the packages of its package-lock.json."""
    program("node")
    place = bench.dir / name
    if not place.is_dir():
        shutil.copytree(source, place)
        (place / "node_modules").symlink_to(packages(source) / "node_modules")
    return place


def packages(source):
    """The packages of a folder's package-lock.json, installed if they aren't yet."""
    lock = (source / "package-lock.json").read_bytes()
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "landfall-tests")
    place = cache / f"javascript-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not (place / "complete").is_file():
        place.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, place)
        install = [program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        done = subprocess.run(install, cwd=place, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX)
        if done.returncode:
            raise Wrong(f"{' '.join(install)}\n{done.stdout}{done.stderr}")
        (place / "complete").touch()
    return place


def calls(bench, credentials, *asked):
    """Makes calls with the SDK; gives its answers and errors."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    environment = bench.environment(**dict(zip(names, credentials)))
    lines = [json.dumps({"service": service, "operation": operation, "input": more}) for service, operation, more in asked]
    place = scripts(bench)
    done = bench.run(program("node"), "calls.mjs", cwd=place, env=environment, stdin="\n".join(lines) + "\n")
    return [json.loads(line) for line in done.stdout.splitlines()]


def rehearse(bench, name, workflow, expect):
    """Rehearses a workflow of one job whose steps run the script."""
    place = bench.folder(f"rehearsal-{name}")
    (place / ".github/workflows").mkdir(parents=True)
    shutil.copytree(EXAMPLE / "infra", place / "infra")
    (place / ".github/workflows/deploy.yml").write_text(workflow)
    environment = bench.environment()
    environment.pop("AWS_ENDPOINT_URL")
    flags = ["--repo", "acme/web", "--infra", place / "infra"]
    done = bench.run(bench.landfall, "rehearse", *flags, place, env=environment, cwd=place, expect=expect)
    return done.stdout + done.stderr


WORKFLOW = """
name: Deploy
on: push
permissions: PERMISSIONS
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - id: crossing
        run: node SCRIPT
        env: {INPUT_ROLE: ROLE, INPUT_REGION: REGION}
      - run: echo "it was ${{ steps.crossing.outputs.arn }}, until $EXPIRES"
"""


def workflow(bench, permissions="{id-token: write}", role=ROLE):
    replaced = {"PERMISSIONS": permissions, "SCRIPT": str(scripts(bench) / "job.mjs"), "ROLE}": f"{role}}}"}
    text = WORKFLOW.replace("INPUT_ROLE: ROLE,", f"INPUT_ROLE: '{role}',").replace("REGION: REGION", f"REGION: {REGION}")
    for old, new in replaced.items():
        text = text.replace(old, new)
    return text


@check("@actions/core in a rehearsed job: ID token, session, registry login, output, variable, and a masked secret")
def _(bench):
    said = rehearse(bench, "allowed", workflow(bench), 0)
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/github-oidc-role/by-javascript"
    contains(said, ["the registry answers 200", "the secret key is ***", f"it was {arn}, until 20"], "the rehearsal")


@check("@actions/core in a job without id-token: write says that there is no place to ask for a token")
def _(bench):
    said = rehearse(bench, "no-permission", workflow(bench, "{contents: read}"), 1)
    contains(said, ["Unable to get ACTIONS_ID_TOKEN_REQUEST_URL env variable"], "the rehearsal")


@check("AWS's SDK in a rehearsed job is refused a role that it may not take, in AWS's words")
def _(bench):
    said = rehearse(bench, "refused", workflow(bench, role=f"arn:aws:iam::{ACCOUNT}:role/no-such-role"), 1)
    contains(said, ["Not authorized to perform sts:AssumeRoleWithWebIdentity"], "the rehearsal")
    lacks(said, ["the registry answers"], "the rehearsal")


@check("SDK for JavaScript: an exchange, an identity, a repository, its images, the registry's login")
def _(bench):
    exchange = {"RoleArn": ROLE, "RoleSessionName": "by-sdk", "WebIdentityToken": bench.token()}
    [exchanged] = calls(bench, (), ("sts", "AssumeRoleWithWebIdentity", exchange))
    given = exchanged["answer"]["Credentials"]
    session = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    identity, repositories, images, login = calls(
        bench,
        session,
        ("sts", "GetCallerIdentity", {}),
        ("ecr", "DescribeRepositories", {"repositoryNames": ["web"]}),
        ("ecr", "ListImages", {"repositoryName": "web"}),
        ("ecr", "GetAuthorizationToken", {}),
    )
    same(identity["answer"]["Arn"], f"arn:aws:sts::{ACCOUNT}:assumed-role/github-oidc-role/by-sdk", "Arn")
    [repository] = repositories["answer"]["repositories"]
    same(repository["repositoryName"], "web", "repositoryName")
    same(repository["createdAt"][:3], "202", "createdAt is a time")
    same(isinstance(images["answer"]["imageIds"], list), True, "imageIds is a list")
    same(login["answer"]["authorizationData"][0]["proxyEndpoint"], bench.server.url, "proxyEndpoint")


@check("SDK for JavaScript: each refusal has AWS's name, status and message")
def _(bench):
    wrong = {"RoleArn": ROLE, "RoleSessionName": "by-sdk", "WebIdentityToken": bench.token(repo="acme/other")}
    refused, broken = calls(
        bench,
        (),
        ("sts", "AssumeRoleWithWebIdentity", wrong),
        ("sts", "AssumeRoleWithWebIdentity", wrong | {"WebIdentityToken": "notajwt"}),
    )
    sentence = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
    same((refused["name"], refused["message"], refused["status"]), ("AccessDenied", sentence, 403), "the refusal")
    same((broken["name"], broken["status"]), ("InvalidIdentityTokenException", 400), "a token that is none")
    session = aws.exchange(bench, bench.token())
    missing, denied = calls(
        bench,
        session,
        ("ecr", "DescribeRepositories", {"repositoryNames": ["nowhere"]}),
        ("ecr", "CreateRepository", {"repositoryName": "new"}),
    )
    sentence = f"The repository with name 'nowhere' does not exist in the registry with id '{ACCOUNT}'"
    same((missing["name"], missing["message"]), ("RepositoryNotFoundException", sentence), "a repository that isn't there")
    same((denied["name"], denied["status"]), ("AccessDeniedException", 400), "what the role may not do")
    contains(denied["message"], ["is not authorized to perform: ecr:CreateRepository on resource: arn:aws:ecr:"], "message")
    [stranger] = calls(bench, ("test", "wrong"), ("ecr", "DescribeRepositories", {}))
    same((stranger["name"], stranger["status"]), ("InvalidSignatureException", 400), "a wrong secret")
