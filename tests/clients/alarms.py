"""CloudWatch alarms by boto3 and the aws CLI, and deployments to ECS that watch them."""

import copy
import datetime
import json

import aws
from deploy import deploy, deploying, lines
from ecs import ROOT_KEYS, completed, definition, service
from harness import ACCOUNT, REGION, Server, Skip, check, contains, program, same, until

try:
    import botocore.session
except ImportError:
    botocore = None

MEASURED = dict(
    MetricName="HTTPCode_Target_5XX_Count",
    Namespace="AWS/ApplicationELB",
    Statistic="Sum",
    Period=60,
    EvaluationPeriods=2,
    Threshold=5.5,
    ComparisonOperator="GreaterThanOrEqualToThreshold",
    Dimensions=[{"Name": "LoadBalancer", "Value": "app/web/0123456789abcdef"}],
)


def cloudwatch(bench):
    return aws.client(bench, "cloudwatch", ROOT_KEYS)


@check("an alarm is written, found, set, switched, tagged and deleted, by boto3")
def _(bench):
    client = cloudwatch(bench)
    client.put_metric_alarm(AlarmName="web-5xx", OKActions=["arn:aws:sns:x:1:ops"], Tags=[{"Key": "team", "Value": "web"}], **MEASURED)
    [alarm] = client.describe_alarms(AlarmNames=["web-5xx"])["MetricAlarms"]
    arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:web-5xx"
    same({name: alarm[name] for name in MEASURED}, MEASURED)
    same((alarm["AlarmArn"], alarm["StateValue"], alarm["StateReason"]), (arn, "INSUFFICIENT_DATA", "Unchecked: Initial alarm creation"))
    same((alarm["ActionsEnabled"], alarm["OKActions"], alarm["AlarmActions"]), (True, ["arn:aws:sns:x:1:ops"], []))
    same(alarm["StateUpdatedTimestamp"].year >= 2024, True, "a time")
    client.set_alarm_state(AlarmName="web-5xx", StateValue="ALARM", StateReason="a check", StateReasonData='{"a":1}')
    client.disable_alarm_actions(AlarmNames=["web-5xx", "none"])
    # Written again it keeps its state.
    client.put_metric_alarm(AlarmName="web-5xx", ActionsEnabled=False, **MEASURED | {"Threshold": 7.0})
    [alarm] = client.describe_alarms(StateValue="ALARM", AlarmNamePrefix="web-")["MetricAlarms"]
    same((alarm["Threshold"], alarm["StateReason"], alarm["StateReasonData"], alarm["ActionsEnabled"]), (7.0, "a check", '{"a":1}', False))
    client.enable_alarm_actions(AlarmNames=["web-5xx"])
    same(client.describe_alarms(AlarmNames=["web-5xx"])["MetricAlarms"][0]["ActionsEnabled"], True)
    client.tag_resource(ResourceARN=arn, Tags=[{"Key": "stage", "Value": "prod"}])
    client.untag_resource(ResourceARN=arn, TagKeys=["team"])
    same(client.list_tags_for_resource(ResourceARN=arn)["Tags"], [{"Key": "stage", "Value": "prod"}])
    for number in range(3):
        client.put_metric_alarm(AlarmName=f"paged-{number}", **MEASURED)
    pages = client.get_paginator("describe_alarms").paginate(AlarmNamePrefix="paged-", PaginationConfig={"PageSize": 2})
    same([[alarm["AlarmName"] for alarm in page["MetricAlarms"]] for page in pages], [["paged-0", "paged-1"], ["paged-2"]])
    refused = aws.refusal(client.delete_alarms, AlarmNames=["paged-0", "none"])
    same(refused[0], "ResourceNotFound")
    client.delete_alarms(AlarmNames=["paged-0", "paged-1", "paged-2", "web-5xx"])
    same(client.describe_alarms()["MetricAlarms"], [])
    same(aws.refusal(client.set_alarm_state, AlarmName="web-5xx", StateValue="OK", StateReason="x")[0], "ResourceNotFound")


