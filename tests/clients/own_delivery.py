"""`login`, `ecr login` and `push` one after another, as steps of a GitHub job and as a GitLab job's script."""

import json
import re
import sys

import aws
import javascript
from ecs import ROOT_KEYS, completed, definition, service
from harness import ACCOUNT, EXAMPLE, REGION, ROLE, ROOT, Wrong, check, contains, lacks, matches, program, same, until
from images import allow, layout, role
from login_faults import offered, stub

SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/github-oidc-role/GitHubActions"


def read_file(path):
    """Names and values of a runner's file, read as GitHub's runner reads it."""
    values, lines = {}, iter(path.read_text().splitlines())
    for line in lines:
        name, equals, value = line.partition("=")
        heredoc, _, delimiter = line.partition("<<")
        if not equals or len(heredoc) < len(name):
            name, value = heredoc, "\n".join(iter(lambda: next(lines), delimiter))
        values[name] = value
    return values


class Job:
    """Steps of a GitHub job: each has files of its own, and variables go on to the next."""

    def __init__(self, bench, offer):
        self.bench = bench
        self.place = bench.folder("delivery")
        self.variables = {}
        self.log = ""
        self.env = bench.environment(
            GITHUB_ACTIONS="true",
            RUNNER_TEMP=str(bench.folder("delivery/temp")),
            ACTIONS_ID_TOKEN_REQUEST_URL=f"http://{offer}/idtoken?api-version=2.0",
            ACTIONS_ID_TOKEN_REQUEST_TOKEN="bearer",
        )

    def step(self, name, *command, cwd=None, **more):
        """Runs a step; gives its outputs."""
        files = {variable: self.place / f"{name}-{variable}" for variable in ("GITHUB_ENV", "GITHUB_OUTPUT")}
        for path in files.values():
            path.touch()
        env = self.env | self.variables | {variable: str(path) for variable, path in files.items()} | more
        done = self.bench.run(*command, env=env, cwd=cwd)
        self.log += done.stdout + done.stderr
        self.variables |= read_file(files["GITHUB_ENV"])
        return read_file(files["GITHUB_OUTPUT"])


def masked(log):
    return [line.removeprefix("::add-mask::") for line in log.splitlines() if line.startswith("::add-mask::")]


def deliverer(bench, name):
    """A role for acme/web that may push and deploy, and the service of its name; the role's ARN and a client of ECS."""
    role(bench, name, allow("ecr:*", "ecs:*"))
    client = aws.client(bench, "ecs", ROOT_KEYS)
    client.create_cluster(clusterName="delivery")
    first = definition(client, name)
    client.create_service(cluster="delivery", serviceName=name, taskDefinition=first, desiredCount=1)
    until(lambda: service(client, "delivery", name), completed)
    return f"arn:aws:iam::{ACCOUNT}:role/{name}", client


def runs(client, name):
    """The image that a service is set to."""
    described = client.describe_task_definition(taskDefinition=service(client, "delivery", name)["taskDefinition"])
    return described["taskDefinition"]["containerDefinitions"][0]["image"]


