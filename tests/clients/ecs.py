"""ECS by boto3 and the aws CLI: every operation, every waiter, and what is refused. Without a container
engine: tasks say that they were not run, and deployments go on."""

import json

import aws
from harness import ACCOUNT, LOOK_SECONDS, REGION, SERVER_SECONDS_MAX, Server, check, contains, matches, program, same, until

ROOT_KEYS = ("test", "test")
CLUSTER = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/shop"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/github-oidc-role"
# Neither one task less nor one more than one: nothing can move, and a deployment stays as it is until somebody acts.
STUCK = {"minimumHealthyPercent": 100, "maximumPercent": 150}


def ecs(bench, region=REGION):
    """A client as people have it: boto3 checks what it sends against its model."""
    return aws.client(bench, "ecs", ROOT_KEYS, region)


def definition(client, family, image="nginx:1.27", **more):
    """Registers a task definition of one container; its ARN."""
    container = {"name": "web", "image": image, "memory": 64} | more
    answer = client.register_task_definition(family=family, containerDefinitions=[container])
    return answer["taskDefinition"]["taskDefinitionArn"]


def wait(client, name, **what):
    """A waiter of boto3, in quick steps."""
    waiter = client.get_waiter(name)
    waiter.config.delay = LOOK_SECONDS
    waiter.config.max_attempts = int(SERVER_SECONDS_MAX / LOOK_SECONDS)
    waiter.wait(**what)


def service(client, cluster, name):
    return client.describe_services(cluster=cluster, services=[name])["services"][0]


def completed(described):
    first = described["deployments"][0]
    return len(described["deployments"]) == 1 and first["rolloutState"] == "COMPLETED"


@check("clusters are made, described with what is included, changed and deleted")
def clusters(bench):
    client = ecs(bench)
    made = client.create_cluster(clusterName="shop", tags=[{"key": "team", "value": "a"}])["cluster"]
    same(made["clusterArn"], CLUSTER)
    same(made["status"], "ACTIVE")
    described = client.describe_clusters(clusters=["shop", "none"])
    same(described["clusters"][0]["tags"], [])
    same(described["failures"], [{"arn": CLUSTER.replace("shop", "none"), "reason": "MISSING"}])
    full = client.describe_clusters(clusters=[CLUSTER], include=["TAGS", "SETTINGS", "STATISTICS"])["clusters"][0]
    same(full["tags"], [{"key": "team", "value": "a"}])
    same(full["settings"], [{"name": "containerInsights", "value": "disabled"}])
    changed = client.update_cluster_settings(cluster="shop", settings=[{"name": "containerInsights", "value": "enabled"}])
    same(changed["cluster"]["settings"][0]["value"], "enabled")
    client.put_cluster_capacity_providers(
        cluster="shop",
        capacityProviders=["FARGATE", "FARGATE_SPOT"],
        defaultCapacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
    )
    # What follows says nothing of where it runs, and has not been made for Fargate.
    client.put_cluster_capacity_providers(cluster="shop", capacityProviders=["FARGATE"], defaultCapacityProviderStrategy=[])
    same(CLUSTER in client.list_clusters()["clusterArns"], True)
    same(client.list_container_instances(cluster="shop")["containerInstanceArns"], [])
    same(aws.refusal(client.list_services, cluster="none")[:2], ("ClusterNotFoundException", "Cluster not found."))


@check("a task definition comes back to the letter, with ECS's defaults beside what was written")
def kept(bench):
    client = ecs(bench)
    container = {
        "name": "app",
        "image": "public.ecr.aws/nginx/nginx:1.27",
        "memoryReservation": 128,
        "environment": [{"name": "QUERY", "value": "a=b==&c"}, {"name": "EMPTY", "value": ""}],
        "command": ["sh", "-c", "echo 'it''s'"],
        "portMappings": [{"containerPort": 80}],
        "healthCheck": {"command": ["CMD-SHELL", "curl -f http://localhost/"]},
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/x", "awslogs-region": REGION, "tag": ""}},
        "dockerLabels": {"traefik.rule": "Host(`a`)&&Query(`k=v`)"},
    }
    tags = [{"key": "a", "value": "b"}]
    made = client.register_task_definition(family="kept", containerDefinitions=[container], tags=tags)
    known = client.describe_task_definition(taskDefinition="kept", include=["TAGS"])
    same(known["taskDefinition"], made["taskDefinition"])
    same(known["tags"], tags)
    got = known["taskDefinition"]["containerDefinitions"][0]
    for name, value in container.items():
        if name not in ("portMappings", "healthCheck"):
            same(got[name], value, name)
    same(got["portMappings"], [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}])
    same((got["cpu"], got["essential"], got["mountPoints"]), (0, True, []))
    same(got["healthCheck"] | {"command": None}, {"command": None, "interval": 30, "timeout": 5, "retries": 3})
    same(known["taskDefinition"]["status"], "ACTIVE")
    same("tags" in client.describe_task_definition(taskDefinition="kept:1"), False)