@check("boto3 says the same in each of the three protocols that the model names")
def _(bench):
    if botocore is None:
        raise Skip("boto3 is not installed")
    found = []
    for protocol in ("smithy-rpc-v2-cbor", "json", "query"):
        session = botocore.session.get_session()
        metadata = session.get_component("data_loader").load_service_model("cloudwatch", "service-2")["metadata"]
        metadata.update(protocol=protocol, protocols=[protocol])
        key, secret = ROOT_KEYS[:2]
        client = session.create_client("cloudwatch", region_name=REGION, endpoint_url=bench.server.url, aws_access_key_id=key, aws_secret_access_key=secret)
        same(client.meta.service_model.resolved_protocol, protocol)
        client.put_metric_alarm(AlarmName="spoken", ActionsEnabled=False, **MEASURED)
        began = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        client.set_alarm_state(AlarmName="spoken", StateValue="OK", StateReason="a check")
        [alarm] = client.describe_alarms(AlarmNames=["spoken"])["MetricAlarms"]
        found.append({name: value for name, value in alarm.items() if "Timestamp" not in name})
        changed = alarm["StateUpdatedTimestamp"]
        same(began <= changed <= datetime.datetime.now(datetime.timezone.utc), True, f"{changed} is after {began}, and not to come")
        same(aws.refusal(client.set_alarm_state, AlarmName="none", StateValue="OK", StateReason="x")[0], "ResourceNotFound")
        client.delete_alarms(AlarmNames=["spoken"])
    same({name: found[0].get(name) for name in MEASURED}, MEASURED)
    same(found, [found[0]] * 3)


@check("the aws CLI says the same in its own protocol")
def _(bench):
    environment = bench.environment(AWS_ACCESS_KEY_ID=ROOT_KEYS[0], AWS_SECRET_ACCESS_KEY=ROOT_KEYS[1])
    run = lambda *words, expect=0: bench.run(program("aws"), "cloudwatch", *words, "--output", "json", env=environment, expect=expect)
    run("put-metric-alarm", "--alarm-name", "cli", "--metric-name", "m", "--namespace", "n", "--statistic", "Sum", "--period", "60",
        "--evaluation-periods", "1", "--threshold", "1", "--comparison-operator", "GreaterThanThreshold", "--dimensions", "Name=a,Value=b")
    run("set-alarm-state", "--alarm-name", "cli", "--state-value", "OK", "--state-reason", "by hand")
    [alarm] = json.loads(run("describe-alarms", "--alarm-names", "cli").stdout)["MetricAlarms"]
    same((alarm["StateValue"], alarm["StateReason"], alarm["Dimensions"], alarm["Threshold"]), ("OK", "by hand", [{"Name": "a", "Value": "b"}], 1.0))
    contains(run("delete-alarms", "--alarm-names", "none", expect=None).stderr, ["ResourceNotFound"])
    run("delete-alarms", "--alarm-names", "cli")


def watched(bench, name, rollback):
    """A service whose deployments watch an alarm for an hour before they end, stable; the clients of both."""
    client, alarms = aws.client(bench, "ecs", ROOT_KEYS), cloudwatch(bench)
    client.create_cluster(clusterName="watched")
    alarms.put_metric_alarm(AlarmName=f"{name}-5xx", **MEASURED)
    rules = {"alarms": {"alarmNames": [f"{name}-5xx", "another"], "enable": True, "rollback": rollback}, "bakeTimeInMinutes": 60}
    client.create_service(cluster="watched", serviceName=name, taskDefinition=definition(client, name), desiredCount=1, deploymentConfiguration=rules)
    until(lambda: service(client, "watched", name), completed)
    return client, alarms


def while_deployed(bench, client, alarms, name, *flags):
    """Deploys, and sets the alarm off while it goes on; what was told."""
    with deploying(bench, "--service", name, "--image", "nginx:1.29", *flags, cluster="watched") as running:
        until(lambda: service(client, "watched", name)["taskDefinition"], lambda arn: arn.endswith(f"/{name}:2"))
        alarms.set_alarm_state(AlarmName=f"{name}-5xx", StateValue="ALARM", StateReason="too many errors")
        return running.over(expect=1)


