"""CloudWatch Logs by boto3 and the aws CLI: groups as Terraform makes them, streams, and events as `aws logs tail` reads them."""

import copy
import json
import time

import aws
from ecs import ROOT_KEYS
from harness import ACCOUNT, REGION, Server, check, contains, program, same


def logs(bench):
    return aws.client(bench, "logs", ROOT_KEYS)


def arn(name):
    return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"


@check("a log group goes through the calls of Terraform's provider, by boto3")
def _(bench):
    client = logs(bench)
    client.create_log_group(logGroupName="/tf/web", tags={"team": "web"}, logGroupClass="STANDARD")
    client.put_retention_policy(logGroupName="/tf/web", retentionInDays=14)
    pages = client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/tf/web")
    [group] = [group for page in pages for group in page["logGroups"] if group["logGroupName"] == "/tf/web"]
    same((group["arn"], group["logGroupArn"], group["retentionInDays"], group["logGroupClass"]), (arn("/tf/web") + ":*", arn("/tf/web"), 14, "STANDARD"))
    same(client.list_tags_for_resource(resourceArn=arn("/tf/web"))["tags"], {"team": "web"})
    client.tag_resource(resourceArn=arn("/tf/web"), tags={"stage": "prod"})
    client.untag_resource(resourceArn=arn("/tf/web"), tagKeys=["team"])
    client.tag_log_group(logGroupName="/tf/web", tags={"old": "way"})
    client.untag_log_group(logGroupName="/tf/web", tags=["stage"])
    same(client.list_tags_log_group(logGroupName="/tf/web")["tags"], {"old": "way"})
    client.delete_retention_policy(logGroupName="/tf/web")
    client.put_log_group_deletion_protection(logGroupIdentifier="/tf/web", deletionProtectionEnabled=True)
    same(aws.refusal(client.delete_log_group, logGroupName="/tf/web")[0], "ValidationException")
    client.put_log_group_deletion_protection(logGroupIdentifier="/tf/web", deletionProtectionEnabled=False)
    for number in range(3):
        client.create_log_group(logGroupName=f"/tf/page-{number}")
    pages = client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/tf/page", PaginationConfig={"PageSize": 2})
    same([[group["logGroupName"][-1] for group in page["logGroups"]] for page in pages], [["0", "1"], ["2"]])
    same([group["logGroupName"] for group in client.describe_log_groups(logGroupNamePattern="page-1")["logGroups"]], ["/tf/page-1"])
    client.delete_log_group(logGroupName="/tf/web")
    same(aws.refusal(client.delete_log_group, logGroupName="/tf/web")[:2], ("ResourceNotFoundException", "The specified log group does not exist."))
    same(aws.refusal(client.create_log_group, logGroupName="/tf/page-0")[:2], ("ResourceAlreadyExistsException", "The specified log group already exists"))


@check("events are written, found by terms, followed as `aws logs tail --follow` does it, and gone with their stream")
def _(bench):
    client, now = logs(bench), int(time.time() * 1000)
    client.create_log_group(logGroupName="/app")
    for name in ("a", "b"):
        client.create_log_stream(logGroupName="/app", logStreamName=name)
        events = [{"timestamp": now - 1000 + number * 10 + (name == "b"), "message": f"{name}{number} {'ERROR' if number == 1 else 'INFO'}"} for number in range(3)]
        same("rejectedLogEventsInfo" in client.put_log_events(logGroupName="/app", logStreamName=name, logEvents=events), False)
    texts = lambda events: [event["message"].split()[0] for event in events]
    pages = client.get_paginator("filter_log_events").paginate(logGroupName="/app", interleaved=True, startTime=now - 60_000, PaginationConfig={"PageSize": 4})
    pages = [page["events"] for page in pages]
    same([texts(page) for page in pages], [["a0", "b0", "a1", "b1"], ["a2", "b2"]])
    last = pages[-1][-1]
    # What `tail --follow` asks next: from the last moment on, and leaves out the ids that it has seen.
    client.put_log_events(logGroupName="/app", logStreamName="a", logEvents=[{"timestamp": now, "message": "a3 INFO"}])
    more = client.filter_log_events(logGroupName="/app", interleaved=True, startTime=last["timestamp"])["events"]
    same((more[0]["eventId"], texts(more)), (last["eventId"], ["b2", "a3"]))
    same(texts(client.filter_log_events(logGroupName="/app", filterPattern="ERROR")["events"]), ["a1", "b1"])
    same(texts(client.filter_log_events(logGroupIdentifier=arn("/app"), logStreamNamePrefix="b", startFromHead=False, filterPattern="-ERROR")["events"]), ["b2", "b0"])
    contains(aws.refusal(client.filter_log_events, logGroupName="/app", filterPattern="{ $.a = 1 }")[1], ["Invalid filter pattern", "JSON"])
    stamps = [{"timestamp": now - 15 * 86_400_000, "message": "old"}, {"timestamp": now, "message": "a4"}, {"timestamp": now + 3 * 3_600_000, "message": "new"}]
    told = client.put_log_events(logGroupName="/app", logStreamName="a", logEvents=stamps)["rejectedLogEventsInfo"]
    same(told, {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 2})
    [first, second] = client.describe_log_streams(logGroupName="/app", orderBy="LastEventTime", descending=True)["logStreams"]
    same((first["logStreamName"], first["lastEventTimestamp"], second["logStreamName"]), ("a", now, "b"))
    same(texts(client.get_log_events(logGroupName="/app", logStreamName="a", limit=2)["events"]), ["a3", "a4"])
    client.delete_log_stream(logGroupName="/app", logStreamName="a")
    same(texts(client.filter_log_events(logGroupName="/app")["events"]), ["b0", "b1", "b2"])
    client.delete_log_group(logGroupName="/app")


