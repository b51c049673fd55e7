"""`landfall deploy` on services whose deployments move in stages: blue/green, linear, canary, hooks and alarms.
What is to be seen lasts until it was seen: then its service's rules are changed, which hold for what goes on."""

import shutil

import aws
from deploy import CLUSTER, deploy, deploying, user
from ecs import ROOT_KEYS, completed, definition, service
from harness import ACCOUNT, EXAMPLE, REGION, ROLE, check, contains, lacks, same, until

LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:smoke"
BALANCER = [{"targetGroupArn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/blue/1", "containerName": "web", "containerPort": 80}]


def furnished(bench, *flags, **services):
    """A server with these services: each by its name and its deployment configuration."""
    beside = bench.beside(*flags)
    client = aws.client(beside, "ecs", ROOT_KEYS)
    client.create_cluster(clusterName=CLUSTER)
    for name, rules in services.items():
        arn = definition(client, name, portMappings=[{"containerPort": 80}])
        client.create_service(cluster=CLUSTER, serviceName=name, taskDefinition=arn, desiredCount=1, deploymentConfiguration=rules)
    for name in services:
        until(lambda: service(client, CLUSTER, name), completed)
    return beside, client


def change(client, name, **rules):
    """Other rules for a service, and for the deployment that goes on."""
    client.update_service(cluster=CLUSTER, service=name, deploymentConfiguration=rules)


def story(client, name):
    """The latest deployment of a service."""
    arn = service(client, CLUSTER, name)["currentServiceDeployment"]
    return client.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]


