"""`landfall deploy` against the local AWS side without a container engine: what it changes, what it tells, and
what it makes of refusals. Tasks are not run there; deployments go on all the same."""

import json
import re

import aws
from codedeploy import place as blue_green
from ecs import ROOT_KEYS, STUCK, completed, definition, service
from harness import ACCOUNT, NOBODY, REGION, check, contains, lacks, program, same, until

CLUSTER = "harbour"
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
MADE = set()


def ecs(bench):
    client = aws.client(bench, "ecs", ROOT_KEYS)
    if CLUSTER not in MADE:
        client.create_cluster(clusterName=CLUSTER)
        MADE.add(CLUSTER)
    return client


def served(bench, name, **more):
    """A service that runs the first revision of a family of its name."""
    client = ecs(bench)
    if name not in MADE:
        arn = definition(client, name, environment=[{"name": "LOG", "value": "info"}])
        client.create_service(cluster=CLUSTER, serviceName=name, taskDefinition=arn, desiredCount=more.pop("desiredCount", 1), **more)
        until(lambda: service(client, CLUSTER, name), completed)
        MADE.add(name)
    return client


def keys(pair):
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return dict(zip(names, pair))


def command(bench, *flags, pair=ROOT_KEYS, server=None, cluster=CLUSTER, **more):
    """The words of `landfall deploy`, and their environment."""
    environment = bench.environment(**keys(pair) | ({"AWS_ENDPOINT_URL": server.url} if server else {}) | more)
    word = [flags[0]] if flags and flags[0] in ("run-task", "rollback", "render") else []
    return [bench.landfall, "deploy", *word, "--cluster", cluster, *flags[len(word) :]], environment


def deploy(bench, *flags, expect=0, **more):
    """Runs `landfall deploy` to its end; what it wrote."""
    words, environment = command(bench, *flags, **more)
    done = bench.run(*words, env=environment, expect=expect)
    return done.stdout + done.stderr


def deploying(bench, *flags, **more):
    """Starts `landfall deploy`, and goes on beside it."""
    words, environment = command(bench, *flags, **more)
    return bench.start(*words, env=environment)


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def revision(client, family):
    return client.describe_task_definition(taskDefinition=family)["taskDefinition"]["revision"]


def user(bench, name, *statements):
    """A user who may do exactly this; the keys."""
    iam = aws.client(bench, "iam", ROOT_KEYS)
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


@check("another variable is shown, registered, deployed, and the end is told")
def _(bench):
    client = served(bench, "api")
    outputs = bench.temporary / "outputs"
    told = deploy(bench, "--service", "api", "--env", "LOG=a=b==", GITHUB_OUTPUT=str(outputs))
    contains(told, ["api:1 → a new revision of api", "~ web.environment.LOG  info → a=b==", "registered api:2", "✓ api  api:2 is stable  1 task running"])
    now = service(client, CLUSTER, "api")
    same(now["taskDefinition"].rpartition("/")[2], "api:2")
    same(completed(now), True, "what was told to be stable")
    container = client.describe_task_definition(taskDefinition="api")["taskDefinition"]["containerDefinitions"][0]
    same(container["environment"], [{"name": "LOG", "value": "a=b=="}])
    contains(outputs.read_text(), ["task-definition-arn<<", f"task-definition/api:2\n"])


@check("what doesn't change is neither registered nor updated, unless new tasks are forced")
def _(bench):
    client = served(bench, "still")
    before = service(client, CLUSTER, "still")["deployments"][0]["id"]
    told = deploy(bench, "--service", "still", "--env", "LOG=info")
    contains(told, ["runs still:1; nothing changes in it", "✓ still  still:1 is stable"])
    lacks(told, ["registered"])
    same((revision(client, "still"), service(client, CLUSTER, "still")["deployments"][0]["id"]), (1, before))
    contains(deploy(bench, "--service", "still", "--force"), ["begins, 1 task wanted", "✓ still  still:1 is stable"])
    same(service(client, CLUSTER, "still")["deployments"][0]["id"] != before, True, "a new deployment")
    # Registered once, by an attempt that ended there: the next one takes it.
    deploy(bench, "--register-only", "--family", "still", "--env", "LOG=debug")
    same(revision(client, "still"), 2)
    contains(deploy(bench, "--service", "still", "--env", "LOG=debug"), ["still:1 → still:2, which is registered", "✓ still  still:2 is stable"])
    same(revision(client, "still"), 2)


