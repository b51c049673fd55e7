"""CodeDeploy by boto3: blue/green deployments of a service, carried out as the group's service role."""

import hashlib
import json

import aws
import ecs as of_ecs
from ecs import ROOT_KEYS, ecs, service, wait
from harness import ACCOUNT, REGION, check, contains, same, until


def definition(client, family, **more):
    """A task definition with the port that the AppSpecs name."""
    return of_ecs.definition(client, family, portMappings=[{"containerPort": 80}], **more)


def place(bench, name, managed="AWSCodeDeployRoleForECS", **more):
    """A service that CodeDeploy controls, and the group that deploys to it; the clients of both."""
    client, deploy, iam = ecs(bench), aws.client(bench, "codedeploy", ROOT_KEYS), aws.client(bench, "iam", ROOT_KEYS)
    role = f"code-deploy-{name}"
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "codedeploy.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))
    if managed:
        iam.attach_role_policy(RoleName=role, PolicyArn=f"arn:aws:iam::aws:policy/{managed}")
    client.create_cluster(clusterName="shop")
    first = definition(client, name)
    client.create_service(
        cluster="shop", serviceName=name, taskDefinition=first, desiredCount=2, deploymentController={"type": "CODE_DEPLOY"}
    )
    deploy.create_application(applicationName=name, computePlatform="ECS")
    deploy.create_deployment_group(
        applicationName=name,
        deploymentGroupName="group",
        serviceRoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}",
        ecsServices=[{"clusterName": "shop", "serviceName": name}],
        **more,
    )
    return client, deploy


def revision(arn, hash=None, container="web", port=80):
    """An AppSpec as the deploy action sends it."""
    spec = {"version": 0.0, "Resources": [{"TargetService": {"Type": "AWS::ECS::Service", "Properties": {"TaskDefinition": arn, "LoadBalancerInfo": {"ContainerName": container, "ContainerPort": port}}}}]}
    content = json.dumps(spec)
    return {"revisionType": "AppSpecContent", "appSpecContent": {"content": content, "sha256": hash or hashlib.sha256(content.encode()).hexdigest()}}


def begin(deploy, name, arn, **more):
    return deploy.create_deployment(applicationName=name, deploymentGroupName="group", revision=revision(arn), **more)["deploymentId"]


def info(deploy, id):
    return deploy.get_deployment(deploymentId=id)["deploymentInfo"]


@check("a blue/green deployment replaces the task set, and the waiter of boto3 sees it")
def replaces(bench):
    client, deploy = place(bench, "green")
    blue = service(client, "shop", "green")["taskSets"][0]["id"]
    second = definition(client, "green", image="nginx:1.28")
    refused = aws.refusal(client.update_service, cluster="shop", service="green", taskDefinition=second)
    same(refused[:2], ("InvalidParameterException", "Unable to update task definition on services with a CODE_DEPLOY deployment controller. Use AWS CodeDeploy to trigger a new deployment."))
    id = begin(deploy, "green", second, description="by a check")
    wait(deploy, "deployment_successful", deploymentId=id)
    done = info(deploy, id)
    same((done["status"], done["creator"], done["description"], done["computePlatform"]), ("Succeeded", "user", "by a check", "ECS"))
    same(done["deploymentConfigName"], "CodeDeployDefault.ECSAllAtOnce")
    [target] = deploy.list_deployment_targets(deploymentId=id)["targetIds"]
    same(target, "shop:green")
    shown = deploy.get_deployment_target(deploymentId=id, targetId=target)["deploymentTarget"]["ecsTarget"]
    same({event["status"] for event in shown["lifecycleEvents"]}, {"Succeeded"})
    same([event["lifecycleEventName"] for event in shown["lifecycleEvents"]][:2], ["BeforeInstall", "Install"])
    left = until(lambda: service(client, "shop", "green"), lambda now: len(now["taskSets"]) == 1)
    same((left["taskSets"][0]["taskDefinition"], left["taskSets"][0]["status"]), (second, "PRIMARY"))
    same(left["taskSets"][0]["id"] != blue, True, "another task set")
    same(left["taskDefinition"], second)
    same(deploy.list_deployments(applicationName="green", deploymentGroupName="group")["deployments"], [id])
    over = aws.refusal(deploy.stop_deployment, deploymentId=id)
    same(over[0], "DeploymentAlreadyCompletedException")