@check("revisions count up, can be listed, are deregistered and then deleted")
def revisions(bench):
    client = ecs(bench)
    arns = [definition(client, "counted") for _ in range(3)]
    same([arn.rpartition(":")[2] for arn in arns], ["1", "2", "3"])
    client.deregister_task_definition(taskDefinition="counted:3")
    same(client.describe_task_definition(taskDefinition="counted")["taskDefinition"]["revision"], 2)
    listed = client.list_task_definitions(familyPrefix="counted", sort="DESC")["taskDefinitionArns"]
    same(listed, [arns[1], arns[0]])
    page = client.list_task_definitions(familyPrefix="counted", maxResults=1)
    same(page["nextToken"], "counted::0000000002")
    inactive = client.list_task_definitions(familyPrefix="counted", status="INACTIVE")["taskDefinitionArns"]
    same(inactive, [arns[2]])
    answer = client.delete_task_definitions(taskDefinitions=["counted:2", "counted:3"])
    same([one["taskDefinitionArn"] for one in answer["taskDefinitions"]], [arns[2]])
    contains(answer["failures"][0]["reason"], ["still in ACTIVE status"])
    same(definition(client, "counted").rpartition(":")[2], "4", "a number is never given twice")
    same("counted" in client.list_task_definition_families(status="ACTIVE")["families"], True)
    arns = [definition(client, "paged") for _ in range(3)]
    page = client.list_task_definitions(familyPrefix="paged", maxResults=1)
    client.deregister_task_definition(taskDefinition="paged:1")
    client.deregister_task_definition(taskDefinition="paged:2")
    page = client.list_task_definitions(familyPrefix="paged", nextToken=page["nextToken"])
    same(page["taskDefinitionArns"], [arns[2]], "what the token named is gone")


