"""`serve --infra` on a `--data` directory that an earlier start has filled: what the Terraform describes is brought up
to date, what it doesn't speak of stays, and a start that finds nothing to do changes nothing.
"""

import contextlib
import copy
import http.client
import json
import shutil
import signal
import socket
import threading

import aws
from harness import ACCOUNT, EXAMPLE, ROLE, SERVER_SECONDS_MAX, Server, Wrong, check, contains, free_port, lacks, same
from root_key import allow

ROOT = ("test", "test")
OWN = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}]})
MORE = '''
resource "aws_ecr_lifecycle_policy" "app" {
  repository = "web"
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 10 }
      action       = { type = "expire" }
    }]
  })
}

resource "aws_ecr_registry_scanning_configuration" "ours" {
  scan_type = "BASIC"
  rule {
    scan_frequency = "SCAN_ON_PUSH"
    repository_filter {
      filter      = "*"
      filter_type = "WILDCARD"
    }
  }
}

resource "aws_ecs_cluster" "shop" {
  name = "again"
}

resource "aws_ecs_task_definition" "web" {
  family                = "again"
  container_definitions = jsonencode([{ name = "web", image = "nginx:1.27", memory = 64 }])
}

resource "aws_ecs_service" "web" {
  name            = "web"
  cluster         = aws_ecs_cluster.shop.arn
  task_definition = aws_ecs_task_definition.web.arn
  desired_count   = 1
}
'''


class Started:
    """A start on the directory, and the clients of what runs."""

    def __init__(self, bench, data, infra):
        self.bench, self.main = bench, bench.server
        self.server = Server(bench, "--offline", "--data", str(data), "--infra", str(infra))

    def __enter__(self):
        self.bench.server = self.server
        self.iam, self.ecr, self.ecs = (aws.client(self.bench, name, ROOT) for name in ("iam", "ecr", "ecs"))
        return self

    def __exit__(self, *_):
        self.bench.server = self.main
        same(self.server.stop(), 0, "exit code")

    def tally(self):
        counts = self.server.ready["infra"]
        return counts["new"], counts["changed"], counts["unchanged"]


    def service(self):
        """How many revisions there are, and what the service is like."""
        revisions = self.ecs.list_task_definitions(familyPrefix="again")["taskDefinitionArns"]
        [service] = self.ecs.describe_services(cluster="again", services=["web"])["services"]
        return len(revisions), service["taskDefinition"].rpartition(":")[2], service["desiredCount"]


def edit(path, old, new):
    text = path.read_text()
    same(text.count(old), 1, f"{path.name} has {old!r}")
    path.write_text(text.replace(old, new))


@check("serve --infra --data: what is described is brought up to date, the rest stays, and twice is once")
def _(bench):
    folder = bench.folder("again")
    infra, data = folder / "infra", folder / "data"
    shutil.copytree(EXAMPLE / "infra", infra)
    with Started(bench, data, infra) as first:
        made = first.tally()
        same(made[1:], (0, 0), "the first start")
        role_id = first.iam.get_role(RoleName="github-oidc-role")["Role"]["RoleId"]
        # What the Terraform knows nothing of.
        first.iam.put_role_policy(RoleName="github-oidc-role", PolicyName="by-hand", PolicyDocument=allow("s3:GetObject"))
        first.iam.create_role(RoleName="mine", AssumeRolePolicyDocument=OWN)
        first.iam.tag_role(RoleName="github-oidc-role", Tags=[{"Key": "by", "Value": "hand"}])
        first.ecr.create_repository(repositoryName="by-hand")
    with Started(bench, data, infra) as second:
        same(second.tally(), (0, 0, made[0]), "a start that finds all as it is")
        token = bench.token("--ref", "refs/heads/other")
        refused = aws.refusal(aws.client(bench, "sts").assume_role_with_web_identity, RoleArn=ROLE, RoleSessionName="reader", WebIdentityToken=token)
        same(refused[0], "AccessDenied")
        # The line of the Terraform is known on every start.
        contains(str(second.server.decision(refused[3])), ["main.tf"], "the reason")
    edit(infra / "main.tf", "refs/heads/${var.branch}", "environment:${var.branch}")
    with open(infra / "main.tf", "a") as file:
        file.write(MORE)
    with Started(bench, data, infra) as third:
        new, changed, unchanged = third.tally()
        same((new, changed >= 1, changed + unchanged), (0, True, made[0]), f"{third.tally()}")
        role = third.iam.get_role(RoleName="github-oidc-role")["Role"]
        contains(str(role["AssumeRolePolicyDocument"]), ["environment:main"], "the trust policy")
        same((role["RoleId"], {"Key": "by", "Value": "hand"} in role["Tags"]), (role_id, True), "the role's id and tag")
        same("by-hand" in third.iam.list_role_policies(RoleName="github-oidc-role")["PolicyNames"], True, "inline policy")
        third.iam.get_role(RoleName="mine")
        third.ecr.describe_repositories(repositoryNames=["by-hand"])
        contains(third.ecr.get_lifecycle_policy(repositoryName="web")["lifecyclePolicyText"], ["imageCountMoreThan"])
        same(third.service(), (1, "1", 1), "revisions, and the service")
        third.ecs.update_service(cluster="again", service="web", desiredCount=3)
        same(third.ecr.get_registry_scanning_configuration()["scanningConfiguration"]["rules"][0]["scanFrequency"], "SCAN_ON_PUSH")
    with Started(bench, data, infra) as fourth:
        same(fourth.tally(), (0, 0, made[0]), "again all as it is")
        same(fourth.service(), (1, "1", 1), "the count is the Terraform's, and nothing is registered again")
    edit(infra / "main.tf", "nginx:1.27", "nginx:1.28")
    with Started(bench, data, infra) as fifth:
        same(fifth.service(), (2, "2", 1), "a new revision, and the service on it")