@check("a deployment that waits for a word goes on with it, and one that is stopped gives the traffic back")
def waits(bench):
    waiting = {
        "deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 60},
        "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": 60},
    }
    rollback = {"enabled": True, "events": ["DEPLOYMENT_STOP_ON_REQUEST"]}
    client, deploy = place(bench, "waits", blueGreenDeploymentConfiguration=waiting, autoRollbackConfiguration=rollback)
    before = service(client, "shop", "waits")["taskSets"][0]
    second = definition(client, "waits", image="nginx:1.28")
    stopped = begin(deploy, "waits", second)
    until(lambda: info(deploy, stopped), lambda now: now["status"] == "Ready")
    same(len(service(client, "shop", "waits")["taskSets"]), 2)
    busy = aws.refusal(lambda: begin(deploy, "waits", second))
    same(busy[:2], ("DeploymentLimitExceededException", f"The Deployment Group 'group' already has an active Deployment '{stopped}'"))
    deploy.stop_deployment(deploymentId=stopped)
    undone = info(deploy, stopped)
    same(undone["status"], "Stopped")
    back = info(deploy, undone["rollbackInfo"]["rollbackDeploymentId"])
    same((back["creator"], back["status"]), ("codeDeployRollback", "Succeeded"))
    now = until(lambda: service(client, "shop", "waits"), lambda now: len(now["taskSets"]) == 1)
    same((now["taskSets"][0]["id"], now["taskDefinition"]), (before["id"], before["taskDefinition"]))
    id = begin(deploy, "waits", second)
    until(lambda: info(deploy, id), lambda now: now["status"] == "Ready")
    deploy.continue_deployment(deploymentId=id, deploymentWaitType="READY_WAIT")
    until(lambda: info(deploy, id), lambda now: now["instanceTerminationWaitTimeStarted"])
    deploy.continue_deployment(deploymentId=id, deploymentWaitType="TERMINATION_WAIT")
    until(lambda: info(deploy, id), lambda now: now["status"] == "Succeeded")
    same(service(client, "shop", "waits")["taskDefinition"], second)


@check("what the service role may not do, and what is not there, fails the deployment and says why")
def refused(bench):
    client, deploy = place(bench, "refused", managed=None)
    second = definition(client, "refused", image="nginx:1.28")
    failed = begin(deploy, "refused", second)
    done = until(lambda: info(deploy, failed), lambda now: now["status"] == "Failed")
    same(done["errorInformation"]["code"], "IAM_ROLE_PERMISSIONS")
    contains(done["errorInformation"]["message"], [f"assumed-role/code-deploy-refused/{failed} is not authorized to perform: ecs:DescribeServices"])
    wrong = dict(applicationName="refused", deploymentGroupName="group")
    broken = aws.refusal(deploy.create_deployment, **wrong, revision=revision(second, "0" * 64))
    same(broken[0], "InvalidRevisionException")
    same(aws.refusal(deploy.get_deployment_group, applicationName="none", deploymentGroupName="x")[:2], ("ApplicationDoesNotExistException", "No application found for name: none"))
    same(aws.refusal(deploy.get_deployment_group, applicationName="refused", deploymentGroupName="x")[:2], ("DeploymentGroupDoesNotExistException", "No Deployment Group found for name: x"))
    same(aws.refusal(deploy.get_deployment, deploymentId="d-000000000")[:2], ("DeploymentDoesNotExistException", "The deployment d-000000000 could not be found"))
    canary = deploy.get_deployment_config(deploymentConfigName="CodeDeployDefault.ECSCanary10Percent5Minutes")["deploymentConfigInfo"]
    same(canary["trafficRoutingConfig"]["timeBasedCanary"], {"canaryPercentage": 10, "canaryInterval": 5})


@check("an AppSpec whose container or port is not in the task definition fails the deployment with ECS's words")
def elsewhere(bench):
    client, deploy = place(bench, "elsewhere")
    second = definition(client, "elsewhere", image="nginx:1.28")
    where = {"applicationName": "elsewhere", "deploymentGroupName": "group"}
    for container, port, sentence in [
        ("nope", 80, "The container nope does not exist in the task definition."),
        ("web", 81, "The container web did not have a container port 81 defined."),
    ]:
        failed = deploy.create_deployment(**where, revision=revision(second, container=container, port=port))["deploymentId"]
        done = until(lambda: info(deploy, failed), lambda now: now["status"] == "Failed")
        same(done["errorInformation"]["code"], "ECS_UPDATE_ERROR")
        begins = f"The ECS service cannot be updated due to an unexpected error: {sentence} (Service: AmazonECS; Status Code: 400; Error Code: InvalidParameterException; Request ID: "
        contains(done["errorInformation"]["message"], [begins, "; Proxy: null). Check your ECS service status."])
        same(len(service(client, "shop", "elsewhere")["taskSets"]), 1)


