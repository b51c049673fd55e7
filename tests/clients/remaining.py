"""The operations and waiters of ECS, CodeDeploy, IAM and STS that no other check comes to, by boto3."""

import json

import aws
from codedeploy import begin, place, revision
from codedeploy import definition as definition_with_port
from ecs import ROOT_KEYS, definition, ecs, wait
from harness import ACCOUNT, REGION, check, same, until

# A user's operations on what no user here has: (operation, its arguments, the code).
OF_NOBODY = [
    ("get_account_password_policy", {}, "NoSuchEntity"),
    ("get_login_profile", {"UserName": "remaining"}, "NoSuchEntity"),
    ("update_login_profile", {"UserName": "remaining", "Password": "x"}, "NoSuchEntity"),
    ("delete_login_profile", {"UserName": "remaining"}, "NoSuchEntity"),
    ("deactivate_mfa_device", {"UserName": "remaining", "SerialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/x"}, "NoSuchEntity"),
    ("delete_ssh_public_key", {"UserName": "remaining", "SSHPublicKeyId": "APKA" + "A" * 16}, "NoSuchEntity"),
    ("delete_signing_certificate", {"UserName": "remaining", "CertificateId": "A" * 24}, "NoSuchEntity"),
    ("delete_service_specific_credential", {"UserName": "remaining", "ServiceSpecificCredentialId": "ACCA" + "A" * 16}, "NoSuchEntity"),
]