IDENTITIES = """
provider "aws" { region = "us-east-1" }

resource "aws_iam_user" "dev" {
  name = "dev"
  path = "/old/"
}

resource "aws_iam_group" "devs" {
  name = "devs"
  path = "/old/"
}

resource "aws_iam_group_membership" "devs" {
  name  = "devs"
  group = aws_iam_group.devs.name
  users = [aws_iam_user.dev.name]
}

resource "aws_iam_policy" "edge" {
  name   = "edge"
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "iam:GetUser", Resource = "*" }] })
}

resource "aws_iam_role" "node" {
  for_each           = toset(["one", "two"])
  name               = each.key
  path               = "/kept/"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { Service = "codedeploy.amazonaws.com" }, Action = "sts:AssumeRole" }] })
}

resource "aws_iam_instance_profile" "node" {
  name = "node"
  role = aws_iam_role.node["one"].name
}

resource "aws_iam_account_alias" "ours" {
  account_alias = "before"
}

resource "aws_iam_service_linked_role" "ecs" {
  aws_service_name = "ecs.amazonaws.com"
}

resource "aws_codedeploy_app" "web" {
  name             = "web"
  compute_platform = "ECS"
}

resource "aws_codedeploy_deployment_group" "web" {
  app_name               = aws_codedeploy_app.web.name
  deployment_group_name  = "web"
  deployment_config_name = "CodeDeployDefault.ECSAllAtOnce"
  service_role_arn       = aws_iam_role.node["one"].arn
  ecs_service {
    cluster_name = "prod"
    service_name = "web"
  }
}
"""


@check("serve --infra --data: users, groups, profiles, the alias and CodeDeploy's groups are brought up to date in place")
def _(bench):
    folder = bench.folder("again-identities")
    infra, data = folder / "infra", folder / "data"
    infra.mkdir()
    (infra / "main.tf").write_text(IDENTITIES)
    with Started(bench, data, infra) as first:
        made = first.tally()
        same(made, (8, 0, 0), "the first start")
        ids = first.iam.get_user(UserName="dev")["User"]["UserId"], first.iam.get_group(GroupName="devs")["Group"]["GroupId"]
        role_id = first.iam.get_role(RoleName="one")["Role"]["RoleId"]
        # What the Terraform knows nothing of.
        first.iam.create_group(GroupName="by-hand")
        first.iam.add_user_to_group(GroupName="by-hand", UserName="dev")
        first.iam.create_user(UserName="guest")
        first.iam.add_user_to_group(GroupName="devs", UserName="guest")
        first.iam.put_group_policy(GroupName="devs", PolicyName="by-hand", PolicyDocument=allow("s3:GetObject"))
    with Started(bench, data, infra) as second:
        same(second.tally(), (0, 0, 8), "a start that finds all as it is")
    text = (infra / "main.tf").read_text()
    for old, new in (
        ('path = "/old/"', 'path = "/new/"'),
        ('  name = "dev"', '  name = "dev"\n  permissions_boundary = aws_iam_policy.edge.arn\n  tags = { team = "web" }'),
        ('role = aws_iam_role.node["one"].name', 'role = aws_iam_role.node["two"].name'),
        ('"/kept/"', '"/moved/"'),
        ('"before"', '"after"'),
        ("ECSAllAtOnce", "ECSLinear10PercentEvery1Minutes"),
    ):
        same(old in text, True, old)
        text = text.replace(old, new)
    (infra / "main.tf").write_text(text)
    with Started(bench, data, infra) as third:
        same(third.tally(), (0, 6, 2), "the user, the group, the roles, the profile and the alias are changed")
        role = third.iam.get_role(RoleName="one")["Role"]
        same((role["RoleId"], role["Arn"]), (role_id, f"arn:aws:iam::{ACCOUNT}:role/moved/one"), "the role at its new path")
        user, group = third.iam.get_user(UserName="dev")["User"], third.iam.get_group(GroupName="devs")
        same((user["UserId"], group["Group"]["GroupId"]), ids, "ids")
        same((user["Path"], group["Group"]["Path"], user["Tags"]), ("/new/", "/new/", [{"Key": "team", "Value": "web"}]))
        same(user["PermissionsBoundary"]["PermissionsBoundaryArn"], f"arn:aws:iam::{ACCOUNT}:policy/edge")
        same([it["UserName"] for it in group["Users"]], ["dev", "guest"])
        same([it["GroupName"] for it in third.iam.list_groups_for_user(UserName="dev")["Groups"]], ["by-hand", "devs"])
        same(third.iam.list_group_policies(GroupName="devs")["PolicyNames"], ["by-hand"])
        profile = third.iam.get_instance_profile(InstanceProfileName="node")["InstanceProfile"]
        same([role["RoleName"] for role in profile["Roles"]], ["two"])
        same(third.iam.list_account_aliases()["AccountAliases"], ["after"])
        deploy = aws.client(bench, "codedeploy", ROOT, region="us-east-1")
        told = deploy.get_deployment_group(applicationName="web", deploymentGroupName="web")["deploymentGroupInfo"]
        same(told["deploymentConfigName"], "CodeDeployDefault.ECSLinear10PercentEvery1Minutes")