@check("login, ecr login, push and deploy are steps beside @actions/core, which writes and reads the same files")
def _(bench):
    scripts = javascript.scripts(bench)
    node = [program("node"), "step.mjs"]
    token = bench.token()
    layout(bench.dir / "delivery-image")
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/deliver-github/GitHubActions"
    role, client = deliverer(bench, "deliver-github")
    with stub(lambda handler, _: handler.reply(200, offered(token))) as (offer, asked):
        job = Job(bench, offer)
        job.step("before", *node, cwd=scripts, INPUT_ROLE=role)
        outputs = job.step("login", bench.landfall, "login", "--region", REGION, "--output-credentials")
        same((outputs["aws-account-id"], outputs["authenticated-arn"]), (ACCOUNT, session), "outputs of login")
        matches(outputs["aws-expiration"], r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "aws-expiration")
        same(outputs["aws-secret-access-key"], job.variables["AWS_SECRET_ACCESS_KEY"], "the key as an output")
        same(asked, ["/idtoken?api-version=2.0&audience=sts.amazonaws.com"], "asked of GitHub")
        registry = job.step("registry", bench.landfall, "ecr", "login", "--isolated", "--output-docker-credentials")
        same(registry["registry"], bench.server.address, "registry")
        same(registry[f"docker_username_{bench.server.address.replace('.', '_').replace(':', '_')}"], "AWS", "user")
        image = f"{bench.server.address}/web:delivery"
        pushed = job.step("push", bench.landfall, "push", "--oci", bench.dir / "delivery-image", image)
        matches(pushed["digest"], r"sha256:[0-9a-f]{64}", "digest")
        service = ["deploy", "--cluster", "delivery", "--service", "deliver-github"]
        deployed = job.step("deploy", bench.landfall, *service, "--image", pushed["image"])
        same(deployed, {"task-definition-arn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/deliver-github:2"}, "outputs of deploy")
        same(runs(client, "deliver-github"), pushed["image"], "what the service runs")
        after = job.step("after", *node, "after", cwd=scripts)
        same(after, {"caller": session, "lines": "one=1\ntwo<<2\n"}, "what the SDK sees in the job's variables")
        secrets = [job.variables[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
        same(masked(job.log)[:3], secrets, "masks")
        lacks("\n".join(line for line in job.log.splitlines() if not line.startswith("::add-mask::")), secrets, "the log")
    inspected = bench.run(program("skopeo"), "inspect", "--raw", "--authfile", f"{job.variables['DOCKER_CONFIG']}/config.json", "--tls-verify=false", f"docker://{image}")
    same(json.loads(inspected.stdout)["schemaVersion"], 2, "the image")


@check("a GitLab job's script: a token from `id_tokens`, a session for the commands that follow, an image, a deployment")
def _(bench):
    source = bench.dir / "gitlab-image"
    pushed = layout(source)
    role, client = deliverer(bench, "deliver-gitlab")
    script = """
        set -eu
        session=$("$LANDFALL" login --role "$ROLE" --web-identity-token-variable AWS_ID_TOKEN --format env)
        export $session
        eval "$("$LANDFALL" ecr login --isolated)"
        "$LANDFALL" push --oci "$SOURCE" "$REGISTRY/web:gitlab"
        "$LANDFALL" deploy --cluster delivery --service deliver-gitlab --image "$REGISTRY/web:gitlab" --dotenv deploy.env
        "$LANDFALL" login --format json
    """
    own = bench.environment(
        GITLAB_CI="true", CI="true", CI_JOB_ID="9", CI_PROJECT_ID="42", CI_PIPELINE_ID="7", AWS_ID_TOKEN=bench.token(),
        ROLE=role, LANDFALL=bench.landfall,
        SOURCE=str(source), REGISTRY=bench.server.address,
    )
    place = bench.folder("gitlab-project")
    done = bench.run("sh", "-c", script, env=own, cwd=place)
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/deliver-gitlab/GitLabRunner-42-7"
    contains(done.stdout, [pushed, session, "✓ deliver-gitlab  deliver-gitlab:2 is stable"], "what is said")
    same(runs(client, "deliver-gitlab"), f"{bench.server.address}/web:gitlab", "what the service runs")
    contains((place / "deploy.env").read_text(), ["task-definition/deliver-gitlab:2"], "the variables of later jobs")
    refused = bench.run("sh", "-c", script, env=own | {"AWS_ID_TOKEN": bench.token(repo="acme/other")}, expect=1)
    contains(refused.stderr, ["token: sub = repo:acme/other", "AccessDenied"], "what is said of another project")
    lacks(refused.stdout, ["pushed"], "what is said of another project")


@check("a refusal with --infra names the line that refused, and says so when the Terraform would have admitted it")
def _(bench):
    token = bench.dir / "token-infra"
    token.write_text(bench.token("--event", "pull_request"))
    command = [bench.landfall, "login", "--role", ROLE, "--format", "json", "--web-identity-token-file", token]
    said = bench.run(*command, "--infra", EXAMPLE / "infra", expect=1).stderr
    contains(said, ["AccessDenied", "error[subject-mismatch]", "infra/main.tf:17", "a pull request"], "what is said")
    policy = bench.dir / "trust-wide.json"
    host = "token.actions.githubusercontent.com"
    condition = {"StringLike": {f"{host}:sub": "repo:acme/web:*"}}
    statement = {"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Condition": condition}
    statement["Principal"] = {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"}
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    said = bench.run(*command, "--infra", policy, expect=1).stderr
    contains(said, ["the role takes this token: what is in force in account 123456789012 is something else, or the role is of another account"], "what is said")


TWICE = """
import boto3
session = boto3.Session()
for _ in range(2):
    session.client("sts").get_caller_identity()
    print(session.get_credentials().get_frozen_credentials().access_key)
"""


@check("boto3 asks `credentials` again when a session has a quarter of an hour left, and not before")
def _(bench):
    token = bench.dir / "token-again"
    token.write_text(bench.token())
    for seconds, sessions in (900, 2), (3600, 1):
        config = bench.dir / f"config-{seconds}"
        command = f"{bench.landfall} credentials --role {ROLE} --web-identity-token-file {token} --role-duration-seconds {seconds}"
        config.write_text(f"[profile ci]\nregion = {REGION}\ncredential_process = {command}\n")
        own = bench.environment(AWS_CONFIG_FILE=str(config), AWS_PROFILE="ci")
        keys = bench.run(sys.executable, "-c", TWICE, env=own).stdout.split()
        same(len(set(keys)), sessions, f"sessions of {seconds} s")


WORKFLOW = """
name: Deploy
on: push
permissions: {id-token: write}
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - uses: aws-actions/configure-aws-credentials@v6
        with:
          aws-region: REGION
          role-to-assume: ROLE
          aws-profile: ci
          overwrite-aws-profile: true
          disable-retry: true
          action-timeout-s: 600
          force-skip-oidc: false
          special-characters-workaround: true
          custom-tags: '{"Team": "web"}'
          transitive-tag-keys: Team
      - run: |
          test -z "${AWS_ACCESS_KEY_ID:-}"
          grep -c '^\\[profile ci\\]' ~/.aws/config
          sed -n 's/^aws_secret_access_key = [A-Za-z0-9]*$/the key is plain/p' ~/.aws/credentials
      - uses: aws-actions/configure-aws-credentials@v6
        with: {aws-region: REGION, role-to-assume: ROLE}
      - uses: aws-actions/configure-aws-credentials@v6
        with: {aws-region: REGION, use-existing-credentials: false}
      - uses: aws-actions/amazon-ecr-login@v2
        id: ecr
        with: {mask-password: false, registries: ' ACCOUNT ', skip-logout: true}
      - run: echo "user ${{ steps.ecr.outputs.registry }}"
"""


@check("a rehearsal takes every input of the actions: a profile instead of variables, tags, limits, existing credentials")
def _(bench):
    workflow = WORKFLOW.replace("REGION", REGION).replace("ROLE", ROLE).replace("ACCOUNT", ACCOUNT)
    said = javascript.rehearse(bench, "inputs", workflow, 0)
    parts = ["the key is plain", "--custom-tags is not sent", "takes `use-existing-credentials: false` for a yes"]
    contains(said, [*parts, "using the credentials that are there", "user 127.0.0.1:"], "the rehearsal")


@check("what docs say of the actions' inputs is what the commands take, and no flag is left out")
def _(bench):
    documents = [
        ("configure-aws-credentials", [["login"]], 32),
        ("amazon-ecr-login", [["ecr", "login"]], 5),
        ("ecs-deploy-actions", [["deploy"], ["deploy", "run-task"]], 48),
    ]
    for document, commands, count in documents:
        text = (ROOT / f"docs/{document}.md").read_text()
        table = [line for line in text.splitlines() if line.startswith("| `") or line.startswith("| – ")]
        known = "".join(bench.run(bench.landfall, *command, "--help").stdout for command in commands)
        inputs = [name for line in table for name in re.findall(r"`([a-zA-Z-]+)`", line.split("|")[1])]
        named = [f"--{name}" for line in table if "the same" in line.split("|")[2] for name in re.findall(r"`([a-zA-Z-]+)`", line.split("|")[1])]
        flags = set(named) | set(re.findall(r"`(--[a-z-]+)", "".join(line.split("|")[2] for line in table)))
        variables = re.findall(r"`([A-Z_]{4,})`", "".join(line.split("|")[3] for line in table if document.startswith("conf")))
        contains(known, [*flags, *variables], f"the help of {commands}")
        if len(inputs) != count:
            raise Wrong(f"docs/{document}.md tells of {len(inputs)} inputs: {inputs}")