@check("a dry run shows the difference and changes nothing; secrets are not shown")
def _(bench):
    client = served(bench, "dry")
    told = deploy(bench, "--service", "dry", "--env", "DB_PASSWORD=hunter2", "--env", "URL=https://u:hunter3@h/", "--desired-count", "2", "--dry-run")
    contains(told, ["+ web.environment.DB_PASSWORD  (hidden)", "+ web.environment.URL          (hidden)", "service desiredCount 2", "dry run: nothing was registered or updated"])
    lacks(told, ["hunter"])
    same((revision(client, "dry"), service(client, CLUSTER, "dry")["desiredCount"]), (1, 1))


@check("a file is deployed: JSON, YAML, and what describe-task-definition prints")
def _(bench):
    client = served(bench, "filed")
    place = bench.folder("filed")
    described = client.describe_task_definition(taskDefinition="filed")["taskDefinition"]
    (place / "described.json").write_text(json.dumps({"taskDefinition": described, "tags": []}, default=str))
    told = deploy(bench, "--service", "filed", "--task-definition", place / "described.json")
    contains(told, ["left out what only AWS says: ", "requiresAttributes", "nothing changes in it"])
    (place / "task.yaml").write_text(
        "family: filed\ncontainerDefinitions:\n  - name: web\n    image: nginx:1.27\n    memory: 64\n"
        "    environment:\n      - {name: VERSION, value: 1.10}\n"
    )
    told = deploy(bench, "--service", "filed", "--task-definition", place / "task.yaml")
    contains(told, ["+ web.environment.VERSION  1.10", "- web.environment.LOG      info", "✓ filed  filed:2 is stable"])


@check("what is the author's own in a file makes no revision each time, and what may be newer is registered and named")
def _(bench):
    client = served(bench, "extra")
    place = bench.folder("extra")
    (place / "task.yaml").write_text(
        "x-common: &common [{containerPort: 80}]\nfamily: extra\ncontainerDefinitions:\n"
        "  - {name: web, image: nginx:1.29, memory: 64, portMappings: *common}\n"
    )
    flags = ["--service", "extra", "--task-definition", place / "task.yaml"]
    told = deploy(bench, *flags)
    contains(told, ["registered extra:2"])
    same(told.count("`x-common`"), 1)
    lacks(deploy(bench, *flags), ["registered"])
    contains(deploy(bench, *flags, "--force"), ["runs extra:2; nothing changes in it"])
    same(revision(client, "extra"), 2)
    with (place / "task.yaml").open("a") as file:
        file.write("owner: web\n")
    contains(deploy(bench, *flags), ["`owner` in the task definition is not known here: it is kept", "registered extra:3"])


@check("what ECS refuses in a file is told with its place")
def _(bench):
    served(bench, "api")
    place = bench.folder("refused")
    (place / "task.json").write_text('{\n  "family": "api",\n  "containerDefinitions": [\n    {\n      "name": "web",\n      "image": "i",\n      "memory": 2\n    }\n  ]\n}\n')
    told = deploy(bench, "--service", "api", "--task-definition", place / "task.json", expect=1)
    contains(told, ["registering a revision of `api`: Invalid setting for container 'web'. 'memory' must be at least 6 MiB.", f"--> {place}/task.json:7:7"])


@check("two services get what each runs with the change, in one go")
def _(bench):
    served(bench, "left")
    client = served(bench, "right")
    told = deploy(bench, "--service", "left,right", "--image", "nginx:1.29")
    contains(told, ["left:1 → a new revision of left", "right:1 → a new revision of right", "✓ left  left:2 is stable", "✓ right  right:2 is stable"])
    report = lines(deploy(bench, "--service", "left,right", "--format", "json"))[-1]
    same([(one["service"], one["outcome"], one["updated"]) for one in report["services"]], [("left", "stable", False), ("right", "stable", False)])
    told = deploy(bench, "--service", "left,none", "--image", "nginx:1.30", expect=1)
    contains(told, ["cluster `harbour` has no service `none` in ap-northeast-2"])
    same(revision(client, "left"), 2)


