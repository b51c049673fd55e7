"""`--infra` of the commands that call AWS: a refusal is explained with the line of the Terraform that refuses, the
same engine and the same words as in a rehearsal."""

import json

import aws
from harness import ACCOUNT, REGION, check, contains, lacks, same
from images import layout

MAIN = """provider "aws" {
  region = "REGION"
}

resource "aws_iam_user" "ci" {
  name = "ci"
}

resource "aws_iam_user_policy" "ci" {
  user = aws_iam_user.ci.name
  name = "own"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "sts:AssumeRole"
      Resource = [aws_iam_role.deploy.arn, "arn:aws:iam::210987654321:role/release"]
    }]
  })
}

resource "aws_iam_role" "deploy" {
  name = "deploy-reasons"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { AWS = aws_iam_user.ci.arn }
      Condition = { StringEquals = { "sts:ExternalId" = "one" } }
    }]
  })
}

resource "aws_iam_role_policy" "deploy" {
  role = aws_iam_role.deploy.name
  name = "own"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" },
      {
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"]
        Resource = aws_ecr_repository.web.arn
      },
      { Effect = "Allow", Action = ["ecs:DescribeTaskDefinition", "ecs:RegisterTaskDefinition"], Resource = "*" },
      {
        Effect   = "Allow"
        Action   = ["ecs:DescribeServices", "ecs:UpdateService"]
        Resource = "arn:aws:ecs:REGION:ACCOUNT:service/prod/web"
        Condition = { ArnEquals = { "ecs:cluster" = "arn:aws:ecs:REGION:ACCOUNT:cluster/staging" } }
      },
    ]
  })
}

resource "aws_ecr_repository" "web" {
  name = "reasons"
}

resource "aws_ecs_cluster" "prod" {
  name = "prod"
}
""".replace("REGION", REGION).replace("ACCOUNT", ACCOUNT)


# A task that ECS starts in a role, and a service that gives up at the third task that fails.
TASKS = """
resource "aws_iam_role" "execution" {
  name = "execution-reasons"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ecs-tasks.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "execution" {
  role = aws_iam_role.execution.name
  name = "pull"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["ecr:BatchGetImage"], Resource = "*" }]
  })
}

resource "aws_iam_role" "machine" {
  name = "machine-reasons"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_ecs_task_definition" "tasks" {
  family                = "tasks"
  execution_role_arn    = aws_iam_role.execution.arn
  container_definitions = jsonencode([{ name = "web", image = "nginx", memory = 64 }])
}

resource "aws_ecs_service" "tasks" {
  name            = "tasks"
  cluster         = aws_ecs_cluster.prod.name
  task_definition = aws_ecs_task_definition.tasks.arn
  desired_count   = 0
  deployment_circuit_breaker {
    enable   = true
    rollback = false
  }
}
"""


def furnished(bench):
    """A server with this Terraform, the folder, and the variables of the user `ci`."""
    folder = bench.dir / "infra-reasons"
    if not folder.exists():
        folder.mkdir()
        (folder / "main.tf").write_text(MAIN)
        (folder / "tasks.tf").write_text(TASKS)
    beside = bench.beside("--infra", folder)
    key = aws.client(beside, "iam", ("test", "test")).create_access_key(UserName="ci")["AccessKey"]
    return beside, folder, {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def login(bench, keys, *flags, expect=0, role=f"arn:aws:iam::{ACCOUNT}:role/deploy-reasons"):
    command = [bench.landfall, "login", "--role", role, "--format", "json", *flags]
    return bench.run(*command, env=bench.environment(**keys), expect=expect)


def line_of(text):
    """`main.tf:LINE` of the first line with this text."""
    at = next(number for number, line in enumerate(MAIN.splitlines(), 1) if text in line)
    return f"main.tf:{at}"


@check("a role that refuses AssumeRole is explained: the condition, and the trust policy of another account")
def _(bench):
    beside, folder, keys = furnished(bench)
    plain = login(beside, keys, "--role-external-id", "two", expect=1).stderr
    lacks(plain, ["main.tf"])
    told = login(beside, keys, "--role-external-id", "two", "--infra", folder, expect=1).stderr
    contains(told, ["is not authorized to perform: sts:AssumeRole", "sts:ExternalId", line_of('"sts:ExternalId" = "one"')])
    other = login(beside, keys, "--infra", folder, expect=1, role="arn:aws:iam::210987654321:role/release").stderr
    contains(other, ["the trust policy of arn:aws:iam::210987654321:role/release is what refuses", "account 210987654321"])
    nobody = login(beside, keys, "--infra", folder, expect=1, role=f"arn:aws:iam::{ACCOUNT}:role/none").stderr
    contains(nobody, ["error["])


@check("refusals of ecr login, push and deploy are explained with the statement that is missing or the clause that fails")
def _(bench):
    beside, folder, keys = furnished(bench)
    given = json.loads(login(beside, keys, "--role-external-id", "one").stdout)
    session = beside.environment(
        AWS_ACCESS_KEY_ID=given["AccessKeyId"], AWS_SECRET_ACCESS_KEY=given["SecretAccessKey"], AWS_SESSION_TOKEN=given["SessionToken"]
    )
    run = lambda *command, expect=1, env=session: beside.run(beside.landfall, *command, "--infra", folder, env=env, expect=expect)
    user = beside.environment(**keys)
    told = run("ecr", "login", "--isolated", env=user).stderr
    contains(told, ["is not authorized to perform: ecr:GetAuthorizationToken", "error[", "main.tf"])
    image = beside.dir / "image-reasons"
    layout(image)
    told = run("push", "--oci", image, f"{beside.server.address}/reasons:one").stderr
    contains(told, ["is not authorized to perform: ecr:PutImage", "error[", "main.tf"])
    told = run("deploy", "--cluster", "prod", "--service", "web", "--image", "nginx").stderr
    contains(told, ["is not authorized to perform: ecs:DescribeServices", "`ecs:cluster`", line_of("cluster/staging")])
    definition = beside.dir / "task-reasons.json"
    role = f"arn:aws:iam::{ACCOUNT}:role/deploy-reasons"
    container = {"name": "web", "image": "nginx", "memory": 64}
    definition.write_text(json.dumps({"family": "reasons", "taskRoleArn": role, "containerDefinitions": [container]}))
    told = run("deploy", "--register-only", "--task-definition", definition).stderr
    contains(told, ["is not authorized to perform: iam:PassRole", "error[", "main.tf"])
    # What the Terraform at hand would allow is refused by something else.
    wider = beside.dir / "wider.json"
    wider.write_text(json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}))
    told = beside.run(beside.landfall, "ecr", "login", "--isolated", "--infra", wider, env=user, expect=1).stderr
    contains(told, ["note: "])
    told = beside.run(beside.landfall, "push", "--oci", image, f"{beside.server.address}/reasons:two", "--infra", wider, env=session, expect=1).stderr
    contains(told, ["ecr:PutImage on", "is allowed: what is in force in the account is something else"])
    # Without it the refusal is told all the same.
    told = beside.run(beside.landfall, "push", "--oci", image, f"{beside.server.address}/reasons:two", "--infra", beside.dir / "none", env=session, expect=1).stderr
    contains(told, ["is not authorized to perform: ecr:PutImage"])