# What is wrong with a task definition, and ECS's sentence about it.
REFUSED = [
    ({"containerDefinitions": []}, "Container list cannot be empty."),
    ({"family": "a b"}, "Family contains invalid characters."),
    ({"containerDefinitions": [{"name": "x", "image": "x"}]}, "Invalid setting for container 'x'. At least one of 'memory' or 'memoryReservation' must be specified."),
    ({"requiresCompatibilities": ["FARGATE"]}, "Fargate only supports network mode ‘awsvpc’."),
    ({"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "memory": "512"}, "Fargate requires that 'cpu' be defined at the task level."),
    (
        {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "4096"},
        "No Fargate configuration exists for given values: 256 CPU, 4096 memory. See the Amazon ECS documentation for the valid values.",
    ),
    (
        {"containerDefinitions": [{"name": "x", "image": "x", "memory": 8, "logConfiguration": {"logDriver": "awslogs"}}]},
        "Log driver awslogs requires options: awslogs-region, awslogs-group",
    ),
    ({"taskRoleArn": "arn:aws:iam::999999999999:role/other"}, "Role is not valid"),
]


@check("a task definition that ECS would not take is refused in its words")
def refused_definitions(bench):
    client = ecs(bench)
    for more, sentence in REFUSED:
        whole = {"family": "refused", "containerDefinitions": [{"name": "x", "image": "x", "memory": 8}]} | more
        same(aws.refusal(client.register_task_definition, **whole)[:3], ("ClientException", sentence, 400))
    same(client.list_task_definitions(familyPrefix="refused")["taskDefinitionArns"], [])
    missing = aws.refusal(client.describe_task_definition, taskDefinition="refused")
    same(missing[:2], ("ClientException", "Unable to describe task definition."))


@check("a service rolls out, is updated, and every waiter of boto3 sees it")
def rollout(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="shop")
    first = definition(client, "rollout")
    made = client.create_service(cluster="shop", serviceName="rollout", taskDefinition="rollout", desiredCount=2)["service"]
    same(made["deployments"][0]["rolloutState"], "IN_PROGRESS")
    same(made["deploymentConfiguration"]["maximumPercent"], 200)
    wait(client, "services_stable", cluster="shop", services=["rollout"])
    until(lambda: service(client, "shop", "rollout"), completed)
    tasks = client.list_tasks(cluster="shop", serviceName="rollout")["taskArns"]
    same(len(tasks), 2)
    wait(client, "tasks_running", cluster="shop", tasks=tasks)
    second = definition(client, "rollout", image="nginx:1.28")
    # As the deploy action sends it.
    updated = client.update_service(
        cluster="shop", service="rollout", taskDefinition=second, forceNewDeployment=False, volumeConfigurations=[]
    )["service"]
    same([one["taskDefinition"] for one in updated["deployments"]], [second, first])
    same([one["status"] for one in updated["deployments"]], ["PRIMARY", "ACTIVE"])
    done = until(lambda: service(client, "shop", "rollout"), completed)
    same(done["deployments"][0]["id"], updated["deployments"][0]["id"])
    wait(client, "tasks_stopped", cluster="shop", tasks=tasks)
    stopped = client.describe_tasks(cluster="shop", tasks=tasks)["tasks"][0]
    number = updated["deployments"][0]["id"]
    same(stopped["stoppedReason"], f"Scaling activity initiated by (deployment {number})")
    same(stopped["stopCode"], "ServiceSchedulerInitiated")
    events = [event["message"] for event in done["events"]]
    same(events[0], "(service rollout) has reached a steady state.")
    same(events[1], f"(service rollout) (deployment {number}) deployment completed.")
    # The same again makes no deployment, and another count neither.
    again = client.update_service(cluster="shop", service="rollout", taskDefinition=second, desiredCount=1)["service"]
    same(again["deployments"][0]["id"], number)
    until(lambda: service(client, "shop", "rollout"), lambda now: now["runningCount"] == 1)
    same(aws.refusal(client.delete_cluster, cluster="shop")[:2], ("ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active."))
    refused = aws.refusal(client.delete_service, cluster="shop", service="rollout")
    same(refused[:2], ("InvalidParameterException", "The service cannot be stopped while it is scaled above 0."))
    client.delete_service(cluster="shop", service="rollout", force=True)
    wait(client, "services_inactive", cluster="shop", services=["rollout"])
    gone = aws.refusal(client.update_service, cluster="shop", service="rollout", desiredCount=1)
    same(gone[:2], ("ServiceNotActiveException", "Service was not ACTIVE."))


@check("a deployment whose image is not there fails, and the breaker goes back")
def breaker(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="shop")
    good = definition(client, "breaker")
    bad = definition(client, "breaker", image=f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/backend:not-there")
    client.create_service(
        cluster="shop",
        serviceName="breaker",
        taskDefinition=good,
        desiredCount=1,
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
    )
    before = until(lambda: service(client, "shop", "breaker"), completed)["deployments"][0]
    failing = client.update_service(cluster="shop", service="breaker", taskDefinition=bad)["service"]["deployments"][0]
    after = until(lambda: service(client, "shop", "breaker"), lambda now: completed(now) and now["deployments"][0]["id"] != failing["id"])
    # The way back is a deployment of its own, of the revision that was there before.
    back = after["deployments"][0]
    same(back["id"] not in (before["id"], failing["id"]), True, f"{back['id']} is a new deployment")
    same(back["createdAt"] > failing["createdAt"], True, "it was made after the one that failed")
    same(after["taskDefinition"], good)
    messages = "\n".join(event["message"] for event in after["events"])
    contains(messages, [f"(deployment {failing['id']}) deployment failed: tasks failed to start.", f"rolling back to deployment {back['id']}."])
    stories = client.list_service_deployments(cluster="shop", service="breaker")["serviceDeployments"]
    same(stories[0]["status"], "ROLLBACK_SUCCESSFUL")
    story = client.describe_service_deployments(serviceDeploymentArns=[stories[0]["serviceDeploymentArn"]])["serviceDeployments"][0]
    same(story["deploymentCircuitBreaker"]["status"], "TRIGGERED")
    same(story["deploymentCircuitBreaker"]["threshold"], 3)
    stopped = client.list_tasks(cluster="shop", serviceName="breaker", desiredStatus="STOPPED")["taskArns"]
    reasons = [task["stoppedReason"] for task in client.describe_tasks(cluster="shop", tasks=stopped)["tasks"]]
    contains("\n".join(reasons), ["CannotPullContainerError: ", "backend:not-there: not found"])
    revision = client.describe_service_revisions(serviceRevisionArns=[stories[0]["targetServiceRevisionArn"]])
    same(revision["serviceRevisions"][0]["taskDefinition"], bad)


@check("a deployment is stopped by hand, and rolled back")
def stopped_by_hand(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="shop")
    good = definition(client, "by-hand")
    client.create_service(cluster="shop", serviceName="by-hand", taskDefinition=good, desiredCount=1, deploymentConfiguration=STUCK)
    until(lambda: service(client, "shop", "by-hand"), completed)
    client.update_service(cluster="shop", service="by-hand", forceNewDeployment=True)
    running = service(client, "shop", "by-hand")["currentServiceDeployment"]
    same(len(service(client, "shop", "by-hand")["deployments"]), 2, "deployments before it is told to stop")
    same(client.stop_service_deployment(serviceDeploymentArn=running)["serviceDeploymentArn"], running)
    read = lambda: client.describe_service_deployments(serviceDeploymentArns=[running])["serviceDeployments"][0]
    until(read, lambda story: story["status"] == "ROLLBACK_SUCCESSFUL")
    same(aws.refusal(client.stop_service_deployment, serviceDeploymentArn=running)[0], "ConflictException")


@check("blue/green goes through its stages")
def blue_green(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="shop")
    first = definition(client, "colours")
    # Each stage waits to be seen: at a hook for a person, and at the end by its bake time.
    stages = ["PRE_SCALE_UP", "POST_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT"]
    hooks = [{"targetType": "PAUSE", "lifecycleStages": [stage]} for stage in stages]
    configuration = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}
    client.create_service(cluster="shop", serviceName="colours", taskDefinition=first, desiredCount=1, deploymentConfiguration=configuration)
    until(lambda: service(client, "shop", "colours"), completed)
    waiting = {"deploymentConfiguration": {"bakeTimeInMinutes": 60, "lifecycleHooks": hooks}}
    client.update_service(cluster="shop", service="colours", forceNewDeployment=True, **waiting)
    arn = service(client, "shop", "colours")["currentServiceDeployment"]
    read = lambda: client.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]
    tasks = lambda: len(client.list_tasks(cluster="shop", serviceName="colours")["taskArns"])
    for stage, running in zip(stages, (1, 2, 2, 2), strict=True):
        story = until(read, lambda story: story.get("lifecycleHookDetails"))
        same((story["status"], story["lifecycleStage"], tasks()), ("IN_PROGRESS", stage, running), "status, stage, tasks of both colours")
        client.continue_service_deployment(serviceDeploymentArn=arn, hookId=story["lifecycleHookDetails"][0]["hookId"], action="CONTINUE")
    until(read, lambda story: story.get("lifecycleStage") == "BAKE_TIME")
    same((read()["status"], tasks()), ("IN_PROGRESS", 2), "status and tasks while it bakes")
    client.update_service(cluster="shop", service="colours", deploymentConfiguration={"bakeTimeInMinutes": 0})
    until(read, lambda story: story["status"] == "SUCCESSFUL")
    until(tasks, lambda count: count == 1)


@check("task sets have their share of an external service")
def task_sets(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="shop")
    arn = definition(client, "sets")
    client.create_service(cluster="shop", serviceName="sets", desiredCount=4, deploymentController={"type": "EXTERNAL"})
    made = client.create_task_set(cluster="shop", service="sets", taskDefinition=arn, externalId="green", scale={"value": 50, "unit": "PERCENT"})["taskSet"]
    same(made["computedDesiredCount"], 2)
    read = lambda: client.describe_task_sets(cluster="shop", service="sets", taskSets=[made["taskSetArn"]])["taskSets"][0]
    steady = until(read, lambda one: one["stabilityStatus"] == "STEADY_STATE")
    same((steady["runningCount"], steady["externalId"]), (2, "green"))
    client.update_service_primary_task_set(cluster="shop", service="sets", primaryTaskSet=made["taskSetArn"])
    same(read()["status"], "PRIMARY")
    client.update_task_set(cluster="shop", service="sets", taskSet=made["id"], scale={"value": 0, "unit": "PERCENT"})
    until(read, lambda one: one["runningCount"] == 0)
    client.delete_task_set(cluster="shop", service="sets", taskSet=made["id"])
    until(lambda: client.describe_task_sets(cluster="shop", service="sets"), lambda now: not now["taskSets"])
    client.delete_service(cluster="shop", service="sets", force=True)


@check("a task that nothing runs says so, and a token runs it once")
def run_task(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="shop")
    arn = definition(client, "job")
    run = lambda **more: client.run_task(cluster="shop", taskDefinition=arn, clientToken="once", startedBy="me", **more)
    first, second = run()["tasks"][0], run()["tasks"][0]
    same(first["taskArn"], second["taskArn"])
    same(first["group"], "family:job")
    same(aws.refusal(run, count=2)[0], "ConflictException")
    wait(client, "tasks_stopped", cluster="shop", tasks=[first["taskArn"]])
    task = client.describe_tasks(cluster="shop", tasks=[first["taskArn"], "0" * 32])
    same(task["failures"][0]["reason"], "MISSING")
    contains(task["tasks"][0]["stoppedReason"], ["not run, no container engine"])
    same(task["tasks"][0]["stopCode"], "TaskFailedToStart")
    instance = client.start_task(cluster="shop", taskDefinition=arn, containerInstances=["i"])
    same(instance["failures"][0]["reason"], "MISSING")
    fargate = aws.refusal(client.run_task, cluster="shop", taskDefinition=arn, launchType="FARGATE")
    same(fargate[0], "InvalidParameterException")


@check("tags and account settings are kept, and new ARNs can have the old form")
def tags_and_settings(bench):
    client = ecs(bench, "eu-north-1")
    made = client.create_cluster(clusterName="old")["cluster"]
    client.tag_resource(resourceArn=made["clusterArn"], tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}])
    client.untag_resource(resourceArn=made["clusterArn"], tagKeys=["a"])
    same(client.list_tags_for_resource(resourceArn=made["clusterArn"])["tags"], [{"key": "b", "value": "2"}])
    client.put_account_setting_default(name="serviceLongArnFormat", value="disabled")
    definition(client, "old")
    old = client.create_service(cluster="old", serviceName="old", taskDefinition="old", desiredCount=0)["service"]
    same(old["serviceArn"], f"arn:aws:ecs:eu-north-1:{ACCOUNT}:service/old")
    found = client.describe_services(cluster="old", services=[old["serviceArn"]])["services"]
    same(found[0]["serviceName"], "old")
    settings = client.list_account_settings(name="serviceLongArnFormat", effectiveSettings=True)["settings"]
    same(settings[0]["value"], "disabled")
    client.delete_service(cluster="old", service="old")
    wait(client, "services_inactive", cluster="old", services=["old"])
    same(client.delete_cluster(cluster="old")["cluster"]["status"], "INACTIVE")