@check("a rollback goes to the last revision that was stable, and to the one that is named")
def _(bench):
    client = served(bench, "back")
    deploy(bench, "--service", "back", "--image", "nginx:1.28")
    deploy(bench, "--service", "back", "--image", "nginx:1.29")
    told = deploy(bench, "rollback", "--service", "back", "--dry-run")
    contains(told, ["back  back:3 → back:2, its last successful deployment of another revision", "web.image  nginx:1.28", "nothing was registered or updated"])
    [plan, report] = lines(deploy(bench, "rollback", "--service", "back", "--dry-run", "--format", "json"))
    same((plan["images"], report["services"][0]["outcome"]), ({"web": "nginx:1.28"}, "dryRun"))
    contains(deploy(bench, "rollback", "--service", "back"), ["✓ back  back:2 is stable"])
    contains(deploy(bench, "rollback", "--service", "back", "--to", "back:1"), ["✓ back  back:1 is stable"])
    same(service(client, CLUSTER, "back")["taskDefinition"].rpartition("/")[2], "back:1")


@check("a role with the permissions of the AWS actions is enough, and each missing permission is told with its statement")
def _(bench):
    served(bench, "narrow")
    service_arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/{CLUSTER}/narrow"
    role = f"arn:aws:iam::{ACCOUNT}:role/narrow-exec"
    aws.client(bench, "iam", ROOT_KEYS).create_role(RoleName="narrow-exec", AssumeRolePolicyDocument=json.dumps(TRUST))
    register = {"Effect": "Allow", "Action": "ecs:RegisterTaskDefinition", "Resource": "*"}
    update = {"Effect": "Allow", "Action": ["ecs:DescribeServices", "ecs:UpdateService"], "Resource": service_arn}
    passing = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": role}
    place = bench.folder("narrow")
    container = {"name": "web", "image": "nginx:1.28", "memory": 64}
    (place / "task.json").write_text(json.dumps({"family": "narrow", "executionRoleArn": role, "containerDefinitions": [container]}))
    run = lambda who, expect: deploy(bench, "--service", "narrow", "--task-definition", place / "task.json", pair=who, expect=expect)
    # Without PassRole nothing is registered, and the statement that helps is there to be copied.
    told = run(user(bench, "no-pass", register, update), 1)
    statement = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": role, "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}}
    contains(told, ["is not authorized to perform: iam:PassRole on resource: " + role, json.dumps(statement, separators=(",", ":"))])
    # A service's ARN without its cluster, as the report has it.
    short = update | {"Resource": service_arn.replace(f"{CLUSTER}/", "")}
    told = run(user(bench, "short-arn", register, passing, short), 1)
    contains(told, ["ecs:DescribeServices", "a service's ARN holds the name of its cluster: service/CLUSTER/SERVICE"])
    told = run(user(bench, "narrow", register, update, passing), 0)
    contains(told, ["note: ecs:DescribeTaskDefinition is not allowed here", "✓ narrow  narrow:2 is stable"])


