"""The calls that Terraform's AWS provider makes for ECS's resources, by boto3: create, read twice alike, change, read,
destroy. The order is that of hashicorp/aws: internal/service/ecs. `terraform_go` does it by the SDK for Go.
"""

import aws
from harness import check, same, until
from ecs import definition

HOME = "444455556666"
INCLUDED = ["TAGS", "CONFIGURATIONS", "SETTINGS"]


def client(bench):
    return aws.client(bench, "ecs", (HOME, "test"))


def twice(read):
    """What a plan reads after an apply: the second time as the first."""
    first = read()
    same(read(), first, "a second read")
    return first


def tags(**named):
    return [{"key": key, "value": value} for key, value in named.items()]


def make_cluster(ecs, name):
    setting = {"name": "containerInsights", "value": "enabled"}
    arn = ecs.create_cluster(clusterName=name, settings=[setting], tags=tags(team="web"))["cluster"]["clusterArn"]
    until(lambda: read_cluster(ecs, arn), lambda cluster: cluster["status"] == "ACTIVE")
    return arn


def read_cluster(ecs, arn):
    [found] = ecs.describe_clusters(clusters=[arn], include=INCLUDED)["clusters"]
    return found


def destroy_cluster(ecs, arn):
    ecs.delete_cluster(cluster=arn)
    until(lambda: read_cluster(ecs, arn), lambda cluster: cluster["status"] == "INACTIVE")


@check("aws_ecs_cluster: create, read, change, destroy until it is inactive")
def _(bench):
    ecs = client(bench)
    arn = make_cluster(ecs, "terraform-boto")
    got = twice(lambda: read_cluster(ecs, arn))
    same((got["settings"], got["tags"]), ([{"name": "containerInsights", "value": "enabled"}], tags(team="web")))
    ecs.update_cluster(cluster=arn, settings=[{"name": "containerInsights", "value": "disabled"}])
    got = twice(lambda: read_cluster(ecs, arn))
    same(got["settings"], [{"name": "containerInsights", "value": "disabled"}])
    destroy_cluster(ecs, arn)


@check("aws_ecs_task_definition: create, read, tag, replace, destroy")
def _(bench):
    ecs = client(bench)
    environment = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    first = definition(ecs, "terraform-boto", environment=environment)

    def read(arn):
        answer = ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
        return answer["taskDefinition"], answer.get("tags", [])

    got, _ = twice(lambda: read(first))
    same((got["status"], got["containerDefinitions"][0]["environment"]), ("ACTIVE", environment))
    ecs.tag_resource(resourceArn=first, tags=tags(team="web"))
    same(read(first)[1], tags(team="web"), "tags")
    second = definition(ecs, "terraform-boto", image="nginx:1.28")
    for arn in (first, second):
        ecs.deregister_task_definition(taskDefinition=arn)
        same(read(arn)[0]["status"], "INACTIVE", "what is taken out of the state")


@check("aws_ecs_service: create, wait_for_steady_state, read, change, destroy until it is inactive")
def _(bench):
    ecs = client(bench)
    cluster, task = make_cluster(ecs, "terraform-boto-service"), definition(ecs, "terraform-boto-service")
    breaker = {"enable": True, "rollback": True}
    arn = ecs.create_service(
        cluster=cluster, serviceName="web", taskDefinition=task, desiredCount=1, launchType="EC2",
        deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 100, "deploymentCircuitBreaker": breaker},
        tags=tags(team="web"),
    )["service"]["serviceArn"]

    def read():
        [found] = ecs.describe_services(cluster=cluster, services=[arn], include=["TAGS"])["services"]
        return found

    def is_steady(service):
        return len(service["deployments"]) == 1 and service["runningCount"] == service["desiredCount"]

    def state():
        got = read()
        # What ECS adds to the breaker is no difference to the provider.
        own = got["deploymentConfiguration"]["deploymentCircuitBreaker"]
        return got["taskDefinition"], got["desiredCount"], {name: own[name] for name in breaker}, got["tags"]

    until(read, is_steady)
    same(twice(state), (task, 1, breaker, tags(team="web")))
    same(aws.refusal(ecs.delete_cluster, cluster=cluster)[0], "ClusterContainsServicesException")
    task = definition(ecs, "terraform-boto-service", image="nginx:1.28")
    ecs.update_service(cluster=cluster, service=arn, taskDefinition=task, desiredCount=2, forceNewDeployment=False)
    until(read, is_steady)
    same(twice(state)[:2], (task, 2))
    ecs.update_service(cluster=cluster, service=arn, desiredCount=0)
    ecs.delete_service(cluster=cluster, service=arn, force=False)
    until(read, lambda service: service["status"] == "INACTIVE")
    destroy_cluster(ecs, cluster)