@check("blue/green, linear and canary deployments are told stage by stage, and baking is not stable yet")
def _(bench):
    linear = lambda minutes: {"stepPercent": 50.0, "stepBakeTimeInMinutes": minutes}
    canary = lambda minutes: {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": minutes}
    beside, client = furnished(
        bench,
        blue={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 20},
        linear={"strategy": "LINEAR", "linearConfiguration": linear(20)},
        canary={"strategy": "CANARY", "canaryConfiguration": canary(20), "bakeTimeInMinutes": 20},
    )
    # Each stage in the order in which it is waited for, and what makes an end of it.
    stages = [
        ("linear  PRODUCTION_TRAFFIC_SHIFT  50 % of traffic to the new revision  the next step in 20 min", "linear", {"linearConfiguration": linear(0)}),
        ("canary  PRODUCTION_TRAFFIC_SHIFT  10 % of traffic to the new revision  all of it in 20 min", "canary", {"canaryConfiguration": canary(0)}),
        ("canary  BAKE_TIME  100 % of traffic to the new revision  20 min with both revisions", "canary", {"bakeTimeInMinutes": 0}),
        ("blue    BAKE_TIME  100 % of traffic to the new revision  20 min with both revisions", "blue", {"bakeTimeInMinutes": 0}),
    ]
    with deploying(beside, "--service", "blue,linear,canary", "--image", "nginx:1.29") as running:
        running.says("its rules let it wait 40 min besides: watched for 70 min at most")
        for line, name, rules in stages:
            running.has_said(line)
            same(story(client, name)["status"], "IN_PROGRESS", f"{name}, before {rules}")
            change(client, name, **rules)
        told = running.over()
    for name in ("blue", "linear", "canary"):
        contains(told, [f"✓ {name}  {name}:2 is stable  1 task running"])
        same(story(client, name)["status"], "SUCCESSFUL", name)


@check("a hook that fails rolls the deployment back, and that is what is told")
def _(bench):
    hook = {"hookTargetArn": LAMBDA, "roleArn": f"arn:aws:iam::{ACCOUNT}:role/hooks", "lifecycleStages": ["POST_SCALE_UP"]}
    beside, client = furnished(bench, hooked={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0})
    client.update_service(cluster=CLUSTER, service="hooked", deploymentConfiguration={"strategy": "BLUE_GREEN", "lifecycleHooks": [hook]})
    told = deploy(beside, "--service", "hooked", "--image", "nginx:1.29", expect=1)
    reason = f"lifecycle hook {LAMBDA} was not invoked at POST_SCALE_UP: there are no Lambda functions here."
    contains(told, ["✗ hooked  hooked:2 failed: ECS rolled the service back to hooked:1", reason])
    same(story(client, "hooked")["status"], "ROLLBACK_SUCCESSFUL")


@check("a hook that waits for a person is told with its answer: it goes on, goes back, or its time is up")
def _(bench):
    pause = lambda **more: {"targetType": "PAUSE", "lifecycleStages": ["PRE_PRODUCTION_TRAFFIC_SHIFT"]} | more
    timeout = lambda minutes: {"timeoutConfiguration": {"timeoutInMinutes": minutes, "action": "ROLLBACK"}}
    beside, client = furnished(bench, asked={"strategy": "BLUE_GREEN"})
    for image, action, code, parts in [
        ("nginx:1.28", "CONTINUE", 0, ["✓ asked  asked:2 is stable"]),
        ("nginx:1.29", "ROLLBACK", 1, ["✗ asked  asked:3 failed: ECS rolled the service back to asked:2"]),
    ]:
        # An answered hook is asked anew by the next deployment.
        change(client, "asked", lifecycleHooks=[pause()])
        with deploying(beside, "--service", "asked", "--image", image) as running:
            running.says("the hook is answered by")
            seen = story(client, "asked")
            hook = seen["lifecycleHookDetails"][0]
            same((hook["status"], hook["timeoutAction"], "expiresAt" in hook), ("AWAITING_ACTION", "ROLLBACK", True))
            client.continue_service_deployment(serviceDeploymentArn=seen["serviceDeploymentArn"], hookId=hook["hookId"], action=action)
            contains(running.over(code), parts)
    # Here a day is 24 minutes, and a minute is a second.
    beside, client = furnished(bench, "--time-lapse", "60", late={"strategy": "BLUE_GREEN"})
    change(client, "late", lifecycleHooks=[pause(**timeout(1440))])
    with deploying(beside, "--service", "late", "--image", "nginx:1.29") as running:
        running.says("waits for an answer to the hook, or goes back when the hook's time is up")
        running.says("the hook is answered by `aws ecs continue-service-deployment --service-deployment-arn arn:aws:ecs:")
        change(client, "late", lifecycleHooks=[pause(**timeout(1))])
        contains(running.over(expect=1), ["PRE_PRODUCTION_TRAFFIC_SHIFT timed out."])


@check("a deployment that is stopped while it bakes, with a way back and without, is told as what it is")
def _(bench):
    beside, client = furnished(bench, goes={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 30}, stays={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 30})
    for name, stop, part in [
        ("goes", "ROLLBACK", "✗ goes  goes:2 failed: ECS rolled the service back to goes:1"),
        ("stays", "ABORT", "✗ stays  the deployment of stays:2 failed, and the service stays with it"),
    ]:
        deploy(beside, "--service", name, "--image", "nginx:1.29", "--no-wait")
        until(lambda: story(client, name), lambda seen: seen.get("lifecycleStage") == "BAKE_TIME")
        with deploying(beside, "--service", name) as running:
            running.says("BAKE_TIME")
            client.stop_service_deployment(serviceDeploymentArn=story(client, name)["serviceDeploymentArn"], stopType=stop)
            contains(running.over(expect=1), [part])


@check("alarms are told as what they are there for, and without the permission the end is true all the same")
def _(bench):
    alarms = {"alarmNames": ["web-5xx"], "enable": True, "rollback": True}
    beside, client = furnished(bench, watched={"strategy": "BLUE_GREEN", "alarms": alarms})
    same(story(client, "watched")["alarms"], {"status": "MONITORING_COMPLETE", "alarmNames": ["web-5xx"], "triggeredAlarmNames": []})
    allowed = ["ecs:DescribeServices", "ecs:UpdateService", "ecs:RegisterTaskDefinition", "ecs:DescribeTaskDefinition"]
    who = user(beside, "no-stories", {"Effect": "Allow", "Action": allowed, "Resource": "*"})
    told = deploy(beside, "--service", "watched", "--image", "nginx:1.29", pair=who)
    contains(told, ["note: the deployment's stages can't be told: ecs:DescribeServiceDeployments is not allowed here", "✓ watched  watched:2 is stable"])
    lacks(told, ["BAKE_TIME"])


WORKFLOW = """
name: Deploy
on: push
permissions: {id-token: write, contents: read}
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - uses: aws-actions/configure-aws-credentials@v6
        with: {aws-region: REGION, role-to-assume: ROLE}
      - id: deploy
        uses: aws-actions/amazon-ecs-deploy-task-definition@v2
        with: {task-definition: task.yaml}
      - run: echo "it is ${{ steps.deploy.outputs.task-definition-arn }}"
"""
TASK = """
# As `describe-task-definition --output yaml` prints it, with a comment.
taskDefinitionArn: arn:aws:ecs:us-east-1:123456789012:task-definition/yaml:7
family: yaml
revision: 7
status: ACTIVE
registeredBy: arn:aws:iam::123456789012:root
containerDefinitions:
  - name: web
    image: nginx:1.29
    memory: 64
    command: []
    environment: [{name: VERSION, value: "1.10"}]
"""


@check("a rehearsed deploy step takes a task definition in YAML, and cleans it as it cleans JSON")
def _(bench):
    place = bench.folder("rehearsal-yaml")
    (place / ".github/workflows").mkdir(parents=True)
    shutil.copytree(EXAMPLE / "infra", place / "infra")
    policy = 'resource "aws_iam_role_policy" "ecs" {\n  role = "github-oidc-role"\n  name = "ecs"\n  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "ecs:*", Resource = "*" }] })\n}\n'
    (place / "infra/ecs.tf").write_text(policy)
    (place / ".github/workflows/deploy.yml").write_text(WORKFLOW.replace("REGION", REGION).replace("ROLE", ROLE))
    (place / "task.yaml").write_text(TASK)
    environment = bench.environment()
    environment.pop("AWS_ENDPOINT_URL")
    command = [bench.landfall, "rehearse", "--repo", "acme/web", "--infra", place / "infra", place]
    said = bench.run(*command, env=environment, cwd=place)
    contains(said.stdout, ["Ignoring property 'taskDefinitionArn'", "Ignoring property 'registeredBy'", "drops what is empty, without a word: containerDefinitions[0].command", ":task-definition/yaml:1"])
    (place / "task.yaml").write_text(TASK.replace('"1.10"', "1.10"))
    said = bench.run(*command, env=environment, cwd=place, expect=1)
    contains(said.stdout, ["SerializationException: DECIMAL_VALUE can not be converted to a String"])
    (place / "task.yaml").write_text(TASK + "containerDefinitions: [\n")
    said = bench.run(*command, env=environment, cwd=place, expect=1)
    contains(said.stdout + said.stderr, ["task.yaml:"])
