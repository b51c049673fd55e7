"""`landfall rehearse examples/github-ecs`: it works, with and without Docker, and each fault is told truly."""

import os
import pathlib
import shutil
import tempfile

import engines
from docker_engine import engine
from harness import ROOT, Wrong, add, check, contains, free_port, lacks, program, table
from rehearsals import nothing_left, points_at, rehearsing, temporary_files

EXAMPLE = ROOT / "examples/github-ecs"


def environment(bench, host=None):
    """Somebody who has an engine, or none; Rust is needed to build the program."""
    program("rustc")
    more = {name: os.environ[name] for name in ("RUSTUP_HOME", "RUSTUP_TOOLCHAIN") if name in os.environ}
    more.setdefault("RUSTUP_HOME", os.path.expanduser("~/.rustup"))
    return rehearsing(bench, DOCKER_HOST=host or f"unix://{bench.dir}/no-engine", DOCKER_BUILDKIT="0", **more)


def example(bench, edits):
    """A copy of the example with some texts replaced, each of which stands there exactly once. Its container listens on a
    port that is free: without a bridge, that is one of the machine's."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="example-", dir=bench.dir)) / "example"
    shutil.copytree(EXAMPLE, place)
    for name, old, new in edits:
        text = (place / name).read_text()
        if text.count(old) != 1:
            raise Wrong(f"{name} has {text.count(old)} times {old!r}; the row needs it exactly once")
        (place / name).write_text(text.replace(old, new))
    port = str(free_port())
    for name in ("service/task-definition.json", "infra/service.tf"):
        (place / name).write_text((place / name).read_text().replace("8080", port))
    return place


def fault(row):
    def run(bench):
        host = engine(bench) if row.get("engine") else None
        place, before = example(bench, row.get("edits", [])), temporary_files(bench)
        command = [bench.landfall, "rehearse", "example", *row.get("flags", [])]
        said = bench.run(*command, cwd=place.parent, env=environment(bench, host), expect=row.get("exit", 1))
        output = said.stdout + said.stderr
        contains(output, row["says"])
        lacks(output, ["the crossing works", "panicked", *row.get("never", [])])
        points_at(output, place, row.get("places", []))
        nothing_left(bench, before)

    return run


for each in table("ecs_faults.toml", "fault"):
    add(__name__, f"told: {each['name']}", fault(each))


@check("with an engine the example works: the container runs, and answers on its port")
def _(bench):
    place = example(bench, [])
    said = bench.run(bench.landfall, "rehearse", "example", cwd=place.parent, env=environment(bench, engine(bench)))
    contains(said.stdout, ["the crossing works", "service shop/orders", "1 of 1 running, deployment successful", "answers HTTP 200"])


def by_podman(bench):
    inner = environment(bench, engines.podman(bench))
    place = example(bench, [])
    said = bench.run(bench.landfall, "rehearse", "example", cwd=place.parent, env=inner)
    contains(said.stdout, ["the crossing works", "1 of 1 running, deployment successful", "answers HTTP 200"])
    place = example(bench, [("service/task-definition.json", '"value": "8080"', '"value": "eighty"')])
    said = bench.run(bench.landfall, "rehearse", "example", cwd=place.parent, env=inner, expect=1)
    contains(said.stdout, ["error[container-exited]", "what the container wrote last: orders: PORT is eighty, which is no port"])


# Left out where Podman's service can't be started, as all of that group are.
add("ecs_podman_containers", "the example works, and a container that exits at once is told", by_podman)


@check("the image is built and pushed with Docker as well")
def _(bench):
    workflow = example(bench, []) / "service/.github/workflows/deploy-docker.yml"
    said = bench.run(bench.landfall, "rehearse", workflow, env=environment(bench, engine(bench)))
    contains(said.stdout, ["the crossing works", "answers HTTP 200"])


@check("without an engine the end says that nothing ran the container, and the exit code is another one")
def _(bench):
    said = bench.run(bench.landfall, "rehearse", "examples/github-ecs", cwd=ROOT, env=environment(bench), expect=3)
    contains(said.stdout, ["not run, no container engine at", "not shown to work: nothing ran shop/orders"])
    contains(said.stderr, ["nothing ran the tasks of shop/orders", "DOCKER_HOST"])
    lacks(said.stdout, ["the crossing works"])


GITLAB = """
resource "aws_iam_openid_connect_provider" "gitlab" {
  url            = "https://gitlab.com"
  client_id_list = ["https://gitlab.com"]
}