@check("capacity providers, account settings and lists of ECS")
def settings(bench):
    client = ecs(bench)
    group = f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/web"
    made = client.create_capacity_provider(name="remaining", autoScalingGroupProvider={"autoScalingGroupArn": group})
    same(made["capacityProvider"]["status"], "ACTIVE")
    scaling = {"managedScaling": {"status": "ENABLED", "targetCapacity": 90}}
    changed = client.update_capacity_provider(name="remaining", autoScalingGroupProvider=scaling)["capacityProvider"]
    same(changed["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"], 90)
    names = [it["name"] for it in client.describe_capacity_providers()["capacityProviders"]]
    same({"FARGATE", "FARGATE_SPOT", "remaining"} <= set(names), True)
    client.delete_capacity_provider(capacityProvider="remaining")
    gone = client.describe_capacity_providers(capacityProviders=["remaining"])
    same([it["status"] for it in gone["capacityProviders"]] in ([], ["INACTIVE"]), True, gone)

    principal = f"arn:aws:iam::{ACCOUNT}:root"
    put = client.put_account_setting(name="containerInsights", value="enabled")["setting"]
    same((put["name"], put["value"], put["principalArn"]), ("containerInsights", "enabled", principal))
    taken = client.delete_account_setting(name="containerInsights")["setting"]
    same(taken["name"], "containerInsights")

    client.create_cluster(clusterName="remaining")
    client.create_service(cluster="remaining", serviceName="idle", taskDefinition=definition(client, "remaining"), desiredCount=0)
    [listed] = client.list_services(cluster="remaining")["serviceArns"]
    same(listed, f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/remaining/idle")
    same(client.list_services_by_namespace(namespace="none")["serviceArns"], [])
    same(client.list_attributes(cluster="remaining", targetType="container-instance")["attributes"], [])
    missing = client.describe_container_instances(cluster="remaining", containerInstances=["0" * 32])
    same((missing["containerInstances"], missing["failures"][0]["reason"]), ([], "MISSING"))
    client.delete_service(cluster="remaining", service="idle")
    wait(client, "services_inactive", cluster="remaining", services=["idle"])


@check("the waiters of boto3 see a task run, and stop when it is told to")
def task(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="remaining")
    arn_of = definition(client, "remaining-task")
    client.create_service(cluster="remaining", serviceName="runs", taskDefinition=arn_of, desiredCount=1)
    [arn] = until(lambda: client.list_tasks(cluster="remaining", serviceName="runs")["taskArns"], lambda arns: len(arns) == 1)
    wait(client, "tasks_running", cluster="remaining", tasks=[arn])
    stopped = client.stop_task(cluster="remaining", task=arn, reason="seen enough")["task"]
    same((stopped["desiredStatus"], stopped["stoppedReason"]), ("STOPPED", "seen enough"))
    wait(client, "tasks_stopped", cluster="remaining", tasks=[arn])
    client.delete_service(cluster="remaining", service="runs", force=True)


@check("a protected task outlives a smaller count, and goes when its protection is taken away")
def protection(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="remaining")
    arn_of = definition(client, "remaining-protected")
    client.create_service(cluster="remaining", serviceName="protected", taskDefinition=arn_of, desiredCount=2)
    tasks = until(lambda: client.list_tasks(cluster="remaining", serviceName="protected")["taskArns"], lambda arns: len(arns) == 2)
    wait(client, "tasks_running", cluster="remaining", tasks=tasks)
    one = dict(cluster="remaining", tasks=tasks[:1])
    [told] = client.update_task_protection(**one, protectionEnabled=True, expiresInMinutes=10)["protectedTasks"]
    same((told["taskArn"], told["protectionEnabled"], "expirationDate" in told), (tasks[0], True, True))
    [told] = client.get_task_protection(**one)["protectedTasks"]
    same((told["protectionEnabled"], "expirationDate" in told), (True, True))
    client.update_service(cluster="remaining", service="protected", desiredCount=1)
    left = until(lambda: client.list_tasks(cluster="remaining", serviceName="protected")["taskArns"], lambda arns: len(arns) == 1)
    same(left, tasks[:1])
    client.update_service(cluster="remaining", service="protected", desiredCount=0)
    [failure] = client.update_task_protection(cluster="remaining", tasks=["0" * 32], protectionEnabled=True)["failures"]
    same(failure["reason"], "MISSING")
    alone = client.run_task(cluster="remaining", taskDefinition=arn_of)["tasks"][0]["taskArn"]
    [failure] = client.update_task_protection(cluster="remaining", tasks=[alone], protectionEnabled=True)["failures"]
    same(failure["reason"], "TASK_NOT_VALID")
    client.stop_task(cluster="remaining", task=alone)
    same(aws.refusal(client.update_task_protection, **one, protectionEnabled=True, expiresInMinutes=0)[0], "InvalidParameterException")
    same(client.list_tasks(cluster="remaining", serviceName="protected")["taskArns"], tasks[:1])
    [told] = client.update_task_protection(**one, protectionEnabled=False)["protectedTasks"]
    same(told, {"taskArn": tasks[0], "protectionEnabled": False})
    until(lambda: client.list_tasks(cluster="remaining", serviceName="protected")["taskArns"], lambda arns: arns == [])
    client.delete_service(cluster="remaining", service="protected", force=True)


@check("an account's own configuration of CodeDeploy moves the traffic, and tags and names can be changed")
def own_configuration(bench):
    client, deploy = place(bench, "own-config")
    routing = {"type": "TimeBasedLinear", "timeBasedLinear": {"linearPercentage": 50, "linearInterval": 60}}
    deploy.create_deployment_config(deploymentConfigName="half", computePlatform="ECS", trafficRoutingConfig=routing)
    told = deploy.get_deployment_config(deploymentConfigName="half")["deploymentConfigInfo"]
    same((told["trafficRoutingConfig"], told["computePlatform"]), (routing, "ECS"))
    same("half" in deploy.list_deployment_configs()["deploymentConfigsList"], True)
    same(aws.refusal(deploy.create_deployment_config, deploymentConfigName="half", computePlatform="ECS")[0], "DeploymentConfigAlreadyExistsException")
    group = dict(applicationName="own-config", currentDeploymentGroupName="group")
    deploy.update_deployment_group(**group, deploymentConfigName="half")
    same(aws.refusal(deploy.delete_deployment_config, deploymentConfigName="half")[0], "DeploymentConfigInUseException")
    id = begin(deploy, "own-config", definition_with_port(client, "own-config", image="nginx:1.28"))
    target = dict(deploymentId=id, targetId="shop:own-config")
    shares = lambda: [it["trafficWeight"] for it in deploy.get_deployment_target(**target)["deploymentTarget"]["ecsTarget"]["taskSetsInfo"]]
    until(shares, lambda weights: weights == [50.0, 50.0])
    deploy.stop_deployment(deploymentId=id)
    deploy.update_deployment_group(**group, deploymentConfigName="CodeDeployDefault.ECSAllAtOnce")
    deploy.delete_deployment_config(deploymentConfigName="half")
    same(aws.refusal(deploy.get_deployment_config, deploymentConfigName="half")[0], "DeploymentConfigDoesNotExistException")

    [described] = deploy.batch_get_applications(applicationNames=["own-config"])["applicationsInfo"]
    same(described["applicationName"], "own-config")
    batch = deploy.batch_get_deployment_groups(applicationName="own-config", deploymentGroupNames=["group", "none"])
    [info] = batch["deploymentGroupsInfo"]
    same((info["lastAttemptedDeployment"]["deploymentId"], batch["errorMessage"]), (id, "No Deployment Group found for name: none"))
    arn = f"arn:aws:codedeploy:{REGION}:{ACCOUNT}:application:own-config"
    deploy.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "web"}, {"Key": "more", "Value": ""}])
    deploy.untag_resource(ResourceArn=arn, TagKeys=["more"])
    same(deploy.list_tags_for_resource(ResourceArn=arn)["Tags"], [{"Key": "team", "Value": "web"}])
    deploy.update_application(applicationName="own-config", newApplicationName="renamed")
    same(deploy.list_deployment_groups(applicationName="renamed")["deploymentGroups"], ["group"])
    deploy.delete_application(applicationName="renamed")