@check("a task that can't start in its execution role is explained: its policy as text and as JSON, of deploy and of run-task")
def _(bench):
    beside, folder, _ = furnished(bench)
    root = beside.environment(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", DOCKER_HOST="unix:///none")
    image = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/reasons:one"
    run = lambda *command, infra=folder: beside.run(beside.landfall, "deploy", *command, "--cluster", "prod", "--infra", infra, env=root, expect=1).stdout
    refused = "ecr:GetAuthorizationToken"
    place = "tasks.tf:" + str(next(at for at, line in enumerate(TASKS.splitlines(), 1) if "ecr:BatchGetImage" in line))
    told = run("--service", "tasks", "--image", image, "--desired-count", "1")
    contains(told, ["✗ tasks  the deployment of tasks:2 failed", "3 × ", f"is not authorized to perform: {refused}", f"error[action-not-allowed]: no identity-based policy allows `{refused}` on `*`", place])
    same(told.count("error[action-not-allowed]"), 1, "how often it is told")
    report = json.loads(run("--service", "tasks", "--force", "--format", "json").splitlines()[-1])
    [service] = report["services"]
    same((service["outcome"], service["why"]), ("failed", None))
    why = service["causes"][0]["why"]
    same((why["finding"]["rule"], why["note"]), ("action-not-allowed", None))
    contains(json.dumps(why["finding"]), [place.partition(":")[0], refused])
    definition = f"tasks:2"
    told = run("run-task", "--family", definition)
    contains(told, [f"is not authorized to perform: {refused}", f"error[action-not-allowed]: no identity-based policy allows `{refused}`", place])
    report = json.loads(run("run-task", "--family", definition, "--format", "json").splitlines()[-1])
    same(report["tasks"][0]["why"]["finding"]["rule"], "action-not-allowed")
    # Policies that would allow it say that the account has others.
    wider = beside.dir / "wider-tasks.json"
    wider.write_text(json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}))
    report = json.loads(run("run-task", "--family", definition, "--format", "json", infra=wider).splitlines()[-1])
    contains(report["tasks"][0]["why"]["note"], [f"{refused} on * is allowed: what is in force in the account is something else"])


@check("a role that ECS can't take for tasks is told as the cause, with the line of its trust policy, of deploy and of run-task")
def _(bench):
    beside, folder, _ = furnished(bench)
    root = beside.environment(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", DOCKER_HOST="unix:///none")
    run = lambda *command: beside.run(beside.landfall, "deploy", *command, "--cluster", "prod", "--infra", folder, env=root, expect=1)
    arn = lambda name: f"arn:aws:iam::{ACCOUNT}:role/{name}"
    said = lambda name: f"ECS was unable to assume the role '{arn(name)}' that was provided for this task."
    place = "tasks.tf:" + str(next(at for at, line in enumerate(TASKS.splitlines(), 1) if "ec2.amazonaws.com" in line))
    for flag, role in [("--task-role", "machine-reasons"), ("--execution-role", "machine-reasons"), ("--task-role", "none-reasons")]:
        told = run("--service", "tasks", flag, arn(role), "--desired-count", "1").stdout
        contains(told, ["✗ tasks  the deployment of tasks:", " failed, and the service stays with it", f"3 × {said(role)}", "help: the role has to be there"])
        lacks(told, ["has started 1 tasks"])
        contains(told, ["there is no role"] if role == "none-reasons" else ["error[principal-mismatch]", place])
    definition = beside.dir / "task-untaken.json"
    definition.write_text(json.dumps({"family": "untaken", "taskRoleArn": arn("machine-reasons"), "containerDefinitions": [{"name": "web", "image": "nginx", "memory": 64}]}))
    told = run("run-task", "--task-definition", definition).stderr
    contains(told, [said("machine-reasons"), "caused by: ClientException", "help: the role has to be there", "error[principal-mismatch]", place])