@check("the aws CLI deploys and waits")
def cli(bench):
    environment = bench.environment(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    run = lambda *words: bench.run(program("aws"), "ecs", *words, env=environment).stdout
    run("create-cluster", "--cluster-name", "cli")
    containers = json.dumps([{"name": "web", "image": "nginx", "memory": 64}])
    run("register-task-definition", "--family", "cli", "--container-definitions", containers)
    run("create-service", "--cluster", "cli", "--service-name", "web", "--task-definition", "cli", "--desired-count", "1")
    client = ecs(bench)
    until(lambda: service(client, "cli", "web"), completed)
    run("update-service", "--cluster", "cli", "--service", "web", "--force-new-deployment")
    until(lambda: service(client, "cli", "web"), completed)
    run("wait", "services-stable", "--cluster", "cli", "--services", "web")
    described = json.loads(run("describe-services", "--cluster", "cli", "--services", "web"))
    same(described["services"][0]["runningCount"], 1)
    run("delete-service", "--cluster", "cli", "--service", "web", "--force")


@check("fabfuel's ecs-deploy deploys another tag")
def fabfuel(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="shop")
    first = definition(client, "fabfuel", image="nginx:1.27")
    client.create_service(cluster="shop", serviceName="fabfuel", taskDefinition=first, desiredCount=1)
    until(lambda: service(client, "shop", "fabfuel"), completed)
    environment = bench.environment(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    done = bench.run(program("ecs"), "deploy", "shop", "fabfuel", "--tag", "1.28", "--timeout", "600", env=environment)
    contains(done.stdout, ["Deployment successful"])
    now = service(client, "shop", "fabfuel")
    image = client.describe_task_definition(taskDefinition=now["taskDefinition"])["taskDefinition"]["containerDefinitions"][0]["image"]
    same(image, "nginx:1.28")


@check("services that Terraform describes are there as they ran before: steady, on images that were never pushed here")
def before(bench):
    server = Server(bench, "--infra", "examples/github-ecs/infra")
    try:
        there = lambda: None
        there.server, there.environment = server, bench.environment
        client = aws.client(there, "ecs", ROOT_KEYS, "ap-northeast-1")
        described = service(client, "shop", "orders")
        same(completed(described), True)
        same((described["runningCount"], described["desiredCount"]), (1, 1))
        same(described["events"][0]["message"], "(service orders) has reached a steady state.")
        [task] = client.describe_tasks(cluster="shop", tasks=client.list_tasks(cluster="shop")["taskArns"])["tasks"]
        same(task["lastStatus"], "RUNNING")
        contains(json.dumps(task, default=str), ["not run: it stands for what ran before"])
        # What is deployed on top of it stands on its own feet.
        number = client.update_service(cluster="shop", service="orders", taskDefinition="orders:1", forceNewDeployment=True)
        same(number["service"]["deployments"][1]["rolloutState"], "COMPLETED")
        until(lambda: service(client, "shop", "orders"), completed)
    finally:
        server.stop()


VPC = {"awsvpcConfiguration": {"subnets": ["subnet-0aa1"], "assignPublicIp": "ENABLED"}}
DETAILS = ["subnetId", "networkInterfaceId", "macAddress", "privateDnsName", "privateIPv4Address"]


def fargate_definition(client, family, **more):
    container = {"name": "web", "image": "nginx:1.27", "cpu": 128, "memory": 256}
    answer = client.register_task_definition(
        family=family,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[container],
        **more,
    )
    return answer["taskDefinition"]["taskDefinitionArn"]


@check("a task on Fargate is told with its platform, storage and network interface, as AWS tells it, to the aws CLI's waiters too")
def fargate_task(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="fargate")
    arn = fargate_definition(client, "on-fargate")
    # Services have tasks that go on without an engine.
    client.create_service(cluster="fargate", serviceName="web", taskDefinition=arn, desiredCount=2, launchType="FARGATE", networkConfiguration=VPC)
    cli = [program("aws"), "ecs"]
    environment = bench.environment(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    bench.run(*cli, "wait", "services-stable", "--cluster", "fargate", "--services", "web", env=environment)
    arns = client.list_tasks(cluster="fargate", serviceName="web")["taskArns"]
    bench.run(*cli, "wait", "tasks-running", "--cluster", "fargate", "--tasks", *arns, env=environment)
    tasks = client.describe_tasks(cluster="fargate", tasks=arns)["tasks"]
    addresses = set()
    for task in tasks:
        same({name: task.get(name) for name in ("launchType", "platformVersion", "platformFamily", "cpu", "memory", "connectivity")},
             {"launchType": "FARGATE", "platformVersion": "1.4.0", "platformFamily": "Linux", "cpu": "256", "memory": "512", "connectivity": "CONNECTED"})
        same((task["ephemeralStorage"], task["fargateEphemeralStorage"]), ({"sizeInGiB": 20}, {"sizeInGiB": 20}))
        same(task["createdAt"] <= task["connectivityAt"] <= task["startedAt"], True)
        [attachment] = task["attachments"]
        same((attachment["type"], attachment["status"]), ("ElasticNetworkInterface", "ATTACHED"))
        details = {it["name"]: it["value"] for it in attachment["details"]}
        same([it["name"] for it in attachment["details"]], DETAILS)
        address = details["privateIPv4Address"]
        same(details["privateDnsName"], f"ip-{address.replace('.', '-')}.{REGION}.compute.internal")
        matches(details["networkInterfaceId"], r"eni-0[0-9a-f]{16}$")
        matches(details["macAddress"], r"02(:[0-9a-f]{2}){5}$")
        matches(task["availabilityZone"], rf"{REGION}[a-c]$")
        [container] = task["containers"]
        same(container["networkInterfaces"], [{"attachmentId": attachment["id"], "privateIpv4Address": address}])
        same((container["cpu"], container["memory"], container["networkBindings"]), ("128", "256", []))
        addresses.add(address)
    same(len(addresses), 2, "addresses")
    same(len({address.rsplit(".", 2)[0] for address in addresses}), 1, "one subnet")
    again = client.describe_tasks(cluster="fargate", tasks=arns)["tasks"]
    same([task["attachments"] for task in again], [task["attachments"] for task in tasks])
    client.update_service(cluster="fargate", service="web", desiredCount=0)
    bench.run(*cli, "wait", "tasks-stopped", "--cluster", "fargate", "--tasks", *arns, env=environment)
    stopped = client.describe_tasks(cluster="fargate", tasks=arns)["tasks"]
    same({task["attachments"][0]["status"] for task in stopped}, {"DELETED"})
    same([task["attachments"][0]["details"] for task in stopped], [task["attachments"][0]["details"] for task in tasks])
    # Not on Fargate, and in no network of its own.
    plain = client.run_task(cluster="fargate", taskDefinition=definition(client, "not-on-fargate"))["tasks"][0]
    same(plain["attachments"], [])
    same([name for name in ("platformVersion", "platformFamily", "ephemeralStorage") if name in plain], [])
    storage = fargate_definition(client, "more-storage", ephemeralStorage={"sizeInGiB": 40})
    asked = client.run_task(cluster="fargate", taskDefinition=storage, launchType="FARGATE", platformVersion="LATEST", networkConfiguration=VPC)["tasks"][0]
    same((asked["ephemeralStorage"], asked["platformVersion"]), ({"sizeInGiB": 40}, "1.4.0"))
    same(asked["attachments"][0] | {"id": ""}, {"id": "", "type": "ElasticNetworkInterface", "status": "PRECREATED", "details": [{"name": "subnetId", "value": "subnet-0aa1"}]})


@check("a service on Fargate says LATEST, and its deployments and revisions which version that is")
def fargate_service(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="fargate-services")
    arn = fargate_definition(client, "fargate-service")
    made = {"cluster": "fargate-services", "taskDefinition": arn, "desiredCount": 0, "networkConfiguration": VPC}
    web = client.create_service(serviceName="web", launchType="FARGATE", **made)["service"]
    same((web["platformVersion"], web["platformFamily"]), ("LATEST", "Linux"))
    same((web["deployments"][0]["platformVersion"], web["deployments"][0]["platformFamily"]), ("1.4.0", "Linux"))
    same(web["roleArn"], f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS")
    revision = web["currentServiceRevisions"][0]["arn"]
    [told] = client.describe_service_revisions(serviceRevisionArns=[revision])["serviceRevisions"]
    same((told["platformVersion"], told["platformFamily"]), ("1.4.0", "Linux"))
    older = client.create_service(serviceName="older", launchType="FARGATE", platformVersion="1.3.0", **made)["service"]
    same((older["platformVersion"], older["deployments"][0]["platformVersion"]), ("1.3.0", "1.3.0"))
    refused = aws.refusal(client.create_service, serviceName="none", launchType="FARGATE", platformVersion="9.9.9", **made)
    same(refused[:2], ("PlatformUnknownException", "The specified platform version does not exist."))
    on_ec2 = made | {"taskDefinition": definition(client, "on-ec2")}
    del on_ec2["networkConfiguration"]
    refused = aws.refusal(client.create_service, serviceName="none", platformVersion="1.4.0", **on_ec2)
    same(refused[:2], ("InvalidParameterException", "The platform version must be null when specifying an EC2 launch type."))
    ec2 = client.create_service(serviceName="ec2", **on_ec2)["service"]
    same([name for name in ("platformVersion", "platformFamily", "roleArn") if name in ec2], [])


NOT_ASSOCIATED = "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster or specify a valid capacity provider and try again."


@check("capacity providers have to be the cluster's, Fargate's too; a cluster's default strategy is taken where nothing is said")
def strategies(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="strategies")
    arn = fargate_definition(client, "strategies")
    spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    made = {"cluster": "strategies", "taskDefinition": arn, "networkConfiguration": VPC}
    for call, more in ((client.create_service, {"serviceName": "web", "desiredCount": 0}), (client.run_task, {})):
        refused = aws.refusal(call, capacityProviderStrategy=spot, **made, **more)
        same(refused[:2], ("InvalidParameterException", NOT_ASSOCIATED))
        both = aws.refusal(call, capacityProviderStrategy=spot, launchType="FARGATE", **made, **more)
        contains(both[1], ["Specifying both a launch type and capacity provider strategy is not supported."])
    default = [{"capacityProvider": "FARGATE", "weight": 1}]
    refused = aws.refusal(client.put_cluster_capacity_providers, cluster="strategies", capacityProviders=["FARGATE_SPOT"], defaultCapacityProviderStrategy=default)
    same(refused[:2], ("InvalidParameterException", NOT_ASSOCIATED))
    refused = aws.refusal(client.create_cluster, clusterName="other", capacityProviders=["nobodys"])
    same(refused[:2], ("InvalidParameterException", "The specified capacity provider was not found. Specify a valid capacity provider and try again."))
    group = {"autoScalingGroupArn": f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/a"}
    client.create_capacity_provider(name="own", autoScalingGroupProvider=group)
    client.put_cluster_capacity_providers(cluster="strategies", capacityProviders=["FARGATE", "FARGATE_SPOT", "own"], defaultCapacityProviderStrategy=spot)
    mixed = [*spot, {"capacityProvider": "own", "weight": 1}]
    refused = aws.refusal(client.run_task, capacityProviderStrategy=mixed, **made)
    contains(refused[1], ["A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate providers."])
    given = client.create_service(serviceName="given", desiredCount=1, capacityProviderStrategy=default, **made)["service"]
    same((given["capacityProviderStrategy"][0]["capacityProvider"], "launchType" in given), ("FARGATE", False))
    same((given["platformVersion"], given["deployments"][0]["platformVersion"]), ("LATEST", "1.4.0"))
    taken = client.create_service(serviceName="taken", desiredCount=0, **made)["service"]
    same(taken["capacityProviderStrategy"][0]["capacityProvider"], "FARGATE_SPOT")
    [task] = client.run_task(**made)["tasks"]
    same((task["capacityProviderName"], task["launchType"], task["platformVersion"]), ("FARGATE_SPOT", "FARGATE", "1.4.0"))
    [arn] = until(lambda: client.list_tasks(cluster="strategies", serviceName="given")["taskArns"], lambda arns: len(arns) == 1)
    [task] = client.describe_tasks(cluster="strategies", tasks=[arn])["tasks"]
    same((task["capacityProviderName"], task["launchType"]), ("FARGATE", "FARGATE"))
    refused = aws.refusal(client.update_service, cluster="strategies", service="given", capacityProviderStrategy=[{"capacityProvider": "nobodys", "weight": 1}])
    same(refused[:2], ("InvalidParameterException", NOT_ASSOCIATED))


@check("a daemon has no number of tasks, neither when it is made nor later, and ECS's words for other numbers are its own")
def daemons(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="daemons")
    arn = definition(client, "daemon")
    made = {"cluster": "daemons", "taskDefinition": arn}
    words = "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again."
    refused = aws.refusal(client.create_service, serviceName="agent", schedulingStrategy="DAEMON", desiredCount=1, **made)
    same(refused[:2], ("InvalidParameterException", words))
    client.create_service(serviceName="agent", schedulingStrategy="DAEMON", **made)
    refused = aws.refusal(client.update_service, cluster="daemons", service="agent", desiredCount=2)
    same(refused[:2], ("InvalidParameterException", words))
    rows = [
        ({}, "DesiredCount is missing"),
        ({"desiredCount": -1}, "DesiredCount can not be lesser than 0"),
        ({"desiredCount": 1, "deploymentConfiguration": {"minimumHealthyPercent": 101}}, "minimumHealthyPercent must be at most 100"),
        ({"desiredCount": 1, "schedulingStrategy": "BOGUS"}, "Scheduling strategy should be one of [REPLICA,DAEMON]"),
    ]
    for more, wanted in rows:
        same(aws.refusal(client.create_service, serviceName="web", **made, **more)[:2], ("InvalidParameterException", wanted))
    client.create_service(serviceName="web", desiredCount=0, **made)
    same(aws.refusal(client.update_service, cluster="daemons", service="web", desiredCount=-1)[1], "Task count can not be lesser than 0")
    same(service(client, "daemons", "agent")["desiredCount"], 1)


@check("a deployment that was stopped where it was is scaled in to nothing, and the service is stable then")
def scaled_in(bench):
    client = ecs(bench)
    client.create_cluster(clusterName="aborted")
    arn = definition(client, "aborted")
    client.create_service(cluster="aborted", serviceName="web", taskDefinition=arn, desiredCount=2, deploymentConfiguration={"bakeTimeInMinutes": 5})
    wait(client, "services_stable", cluster="aborted", services=["web"])
    client.update_service(cluster="aborted", service="web", taskDefinition=definition(client, "aborted"))
    until(lambda: service(client, "aborted", "web"), lambda web: web["runningCount"] == 4 or web["deployments"][0]["runningCount"] == 2)
    [deployment] = client.list_service_deployments(cluster="aborted", service="web", status=["IN_PROGRESS"])["serviceDeployments"]
    client.stop_service_deployment(serviceDeploymentArn=deployment["serviceDeploymentArn"], stopType="ABORT")
    same(service(client, "aborted", "web")["deployments"][0]["rolloutState"], "FAILED")
    client.update_service(cluster="aborted", service="web", desiredCount=0)
    wait(client, "services_stable", cluster="aborted", services=["web"])
    same(service(client, "aborted", "web")["runningCount"], 0)