@check("applications, groups and revisions of CodeDeploy are told, changed and deleted")
def applications(bench):
    client, deploy = place(bench, "remaining")
    same(deploy.get_application(applicationName="remaining")["application"]["computePlatform"], "ECS")
    same("remaining" in deploy.list_applications()["applications"], True)
    same("CodeDeployDefault.ECSAllAtOnce" in deploy.list_deployment_configs()["deploymentConfigsList"], True)
    same(deploy.list_deployment_groups(applicationName="remaining")["deploymentGroups"], ["group"])
    described = deploy.get_deployment_group(applicationName="remaining", deploymentGroupName="group")["deploymentGroupInfo"]
    same(described["ecsServices"], [{"serviceName": "remaining", "clusterName": "shop"}])
    deploy.update_deployment_group(
        applicationName="remaining", currentDeploymentGroupName="group", deploymentConfigName="CodeDeployDefault.ECSLinear10PercentEvery1Minutes"
    )
    changed = deploy.get_deployment_group(applicationName="remaining", deploymentGroupName="group")["deploymentGroupInfo"]
    same(changed["deploymentConfigName"], "CodeDeployDefault.ECSLinear10PercentEvery1Minutes")
    deploy.update_deployment_group(
        applicationName="remaining", currentDeploymentGroupName="group", deploymentConfigName="CodeDeployDefault.ECSAllAtOnce"
    )

    second = definition_with_port(client, "remaining", image="nginx:1.28")
    deploy.register_application_revision(applicationName="remaining", revision=revision(second), description="by a check")
    told = deploy.get_application_revision(applicationName="remaining", revision=revision(second))
    same((told["applicationName"], told["revisionInfo"]["deploymentGroups"]), ("remaining", []))
    same(told["revisionInfo"]["description"], "by a check")
    same(deploy.list_application_revisions(applicationName="remaining", deployed="exclude")["revisions"], [told["revision"]])
    [whole] = deploy.batch_get_application_revisions(applicationName="remaining", revisions=[revision(second)])["revisions"]
    same((whole["revisionLocation"], whole["genericRevisionInfo"]["description"]), (told["revision"], "by a check"))

    id = begin(deploy, "remaining", second)
    until(lambda: deploy.get_deployment(deploymentId=id)["deploymentInfo"], lambda now: now["status"] == "Succeeded")
    used = deploy.list_application_revisions(applicationName="remaining", deployed="include", sortBy="lastUsedTime", sortOrder="descending")
    same(used["revisions"], [told["revision"]])
    group = deploy.get_deployment_group(applicationName="remaining", deploymentGroupName="group")["deploymentGroupInfo"]
    same((group["targetRevision"], group["lastSuccessfulDeployment"]["deploymentId"]), (told["revision"], id))
    [whole] = deploy.batch_get_deployments(deploymentIds=[id])["deploymentsInfo"]
    same((whole["deploymentId"], whole["status"]), (id, "Succeeded"))
    [target] = deploy.batch_get_deployment_targets(deploymentId=id, targetIds=["shop:remaining"])["deploymentTargets"]
    same(target["deploymentTargetType"], "ECSTarget")

    same(deploy.delete_deployment_group(applicationName="remaining", deploymentGroupName="group")["hooksNotCleanedUp"], [])
    deploy.delete_application(applicationName="remaining")
    same(aws.refusal(deploy.get_application, applicationName="remaining")[0], "ApplicationDoesNotExistException")


@check("what no user here has is missing, and no message here is encoded")
def nobody(bench):
    client = aws.client(bench, "iam", ROOT_KEYS)
    client.create_user(UserName="remaining")
    for operation, arguments, code in OF_NOBODY:
        same(aws.refusal(getattr(client, operation), **arguments)[0], code, operation)
    client.delete_user(UserName="remaining")
    sts = aws.client(bench, "sts", ROOT_KEYS)
    same(aws.refusal(sts.decode_authorization_message, EncodedMessage="AAAA")[0], "InvalidAuthorizationMessageException")


@check("the waiters of IAM and ECR that other checks leave out")
def waiters(bench):
    client = aws.client(bench, "iam", ROOT_KEYS)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}]}
    policy = client.create_policy(PolicyName="remaining", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    wait(client, "policy_exists", PolicyArn=policy)
    client.delete_policy(PolicyArn=policy)
    client.create_instance_profile(InstanceProfileName="remaining")
    wait(client, "instance_profile_exists", InstanceProfileName="remaining")
    client.delete_instance_profile(InstanceProfileName="remaining")
    registry = aws.client(bench, "ecr", ROOT_KEYS)
    registry.create_repository(repositoryName="remaining")
    rules = {"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}, "action": {"type": "expire"}}]}
    registry.start_lifecycle_policy_preview(repositoryName="remaining", lifecyclePolicyText=json.dumps(rules))
    wait(registry, "lifecycle_policy_preview_complete", repositoryName="remaining")
    registry.delete_repository(repositoryName="remaining")