@check("without region, credentials, cluster or service the message says which is missing")
def _(bench):
    run = lambda *flags, **more: deploy(bench, "--service", "api", *flags, **more)
    contains(deploy(bench, "--service", "none", expect=1), ["has no service `none`"])
    contains(deploy(bench, "--service", "api", cluster="none", expect=1), ["Cluster not found.", "help: there is no cluster `none` in ap-northeast-2"])
    contains(deploy(bench, "--service", "api", cluster="harbor", expect=1), ["there is no cluster `harbor` in ap-northeast-2: is `harbour` meant?"])
    contains(deploy(bench, "--service", "apy", expect=1), ["has no service `apy` in ap-northeast-2: is `api` meant?"])
    # Nobody who may not look at it is told to widen the policy for a name that isn't there.
    listing = {"Effect": "Allow", "Action": ["ecs:ListClusters", "ecs:ListServices"], "Resource": "*"}
    told = deploy(bench, "--service", "api", cluster="harbor", pair=user(bench, "lists", listing), expect=1)
    contains(told, ["there is no cluster `harbor` in ap-northeast-2: is `harbour` meant?"])
    lacks(told, ["this statement would allow it"])
    told = deploy(bench, "--service", "api", cluster="harbor", pair=user(bench, "lists-nothing", listing | {"Effect": "Deny"}), expect=1)
    contains(told, ["check the names first"])
    elsewhere = f"arn:aws:ecs:us-east-1:{ACCOUNT}:cluster/{CLUSTER}"
    contains(deploy(bench, "--service", "api", cluster=elsewhere, expect=2), ["is in us-east-1, and calls go to ap-northeast-2", "--region us-east-1"])
    contains(run("--family", "none", expect=1), ["Unable to describe task definition.", "help: there is no such revision, or no active one of the family, in ap-northeast-2"])
    contains(run(pair=("", ""), expect=2), ["no AWS credentials were found"])
    contains(run(AWS_REGION="", AWS_DEFAULT_REGION="", expect=2), ["no region: --region REGION or the variable AWS_REGION is expected"])
    contains(run("--max-retries", "0", AWS_ENDPOINT_URL=f"http://{NOBODY}", expect=3), [f"{NOBODY} can't be reached"])


@check("a deployment that was superseded is told as that, and so is a watch that was stopped")
def _(bench):
    client = served(bench, "contested", deploymentConfiguration=STUCK)
    other = definition(client, "contested", image="nginx:1.30")
    with deploying(bench, "--service", "contested", "--image", "nginx:1.29") as running:
        running.says("begins, 1 task wanted")
        client.update_service(cluster=CLUSTER, service="contested", taskDefinition=other)
        contains(running.over(expect=1), ["✗ contested  superseded: somebody deployed contested:2", "before contested:3 was stable"])
    told = deploy(bench, "--service", "contested", "--timeout", "2s", expect=1)
    contains(told, ["✗ contested  contested:2 is not stable after ", "the deployment goes on"])
    took = float(re.search(r"is not stable after ([0-9.]+) s", told)[1])
    same(took >= 2, True, f"{took} s are not less than 2")
    with deploying(bench, "--service", "contested") as watching:
        watching.says("running")
        watching.process.terminate()
        contains(watching.over(expect=1), ["stopped watching after", "the deployment of contested:2 goes on"])


@check("fabfuel's ecs-deploy deploys to the same service, and each sees what the other did")
def _(bench):
    client = served(bench, "peer")
    environment = bench.environment(**keys(ROOT_KEYS[:2]))
    bench.run(program("ecs"), "deploy", CLUSTER, "peer", "--image", "web", "nginx:1.29", "--no-deregister", "--timeout", "600", env=environment)
    same(service(client, CLUSTER, "peer")["taskDefinition"].rpartition("/")[2], "peer:2")
    contains(deploy(bench, "--service", "peer", "--image", "nginx:1.29"), ["runs peer:2; nothing changes in it"])
    contains(deploy(bench, "rollback", "--service", "peer"), ["peer:2 → peer:1", "✓ peer  peer:1 is stable"])


@check("a service of CodeDeploy is deployed by it: its lifecycle is told, and nothing new is no deployment")
def _(bench):
    client, _ = blue_green(bench, "hues")
    folder, outputs = bench.folder("hues"), bench.temporary / "codedeploy-outputs"
    (folder / "appspec.yaml").write_text(
        "version: 0.0\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n      Properties:\n"
        "        TaskDefinition: <TASK_DEFINITION>\n        LoadBalancerInfo: {ContainerName: web, ContainerPort: 80}\n"
    )
    flags = ["--service", "hues", "--codedeploy-appspec", folder / "appspec.yaml"]
    run = lambda *more, expect=0: deploy(bench, *flags, *more, cluster="shop", expect=expect, GITHUB_OUTPUT=str(outputs))
    contains(run("--image", "nginx:1.29", expect=1), ["looking at deployment group `DgpECS-shop-hues` of `AppECS-shop-hues`"])
    flags += ["--codedeploy-application", "hues", "--codedeploy-deployment-group", "group"]
    told = run("--image", "nginx:1.29")
    contains(told, ["CodeDeploy deployment d-", "AfterAllowTraffic Succeeded", "is deployed: CodeDeploy says Succeeded"])
    [primary] = [one for one in service(client, "shop", "hues")["taskSets"] if one["status"] == "PRIMARY"]
    same(client.describe_task_definition(taskDefinition=primary["taskDefinition"])["taskDefinition"]["containerDefinitions"][0]["image"], "nginx:1.29")
    contains(outputs.read_text(), ["codedeploy-deployment-id<<"])
    contains(run("--image", "nginx:1.29"), ["nothing to deploy; --force deploys it all the same"])