DELIVERY = """provider "aws" {
  region = "REGION"
}

resource "aws_iam_role" "code_deploy" {
  name = "code-deploy"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "codedeploy.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "code_deploy" {
  role       = aws_iam_role.code_deploy.name
  policy_arn = "arn:aws:iam::aws:policy/AWSCodeDeployRoleForECS"
}

resource "aws_ecs_cluster" "prod" {
  name = "prod"
}

resource "aws_ecs_task_definition" "web" {
  family                = "web"
  container_definitions = jsonencode([{ name = "web", image = "nginx:1.27", memory = 64, portMappings = [{ containerPort = 80 }] }])
}

resource "aws_ecs_service" "web" {
  name            = "web"
  cluster         = aws_ecs_cluster.prod.name
  task_definition = aws_ecs_task_definition.web.arn
  desired_count   = 1
  deployment_controller {
    type = "CODE_DEPLOY"
  }
}

resource "aws_codedeploy_app" "web" {
  name             = "AppECS-prod-web"
  compute_platform = "ECS"
}

resource "aws_codedeploy_deployment_group" "web" {
  app_name              = aws_codedeploy_app.web.name
  deployment_group_name = "DgpECS-prod-web"
  service_role_arn      = aws_iam_role.code_deploy.arn
  ecs_service {
    cluster_name = aws_ecs_cluster.prod.name
    service_name = aws_ecs_service.web.name
  }
  blue_green_deployment_config {
    terminate_blue_instances_on_deployment_success {
      action                           = "TERMINATE"
      termination_wait_time_in_minutes = 1
    }
  }
}
""".replace("REGION", REGION)
APPSPEC = """version: 0.0
Resources:
  - TargetService:
      Type: AWS::ECS::Service
      Properties:
        TaskDefinition: "ARN"
        LoadBalancerInfo: {ContainerName: web, ContainerPort: 80}
"""
HOOKS = "Hooks:\n  - AfterInstall: smoke-test\n"


@check("what Terraform describes of CodeDeploy is deployed by `landfall deploy`; AppSpecs are YAML too, and hooks are told")
def described(bench):
    infra = bench.folder("infra-codedeploy")
    (infra / "main.tf").write_text(DELIVERY)
    beside = bench.beside("--infra", infra, "--time-lapse", "60")
    client, deploy = aws.client(beside, "ecs", ROOT_KEYS), aws.client(beside, "codedeploy", ROOT_KEYS)
    group = deploy.get_deployment_group(applicationName="AppECS-prod-web", deploymentGroupName="DgpECS-prod-web")["deploymentGroupInfo"]
    blue = group["blueGreenDeploymentConfiguration"]["terminateBlueInstancesOnDeploymentSuccess"]
    same((blue, group["ecsServices"]), ({"action": "TERMINATE", "terminationWaitTimeInMinutes": 1}, [{"clusterName": "prod", "serviceName": "web"}]))
    place = bench.folder("appspec-yaml")
    keys = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ROOT_KEYS))
    run = lambda image, expect: beside.run(
        beside.landfall, "deploy", "--cluster", "prod", "--service", "web", "--image", image, cwd=place, env=beside.environment(**keys), expect=expect
    ).stdout
    (place / "appspec.yml").write_text(APPSPEC)
    contains(run("nginx:1.28", 0), ["(AppECS-prod-web, DgpECS-prod-web)", "is deployed: CodeDeploy says Succeeded"])
    (place / "appspec.yml").write_text(APPSPEC + HOOKS)
    contains(run("nginx:1.29", 1), ["hook AfterInstall asks smoke-test", "AfterInstall Failed", "failed"])
    # The same AppSpec as it is, without landfall between: the content is YAML.
    arn = client.describe_task_definition(taskDefinition="web")["taskDefinition"]["taskDefinitionArn"]
    yaml = {"revisionType": "AppSpecContent", "appSpecContent": {"content": APPSPEC.replace("ARN", arn)}}
    where = {"applicationName": "AppECS-prod-web", "deploymentGroupName": "DgpECS-prod-web"}
    id = deploy.create_deployment(**where, revision=yaml)["deploymentId"]
    until(lambda: info(deploy, id)["status"], lambda status: status == "Succeeded")
    broken = {"revisionType": "AppSpecContent", "appSpecContent": {"content": "version: ["}}
    refused = aws.refusal(deploy.create_deployment, **where, revision=broken)
    same(refused[0], "InvalidRevisionException")
    contains(refused[1], ["The AppSpec file is not well formed: "])
