"""`landfall deploy` with containers that really run: what goes wrong in them is told as what it is."""

import re

import aws
from deploy import deploy, deploying, lines
from ecs import completed, service
from ecs_docker import Place, containers, held_port
from harness import ACCOUNT, REGION, check, contains, lacks, same, until

STATE = {}
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
# A check that says nothing before the end of these tests: the deployment stays as it is.
SILENT = 'healthCheck={"command":["CMD","/app","exit","0"],"interval":300,"timeout":60,"retries":10}'


def place(bench):
    if "place" not in STATE:
        STATE["place"] = Place(bench)
    return STATE["place"]


def run(here, *flags, expect=0):
    return deploy(here.bench, *flags, server=here.server, cluster="prod", expect=expect)


def served(here, name, breaker=True, **more):
    """A service whose container waits, stable."""
    rules = {"deploymentConfiguration": BREAKER} if breaker else {}
    good = here.define(name, "wait", **more)
    here.ecs.create_service(cluster="prod", serviceName=name, taskDefinition=good, desiredCount=1, **rules)
    until(lambda: service(here.ecs, "prod", name), completed)


@check("a service is deployed, and its new container answers")
def _(bench):
    here = place(bench)
    served(here, "web")
    with held_port() as port:
        told = run(here, "--service", "web", "--command", f"serve {port}", "--set", f'main:portMappings=[{{"containerPort":{port}}}]')
        contains(told, ["registered web:2", "has started 1 tasks", "deployment completed", "✓ web  web:2 is stable  1 task running"])
        same(aws.answers(f"http://127.0.0.1:{port}/"), "landed\n")


@check("an image that isn't there: rolled back, with the pull error and what to do")
def _(bench):
    here = place(bench)
    served(here, "noimage")
    told = run(here, "--service", "noimage", "--image", f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/app:none", expect=1)
    contains(told, ["✗ noimage  noimage:2 failed: ECS rolled the service back to noimage:1", "× CannotPullContainerError", "help: no such image"])
    same(service(here.ecs, "prod", "noimage")["taskDefinition"].rpartition(":")[2], "1")


@check("a container that exits at once, with the circuit breaker: rolled back, with exit code and last lines")
def _(bench):
    here = place(bench)
    served(here, "exits")
    told = run(here, "--service", "exits", "--command", "exit 3", expect=1)
    contains(told, ["✗ exits  exits:2 failed: ECS rolled the service back to exits:1", "`main` exited with code 3", "│ hello world", "/app, it/main/"])


@check("a container that exits at once, without it: told after three tasks or more, and a rollback brings it back")
def _(bench):
    here = place(bench)
    served(here, "loops", breaker=False)
    told = run(here, "--service", "loops", "--command", "exit 4", expect=1)
    contains(told, ["tasks of loops:2 failed; ECS goes on trying, no circuit breaker is on", "`main` exited with code 4", "│ hello world"])
    # As many as there were when it was looked at.
    failed = int(re.search(r"✗ loops  (\d+) tasks of loops:2 failed", told)[1])
    same(failed >= 3, True, f"{failed} tasks failed")
    contains(run(here, "rollback", "--service", "loops"), ["loops:2 → loops:1", "✓ loops  loops:1 is stable"])
    told = run(here, "--service", "loops", "--command", "exit 5", "--rollback-on-failure", expect=1)
    contains(told, ["going back to loops:1", "✗ loops", "✓ loops  loops:1 is stable"])
    # The service has gone back: nothing goes on, and a further way back would go too far.
    lacks(told, ["ECS goes on trying", "`landfall deploy rollback"])
    contains(told, ["no circuit breaker is on", "help: `--circuit-breaker rollback` lets ECS go back by itself the next time"])


@check("--rollback-on-failure goes past a revision that never was stable, and leaves a service that has none")
def _(bench):
    here = place(bench)
    served(here, "tried", breaker=False)
    run(here, "--service", "tried", "--command", "exit 4", expect=1)
    told = run(here, "--service", "tried", "--command", "exit 5", "--rollback-on-failure", expect=1)
    contains(told, ["✗ tried  ", " tasks of tried:3 failed", "going back to tried:1 (main ", "the last revision that completed a deployment", "✓ tried  tried:1 is stable"])
    here.ecs.create_service(cluster="prod", serviceName="never", taskDefinition=here.define("never", "exit 3"), desiredCount=1)
    flags = ["--service", "never", "--command", "exit 4", "--rollback-on-failure", "--format", "json"]
    events = lines(run(here, *flags, expect=1))
    [report] = events[-1]["services"]
    same((report["outcome"], report["notRolledBack"]), ("failing", "ECS tells of no revision that ever completed a deployment of it"))
    same([one["reason"] for one in events if one["event"] == "notRolledBack"], [report["notRolledBack"]])
    told = run(here, "rollback", "--service", "never", expect=1)
    contains(told, ["ECS tells of no other revision that completed a deployment of it: nothing was changed", "help: `--to never:1`"])
    same(service(here.ecs, "prod", "never")["taskDefinition"].rpartition(":")[2], "2")
    here.ecs.update_service(cluster="prod", service="never", desiredCount=0)


@check("a health check that never passes is told as that")
def _(bench):
    here = place(bench)
    served(here, "sick")
    failing = 'main:healthCheck={"command":["CMD","/app","exit","1"],"interval":5,"timeout":2,"retries":1}'
    told = run(here, "--service", "sick", "--set", failing, expect=1)
    contains(told, ["✗ sick  sick:2 failed: ECS rolled the service back to sick:1", "Task failed container health checks", "help: the container's healthCheck fails"])


@check("a deployment superseded midway, and a timeout")
def _(bench):
    here = place(bench)
    served(here, "contested")
    other = here.define("contested", "wait", environment=[{"name": "OTHER", "value": "1"}])
    with deploying(bench, "--service", "contested", "--set", f"main:{SILENT}", server=here.server, cluster="prod") as running:
        running.says("begins, 1 task wanted")
        here.ecs.update_service(cluster="prod", service="contested", taskDefinition=other)
        contains(running.over(expect=1), ["✗ contested  superseded: somebody deployed contested:2", "before contested:3 was stable"])
    until(lambda: service(here.ecs, "prod", "contested"), completed)
    # Without it, it would be watched for half an hour.
    report = lines(run(here, "--service", "contested", "--set", f"main:{SILENT}", "--timeout", "3s", "--format", "json", expect=1))[-1]
    same([one["outcome"] for one in report["services"]], ["timeout"])


@check("a task runs to its end: its lines as they come, its exit code as ours")
def _(bench):
    here = place(bench)
    here.define("job", "wait")
    told = run(here, "run-task", "--family", "job", "--command", "exit 0", "--env", "WHO=a=b")
    contains(told, ["│ hello a=b", "✓ task", "ended with exit code 0"])
    told = run(here, "run-task", "--family", "job", "--command", "exit 7", expect=7)
    contains(told, ["│ hello world", "Essential container in task exited; `main` exited with code 7"])
    here.define("lost", "wait", image="app:none")
    told = run(here, "run-task", "--family", "lost", expect=1)
    contains(told, ["CannotPullContainerError", "help: no such image"])
    lacks(told, ["null"])
    told = run(here, "run-task", "--family", "job", "--timeout", "2s", "--stop", expect=1)
    contains(told, ["not ended after 2 s; the task was told to stop"])


@check("nothing is left behind when this server ends")
def _(bench):
    here = place(bench)
    same(len(containers(here)) > 0, True, "tasks run")
    here.server.stop()
    same(containers(here), [])