SPEC = (
    "version: 0.0\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n      Properties:\n"
    "        TaskDefinition: <TASK_DEFINITION>\n        LoadBalancerInfo: {ContainerName: CONTAINER, ContainerPort: 80}\n"
)


@check("services of CodeDeploy and of ECS are deployed in one call, each with its own AppSpec, and one that fails stops no other")
def _(bench):
    client, _ = blue_green(bench, "teal")
    blue_green(bench, "amber")
    client.create_service(cluster="shop", serviceName="plain", taskDefinition=definition(client, "plain"), desiredCount=1)
    until(lambda: service(client, "shop", "plain"), completed)
    folder, outputs = bench.folder("teal"), bench.temporary / "several-outputs"
    for name, container, more in [("plain", "web", ""), ("wrong", "proxy", ""), ("hooked", "web", "Hooks:\n  - AfterInstall: smoke-test\n")]:
        (folder / f"{name}.yaml").write_text(SPEC.replace("CONTAINER", container) + more)
    own = [f"--codedeploy-{what}={name}={value}" for name in ("teal", "amber") for what, value in (("application", name), ("deployment-group", "group"))]

    def run(*flags, services="amber,plain,teal", expect=0, pair=ROOT_KEYS):
        common = ["--service", services, f"--codedeploy-appspec={folder / 'plain.yaml'}"]
        return deploy(bench, *common, *flags, cluster="shop", expect=expect, pair=pair, GITHUB_OUTPUT=str(outputs))

    # What doesn't fit is told before anything is registered.
    image = ["--image", "nginx:1.29"]
    told = run(*image, "--codedeploy-deployment-group=group", expect=2)
    contains(told, ["a deployment group has one service, and CodeDeploy deploys `amber` and `teal`", "--codedeploy-deployment-group SERVICE=NAME"])
    contains(run(*image, *own, "--codedeploy-application=plain=x", expect=2), ["--codedeploy-application: service `plain` has the deployment controller ECS, not CODE_DEPLOY"])
    contains(run(*image, *own, "--codedeploy-application=teal=x", expect=2), ["--codedeploy-application is said twice of service `teal`: `teal` and `x`"])
    told = run(*image, *own, f"--codedeploy-appspec=teal={folder / 'wrong.yaml'}", expect=2)
    contains(told, ["wrong.yaml: traffic goes to container `proxy`, and the task definition of service `teal` has `web`"])
    mistaken = ["--codedeploy-application=amber", "--codedeploy-deployment-group=teal=group", "--codedeploy-deployment-group=amber=group"]
    for more in ([], ["--no-wait"]):
        told = run(*image, *mistaken, *more, expect=1)
        contains(told, ["deployment group `group` of `amber` deploys to service shop/amber, not to shop/teal"])
    same([revision(client, name) for name in ("teal", "amber", "plain")], [1, 1, 1])
    # All are watched together, and told in the order asked for.
    told = run(*image, *own)
    contains(told, ["amber  deployment Succeeded", "teal   AfterAllowTraffic Succeeded", "✓ plain  plain:2 is stable"])
    ends = [told.index(text) for text in ("✓ amber  amber:2 is deployed", "✓ plain  plain:2 is stable", "✓ teal  teal:2 is deployed")]
    same(ends, sorted(ends), "the order of the ends")
    written = outputs.read_text()
    contains(written, ["amber:2,arn:aws:ecs:", "plain:2,arn:aws:ecs:", "codedeploy-deployment-id<<"])
    same(written.rpartition("codedeploy-deployment-id<<")[2].count(",d-"), 1)
    # One fails at its hook, and CodeDeploy brings back what ran.
    failing = [*own, f"--codedeploy-appspec=teal={folder / 'hooked.yaml'}", "--rollback-on-failure", "--format", "json"]
    events = lines(run("--image", "nginx:1.30", *failing, expect=1))
    report = events[-1]["services"]
    same([(one["service"], one["outcome"]) for one in report], [("amber", "stable"), ("plain", "stable"), ("teal", "failed")])
    same(report[2]["rolledBackBy"][:2], "d-")
    same({one["service"] for one in events if one["event"] == "lifecycle"}, {"amber", "teal"})
    # One can't be begun, and the others are deployed all the same.
    forbidden = {"Effect": "Deny", "Action": "codedeploy:CreateDeployment", "Resource": "arn:aws:codedeploy:*:*:deploymentgroup:amber/*"}
    user_keys = user(bench, "several", {"Effect": "Allow", "Action": ["ecs:*", "codedeploy:*"], "Resource": "*"}, forbidden)
    events = lines(run("--image", "nginx:1.31", *own, "--format", "json", expect=1, pair=user_keys))
    report = events[-1]["services"]
    same([(one["service"], one["outcome"], one["updated"]) for one in report], [("amber", "notUpdated", False), ("plain", "stable", True), ("teal", "stable", True)])
    contains(report[0]["reason"], ["creating a deployment of `amber`", "codedeploy:CreateDeployment"])
    # What changes nothing is left alone, and --no-wait watches none.
    events = lines(run("--image", "nginx:1.31", *own, "--format", "json", services="teal,plain"))
    same([(one["service"], one["outcome"]) for one in events[-1]["services"]], [("teal", "unchanged"), ("plain", "stable")])
    told = run("--image", "nginx:1.32", *own, "--no-wait")
    contains(told, ["✓ amber  deployment d-", "✓ plain  updated to plain:5; not watched", "goes on; not watched (--no-wait)"])