resource "aws_iam_role" "gitlab" {
  name = "gitlab-deploy"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.gitlab.arn }
      Condition = { StringEquals = { "gitlab.com:sub" = "project_path:acme/orders:ref_type:branch:ref:main" } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "gitlab" {
  for_each   = { deploy = aws_iam_policy.deploy.arn, pass_role = aws_iam_policy.pass_role.arn }
  role       = aws_iam_role.gitlab.name
  policy_arn = each.value
}
"""
PIPELINE = """deploy:
  id_tokens: { AWS_ID_TOKEN: { aud: https://gitlab.com } }
  variables: { IMAGE: 123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/orders:v2 }
  script:
    - export $(landfall login --role arn:aws:iam::123456789012:role/gitlab-deploy --region ap-northeast-1 --web-identity-token-variable AWS_ID_TOKEN --format env)
    - landfall deploy --cluster shop --service orders --task-definition task-definition.json --image "$IMAGE"
"""


def by_gitlab(edit, says, places, never=()):
    def run(bench):
        place, before = example(bench, [edit]), temporary_files(bench)
        (place / "infra/gitlab.tf").write_text(GITLAB)
        (place / "service/.gitlab-ci.yml").write_text(PIPELINE)
        command = [bench.landfall, "rehearse", "example/service/.gitlab-ci.yml", "--infra", "example/infra", "--repo", "acme/orders"]
        inner = rehearsing(bench, DOCKER_HOST=f"unix://{bench.dir}/no-engine")
        said = bench.run(*command, cwd=place.parent, env=inner, expect=1).stdout
        contains(said, says)
        lacks(said, ["the crossing works", "with the session of this role", *never])
        points_at(said, place, places)
        nothing_left(bench, before)

    return run


add(
    __name__,
    "told in a GitLab pipeline: the execution role may not pull",
    by_gitlab(
        ("infra/service.tf", "service-role/AmazonECSTaskExecutionRolePolicy", "CloudWatchLogsFullAccess"),
        [
            "error[action-not-allowed]: no identity-based policy allows `ecr:GetAuthorizationToken` on `*`",
            "the call is made by ECS in this role, to start the task",
            "help: the execution role needs AmazonECSTaskExecutionRolePolicy",
        ],
        [("service/task-definition.json", '"executionRoleArn"'), ("infra/service.tf", 'resource "aws_iam_role" "execution"')],
        ["error[image-not-pulled]"],
    ),
)
add(
    __name__,
    "told in a GitLab pipeline: ECS may not take the task role",
    by_gitlab(
        ("infra/service.tf", 'identifiers = ["ecs-tasks.amazonaws.com"]', 'identifiers = ["ec2.amazonaws.com"]'),
        ["ECS was unable to assume the role 'arn:aws:iam::123456789012:role/orders-task'", "ECS takes this role for the task"],
        [("service/task-definition.json", '"taskRoleArn"'), ("infra/service.tf", "principals {")],
    ),
)
add(
    __name__,
    "told in a GitLab pipeline: an image that isn't there, at the line that deploys it",
    by_gitlab(
        ("infra/service.tf", "enable   = true", "enable   = true # as it is"),
        ["error[image-not-pulled]: the image of `orders` can't be pulled, in 3 tasks of orders:2, for shop/orders", "orders:v2: not found"],
        [("service/.gitlab-ci.yml", "landfall deploy --cluster")],
    ),
)

TEMPLATES = {
    "workflow": """    uses: acme/landfall/.github/workflows/ecs-deploy.yml@v1
    with: {{ {common}, image: {image}, build: "{build}", entrypoint: /server, cluster: shop, service: orders, container: orders }}
  after:
    needs: deploy
    runs-on: ubuntu-latest
    steps: [{{ run: 'echo "${{{{ needs.deploy.outputs.task-definition-arn }}}} ${{{{ needs.deploy.outputs.image }}}}"' }}]
""",
    "actions": """    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: {build}
      - id: push
        uses: acme/landfall/push@v1
        with: {{ {common}, image: {image}, entrypoint: /server }}
      - id: deploy
        uses: acme/landfall/deploy@v1
        with: {{ {common}, image: "${{{{ steps.push.outputs.image }}}}", cluster: shop, service: orders, container: orders }}
      - run: echo "${{{{ steps.deploy.outputs.task-definition-arn }}}} ${{{{ steps.push.outputs.image }}}}"
""",
}


def template(kind):
    def run(bench):
        place = example(bench, [])
        values = {
            "common": "role: 'arn:aws:iam::123456789012:role/github-actions-deploy', region: ap-northeast-1",
            "image": "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/orders",
            "build": "mkdir image; rustc --edition 2021 -C target-feature=+crt-static -o image/server src/main.rs",
        }
        head = "on: push\npermissions: { contents: read, id-token: write }\njobs:\n  deploy:\n"
        file = place / "service/.github/workflows/by-template.yml"
        file.write_text(head + TEMPLATES[kind].format(**values))
        remote = f"acme/landfall@v1={ROOT}/templates/github"
        command = [bench.landfall, "rehearse", file, "--remote", remote]
        said = bench.run(*command, env=environment(bench, engine(bench)))
        contains(said.stdout, ["the crossing works", "service shop/orders", "deployment successful", "answers HTTP 200"])
        contains(said.stdout, ["task-definition/orders:2 ", "/orders@sha256:"])

    return run


for each in TEMPLATES:
    add(__name__, f"templates/github: login, push and deployment with landfall alone, by {each}", template(each))