@check("the aws CLI describes groups and reads events")
def _(bench):
    environment = bench.environment(AWS_ACCESS_KEY_ID=ROOT_KEYS[0], AWS_SECRET_ACCESS_KEY=ROOT_KEYS[1])
    run = lambda *words, expect=0: bench.run(program("aws"), "logs", *words, "--output", "json", env=environment, expect=expect)
    run("create-log-group", "--log-group-name", "/cli", "--tags", "team=web")
    run("create-log-stream", "--log-group-name", "/cli", "--log-stream-name", "s")
    run("put-log-events", "--log-group-name", "/cli", "--log-stream-name", "s", "--log-events", f"timestamp={int(time.time() * 1000)},message=hello")
    same(json.loads(run("describe-log-groups", "--log-group-name-prefix", "/cli").stdout)["logGroups"][0]["storedBytes"], len("hello") + 26)
    same([event["message"] for event in json.loads(run("filter-log-events", "--log-group-name", "/cli").stdout)["events"]], ["hello"])
    contains(run("get-log-events", "--log-group-name", "/none", "--log-stream-name", "s", expect=None).stderr, ["(ResourceNotFoundException)", "The specified log group does not exist."])
    run("delete-log-group", "--log-group-name", "/cli")


TERRAFORM = """
resource "aws_cloudwatch_log_group" "service" {
  for_each          = toset(["web", "api"])
  name              = "/ecs/${each.key}"
  retention_in_days = RETENTION
  tags              = { team = each.key }
}
"""


@check("log groups come from Terraform, are brought up to date, and keep their events and what was made by hand")
def _(bench):
    infra, data = bench.folder("infra-log-groups"), bench.dir / "log-groups-data"
    found = []
    for start, days in enumerate((14, 30)):
        (infra / "main.tf").write_text(f'provider "aws" {{\n  region = "{REGION}"\n}}\n' + TERRAFORM.replace("RETENTION", str(days)))
        server = Server(bench, "--data", str(data), "--infra", str(infra))
        try:
            beside = copy.copy(bench)
            beside.server = server
            client = logs(beside)
            if start == 0:
                client.create_log_group(logGroupName="/by/hand")
                client.create_log_stream(logGroupName="/ecs/web", logStreamName="s")
                client.put_log_events(logGroupName="/ecs/web", logStreamName="s", logEvents=[{"timestamp": int(time.time() * 1000), "message": "kept"}])
            events = client.get_log_events(logGroupName="/ecs/web", logStreamName="s")["events"]
            same([event["message"] for event in events], ["kept"])
            same(client.list_tags_for_resource(resourceArn=arn("/ecs/api"))["tags"], {"team": "api"})
            found.append([(group["logGroupName"], group.get("retentionInDays")) for group in client.describe_log_groups()["logGroups"]])
        finally:
            server.stop()
    same(found, [[("/by/hand", None), ("/ecs/api", days), ("/ecs/web", days)] for days in (14, 30)])