@check("a deployment whose alarm goes off is rolled back, and `landfall deploy` names the alarm")
def _(bench):
    client, alarms = watched(bench, "alarmed", rollback=True)
    told = while_deployed(bench, client, alarms, "alarmed")
    contains(
        told,
        [
            "deployment failed: alarm detected.",
            "rolling back to deployment ecs-svc/",
            "✗ alarmed  alarmed:2 failed: ECS rolled the service back to alarmed:1",
            "alarm `alarmed-5xx` went off",
            "help: `aws cloudwatch describe-alarm-history --alarm-name alarmed-5xx` tells what it saw",
        ],
    )
    now = until(lambda: service(client, "watched", "alarmed"), completed)
    same(now["taskDefinition"].rpartition(":")[2], "1")
    [story] = [one for one in client.list_service_deployments(cluster="watched", service="alarmed")["serviceDeployments"] if one["status"] == "ROLLBACK_SUCCESSFUL"]
    [story] = client.describe_service_deployments(serviceDeploymentArns=[story["serviceDeploymentArn"]])["serviceDeployments"]
    same(story["alarms"], {"status": "TRIGGERED", "alarmNames": ["alarmed-5xx", "another"], "triggeredAlarmNames": ["alarmed-5xx"]})
    # It is off still: the next deployment doesn't look at it.
    client.update_service(cluster="watched", service="alarmed", deploymentConfiguration={"bakeTimeInMinutes": 0})
    contains(deploy(bench, "--service", "alarmed", "--image", "nginx:1.30", cluster="watched"), ["✓ alarmed  alarmed:3 is stable"])


@check("without rollback the deployment fails and the service stays with it; the JSON names the alarm")
def _(bench):
    client, alarms = watched(bench, "stays", rollback=False)
    report = lines(while_deployed(bench, client, alarms, "stays", "--format", "json"))[-1]
    [told] = report["services"]
    same((told["outcome"], told["alarms"]), ("failed", ["stays-5xx"]))
    same(service(client, "watched", "stays")["deployments"][0]["rolloutState"], "FAILED")


TERRAFORM = """
resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "described-5xx"
  comparison_operator = "GreaterThanThreshold"
  evaluation_periods  = 1
  threshold           = 1
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HTTPCode_Target_5XX_Count"
  period              = 60
  statistic           = "Sum"
  dimensions          = { LoadBalancer = "app/web/0123456789abcdef" }
}

resource "aws_ecs_cluster" "watched" {
  name = "watched"
}

resource "aws_ecs_task_definition" "described" {
  family                = "described"
  container_definitions = jsonencode([{ name = "web", image = "nginx:1.27", memory = 64 }])
}

resource "aws_ecs_service" "described" {
  name            = "described"
  cluster         = aws_ecs_cluster.watched.name
  task_definition = aws_ecs_task_definition.described.arn
  desired_count   = 1
  alarms {
    alarm_names = [aws_cloudwatch_metric_alarm.errors.alarm_name]
    enable      = true
    rollback    = true
  }
}
"""


@check("an alarm and a service that watches it come from Terraform")
def _(bench):
    infra = bench.folder("infra-alarms")
    (infra / "main.tf").write_text(f'provider "aws" {{\n  region = "{REGION}"\n}}\n' + TERRAFORM)
    beside = bench.beside("--infra", infra)
    client, alarms = aws.client(beside, "ecs", ROOT_KEYS), cloudwatch(beside)
    same(alarms.describe_alarms()["MetricAlarms"][0]["Dimensions"], MEASURED["Dimensions"])
    until(lambda: service(client, "watched", "described"), completed)
    client.update_service(cluster="watched", service="described", deploymentConfiguration={"bakeTimeInMinutes": 60})
    contains(while_deployed(beside, client, alarms, "described"), ["alarm `described-5xx` went off"])


@check("alarms are there on the next start, and Terraform that says the same changes nothing of them")
def _(bench):
    infra, data = bench.folder("infra-alarms-kept"), bench.dir / "alarms-data"
    (infra / "main.tf").write_text(f'provider "aws" {{\n  region = "{REGION}"\n}}\n' + TERRAFORM)
    found = []
    for start in range(2):
        server = Server(bench, "--data", str(data), "--infra", str(infra))
        try:
            beside = copy.copy(bench)
            beside.server = server
            client = cloudwatch(beside)
            if start == 0:
                client.set_alarm_state(AlarmName="described-5xx", StateValue="OK", StateReason="all is well")
                client.put_metric_alarm(AlarmName="by-hand", **MEASURED)
            found.append(client.describe_alarms()["MetricAlarms"])
        finally:
            server.stop()
    same([alarm["AlarmName"] for alarm in found[0]], ["by-hand", "described-5xx"])
    same(found[1], found[0])