class SlowEngine:
    """A container engine that answers when it is told to, and says when it was first asked."""

    def __init__(self, bench):
        self.path = bench.dir / "slow-engine.sock"
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.asked, self.answers = threading.Event(), threading.Event()
        threading.Thread(target=self._refuse, daemon=True).start()

    def _refuse(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.asked.set()
            with connection, contextlib.suppress(OSError):
                self.answers.wait()
                connection.sendall(b"HTTP/1.0 500 no\r\n\r\n{}")


@contextlib.contextmanager
def early(bench):
    """A server that has taken its port and waits for its engine, what is between them, and its address."""
    engine, address = SlowEngine(bench), f"127.0.0.1:{free_port()}"
    command = [bench.landfall, "serve", "--addr", address, "--format", "json", "--infra", EXAMPLE / "infra"]
    with bench.start(*command, env=bench.environment(DOCKER_HOST=f"unix://{engine.path}")) as running:
        if not engine.asked.wait(SERVER_SECONDS_MAX):
            raise Wrong("the engine was not asked")
        yield running, engine, address


@check("serve --infra: who asks before the infra is made waits for it, and isn't told of an empty account")
def who_asks_before_the_infra_is_made_waits_for_it(bench):
    with early(bench) as (running, engine, address):
        beside = copy.copy(bench)
        beside.server = type("Early", (), {"url": f"http://{address}"})
        url = aws.client(beside, "iam", ROOT).generate_presigned_url("list_open_id_connect_providers", HttpMethod="GET")
        # Its port is there, so that it isn't told that nobody listens; and a first answer knows what Terraform describes.
        connection = http.client.HTTPConnection(address, timeout=SERVER_SECONDS_MAX)
        connection.request("GET", url.removeprefix(f"http://{address}"))
        engine.answers.set()
        contains(connection.getresponse().read().decode(), ["oidc-provider/token.actions.githubusercontent.com"])
        connection.close()
        running.says('"event":"ready"')
        running.process.send_signal(signal.SIGTERM)
        running.over()


@check("serve --infra: a server that is told to stop before it is ready ends")
def a_server_that_is_told_to_stop_before_it_is_ready_ends(bench):
    with early(bench) as (running, _, _):
        running.process.send_signal(signal.SIGTERM)
        lacks(running.over(), ['"event":"ready"'], "output")


TRUSTING = """
resource "aws_iam_role" "first" {
  name = "first"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [
    { Effect = "Allow", Action = "sts:AssumeRole", Principal = { AWS = [aws_iam_role.last.arn, "arn:aws:iam::123456789012:user/ops"] } },
  ] })
}

resource "aws_iam_role" "last" {
  name               = "last"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { AWS = "123456789012" } }] })
}
"""


@check("serve --infra --data: a trust policy means the roles that the files make, and not who has a name after it was deleted")
def a_trust_policy_means_the_roles_that_the_files_make(bench):
    folder = bench.folder("again-trusting")
    infra, data = folder / "infra", folder / "data"
    infra.mkdir()
    (infra / "main.tf").write_text(TRUSTING)
    last, ops = f"arn:aws:iam::{ACCOUNT}:role/last", f"arn:aws:iam::{ACCOUNT}:user/ops"

    def trusted(server):
        return server.iam.get_role(RoleName="first")["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"]

    with Started(bench, data, infra) as first:
        same(first.tally(), (2, 0, 0), "the first start")
        same(trusted(first), [last, ops], "a role that a later line makes, and a user that somebody else makes")
        role, user = first.iam.get_role(RoleName="last")["Role"]["RoleId"], first.iam.create_user(UserName="ops")["User"]["UserId"]
        first.iam.delete_user(UserName="ops")
        first.iam.delete_role(RoleName="last")
        same(trusted(first), [role, user], "both deleted")
    with Started(bench, data, infra) as second:
        same(second.tally(), (1, 1, 0), "a role is made again, and trusted again")
        same(trusted(second), [last, user], "the files are saved again; of the user they know nothing")
        second.iam.create_user(UserName="ops")
        same(trusted(second), [last, user], "another user of the name")
    with Started(bench, data, infra) as third:
        same(trusted(third), [last, ops], "the files are saved again, and there is a user of the name")
    with Started(bench, data, infra) as fourth:
        same(fourth.tally(), (0, 0, 2), "a start that finds all as it is")