@check("a deployment of CodeDeploy that isn't over in time goes on, and with --rollback-on-failure it is stopped")
def _(bench):
    waiting = {"deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 60}}
    client, deploying = blue_green(bench, "slow", blueGreenDeploymentConfiguration=waiting)
    folder = bench.folder("slow")
    (folder / "appspec.yaml").write_text(SPEC.replace("CONTAINER", "web"))
    flags = ["--service", "slow", f"--codedeploy-appspec={folder / 'appspec.yaml'}", "--codedeploy-application=slow", "--codedeploy-deployment-group=group"]
    run = lambda *more, expect=1: deploy(bench, *flags, *more, cluster="shop", expect=expect)
    all = lambda: deploying.list_deployments(applicationName="slow", deploymentGroupName="group")["deployments"]
    info = lambda id: deploying.get_deployment(deploymentId=id)["deploymentInfo"]
    # The hour of the group comes on top of what is asked for; somebody goes on with it, or stops it.
    told = run("--image", "nginx:1.28", "--codedeploy-wait-for", "ready", expect=0)
    contains(told, ["its rules let it wait 60 min besides: watched for 90 min at most", "✓ slow  slow:2 is deployed: CodeDeploy says Ready"])
    [first] = all()
    told = run("--image", "nginx:1.29")
    contains(told, [f"deployment group `group` of `slow` has an active deployment, {first} (", f"stop-deployment --deployment-id {first}"])
    same(revision(client, "slow"), 2, "nothing was registered")
    deploying.stop_deployment(deploymentId=first, autoRollbackEnabled=True)
    # An image that nobody has: its tasks never come to run.
    deploying.update_deployment_group(applicationName="slow", currentDeploymentGroupName="group", blueGreenDeploymentConfiguration={})
    missing = ["--image", f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/none:1", "--timeout", "2s"]
    told = run(*missing)
    contains(told, ["is still InProgress when the time is up; it goes on", "help: a longer --timeout, or `aws deploy stop-deployment` to end it"])
    [second] = [id for id in all() if info(id)["status"] == "InProgress"]
    deploying.stop_deployment(deploymentId=second, autoRollbackEnabled=True)
    told = run(*missing, "--rollback-on-failure")
    contains(told, ["was still InProgress when the time was up: it was stopped, and CodeDeploy brings back what ran"])
    same([id for id in all() if info(id)["status"] == "InProgress"], [], "deployments that go on")
