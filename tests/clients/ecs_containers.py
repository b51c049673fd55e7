"""What a task definition says of its containers, done by every engine that can be had."""

import json
import signal
import time
import urllib.parse

import aws
import docker_engine
import engines
from ecs import ROOT_KEYS, wait
from engine_between import Between, ask
from harness import ACCOUNT, HERE, REGION, SERVER_SECONDS_MAX, Server, Skip, Wrong, add, contains, free_port, lacks, program, same, table, until

# Each with a network for containers, but the last, which has only the machine's.
ENGINES = {"docker": engines.docker, "podman": engines.podman, "docker without a bridge": docker_engine.engine}
PLACES, TASKS = {}, {}
# How long a container that is told to stop is waited for where its definition says nothing, in seconds.
STOP_SECONDS_DEFAULT = 30
# How often a container may be killed for its memory without a word from its engine: it is about once in twenty.
OOM_TRIES = 5


class Place:
    """A server that knows one engine, with the probe in its registry."""

    def __init__(self, bench, kind, *flags, between=None):
        self.bench, self.kind, self.host = bench, kind, ENGINES[kind](bench)
        host = Between(bench, self.host, between).host if between else self.host
        self.server = Server(bench, *flags, environment={"DOCKER_HOST": host})
        bench.undo.append(self.server.stop)
        self.ecs, self.iam, self.ecr, self.logs = (aws.client(self, name, ROOT_KEYS) for name in ("ecs", "iam", "ecr", "logs"))
        self.ecr.create_repository(repositoryName="probe")
        trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        self.iam.create_role(RoleName="exec", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust}))
        managed = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
        self.iam.attach_role_policy(RoleName="exec", PolicyArn=managed)
        self.push()
        self.ecs.create_cluster(clusterName="prod")
        self.logs.create_log_group(logGroupName="/probe")

    def push(self):
        place = self.bench.dir / "probe-image"
        if not place.exists():
            (place / "work").mkdir(parents=True)
            made = self.bench.run(program("cc"), "-static", "-o", place / "probe", HERE / "probe.c", expect=None)
            if made.returncode:
                raise Skip(f"no static program can be made here: {made.stderr.strip().splitlines()[-1]}")
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": self.server.url}
        words = ["push", "--dir", place, "--entrypoint", "/probe", f"{self.server.address}/probe:1"]
        self.bench.run(self.bench.landfall, *words, env=self.bench.environment(**keys))

    def define(self, family, containers, network="bridge", own_memory=True, **more):
        defaults = {
            "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/probe:1",
            "stopTimeout": 2,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": "/probe", "awslogs-region": REGION, "awslogs-stream-prefix": "it"},
            },
        } | ({"memory": 64} if own_memory else {})
        containers = [defaults | one | {"command": one["command"].split()} for one in containers]
        answer = self.ecs.register_task_definition(
            family=family, networkMode=network, containerDefinitions=containers, **more
        )
        return answer["taskDefinition"]["taskDefinitionArn"]

    def start(self, definition):
        [task] = self.ecs.run_task(cluster="prod", taskDefinition=definition, **self.vpc(definition))["tasks"]
        return task["taskArn"]

    def vpc(self, definition):
        known = self.ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
        vpc = {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}}
        return vpc if known.get("networkMode") == "awsvpc" else {}

    def described(self, task):
        return self.ecs.describe_tasks(cluster="prod", tasks=[task])["tasks"][0]

    def ended(self, task):
        wait(self.ecs, "tasks_stopped", cluster="prod", tasks=[task])
        return self.described(task)

    def running(self, task):
        wait(self.ecs, "tasks_running", cluster="prod", tasks=[task])
        return self.described(task)

    def log(self, task, container):
        """What a container wrote; one that never started has no stream."""
        stream = f"it/{container}/{task.rpartition('/')[2]}"
        try:
            events = self.logs.get_log_events(logGroupName="/probe", logStreamName=stream, startFromHead=True)["events"]
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events]

    def left(self, kind="containers"):
        """What the engine has with this server's label: ids of containers, or names of volumes."""
        path = "/containers/json?all=true" if kind == "containers" else "/volumes?all=true"
        filters = urllib.parse.quote(json.dumps({"label": [f"landfall.address={self.server.url}"]}))
        known = json.loads(ask(self.host, "GET", f"{path}&filters={filters}").partition(b"\r\n\r\n")[2])
        known = known["Volumes"] if isinstance(known, dict) else known
        return sorted(one.get("Id") or one.get("Name") for one in known or [])


def place(bench, kind):
    """The place that checks of one engine share; another one where a check has ended its server."""
    known = PLACES.get(kind)
    if known is None or (isinstance(known, Place) and known.server.process.poll() is not None):
        try:
            PLACES[kind] = Place(bench, kind)
        except Skip as reason:
            PLACES[kind] = reason
    if isinstance(PLACES[kind], Skip):
        raise PLACES[kind]
    return PLACES[kind]


ROWS = table("ecs_containers.toml", "task")


def all_tasks(here):
    """Every row's task, started side by side: none waits for another."""
    if here.kind not in TASKS:
        TASKS[here.kind] = {}
        for number, row in enumerate(ROWS):
            if here.kind in row.get("not_by", {}):
                continue
            family = f"row-{number}"
            own = row.get("own_memory", True)
            definition = here.define(family, row["containers"], row["network"], own, **row.get("more", {}))
            TASKS[here.kind][row["name"]] = here.start(definition)
    return TASKS[here.kind]


def row_check(row, kind):
    def run(bench):
        here = place(bench, kind)
        if kind in row.get("not_by", {}):
            raise Skip(row["not_by"][kind])
        arn = all_tasks(here)[row["name"]]
        task = here.ended(arn)
        containers = {one["name"]: one for one in task["containers"]}
        ends = {name: (one.get("exitCode"), one.get("reason")) for name, one in containers.items()}
        logs = {name: here.log(arn, name) for name in containers} if row.get("says") or row.get("never") else {}
        told = f"{task['stoppedReason']}\n  {ends}\n  {logs}"
        if "exit" in row:
            got = {name: containers[name].get("exitCode") for name in row["exit"]}
            same(got, row["exit"], f"exit codes, in {told}")
        for name, lines in row.get("says", {}).items():
            in_order(logs[name], lines, told)
        for name, texts in row.get("never", {}).items():
            lacks("\n".join([*logs[name], ""]), texts, f"the log of {name}")
        contains(task["stoppedReason"], [row.get("reason", "")], "stoppedReason")
        for name, text in row.get("because", {}).items() if kind not in row.get("silent", []) else []:
            told_or_untold(here, task, name, text)
        same(task["lastStatus"], "STOPPED")

    return run


def told_or_untold(here, task, name, text):
    """The reason of a container that was killed for its memory: the server tells it whenever its engine does.

    With version 1 of control groups, containerd now and then takes a group away before it has read that its memory ran
    out. Docker then notes nothing, and the task is run once more."""
    for _ in range(OOM_TRIES):
        [container] = [one for one in task["containers"] if one["name"] == name]
        if text in container.get("reason", "") or noted_out_of_memory(here, container["runtimeId"]):
            break
        task = here.ended(here.start(task["taskDefinitionArn"]))
    contains(container.get("reason", ""), [text], f"the reason of {name}, in {task['stoppedReason']}: {container}")


def noted_out_of_memory(here, container):
    filters = urllib.parse.quote(json.dumps({"container": [container], "event": ["oom"]}))
    answer = ask(here.host, "GET", f"/events?since=1&until={time.time():.3f}&filters={filters}")
    head, _, events = answer.partition(b"\r\n\r\n")
    contains(head.decode(), [" 200 "], "the engine's events")
    return bool(events.strip())


def in_order(lines, wanted, told):
    rest = iter(lines)
    for text in wanted:
        if not any(text in line for line in rest):
            raise Wrong(f"the log lacks {text!r}, or has it elsewhere: {lines}\n{told}")


def ports(bench, kind):
    here = place(bench, kind)
    fixed = free_port()
    mappings = [{"containerPort": 7101}, {"containerPort": 7102, "hostPort": fixed}]
    serving = [
        {"name": "main", "command": "term 0 serve 7101 first", "portMappings": mappings[:1]},
        {"name": "side", "command": "term 0 serve 7102 second", "portMappings": mappings[1:]},
    ]
    definition = here.define("ports", serving)
    first = here.start(definition)
    task = here.running(first)
    bound = {one["name"]: one["networkBindings"] for one in task["containers"]}
    same([(one["containerPort"], one["hostPort"], one["protocol"]) for one in bound["side"]], [(7102, fixed, "tcp")])
    same(bound["main"][0]["containerPort"], 7101)
    same(bound["main"][0]["hostPort"] not in (0, 7101), True, "a host port that the engine chose")
    same(aws.answers(f"http://127.0.0.1:{bound['main'][0]['hostPort']}/"), "first\n")
    same(aws.answers(f"http://127.0.0.1:{fixed}/"), "second\n")
    # A second task beside it, as on another instance: the host port that is taken is another one here.
    second = here.start(definition)
    other = {one["name"]: one["networkBindings"] for one in here.running(second)["containers"]}
    same(other["side"][0]["hostPort"] not in (0, fixed), True, f"another host port: {other}")
    same(aws.answers(f"http://127.0.0.1:{other['side'][0]['hostPort']}/"), "second\n")
    for arn in (first, second):
        here.ecs.stop_task(cluster="prod", task=arn)
    vpc = here.define("vpc-ports", [{"name": "main", "command": "term 0 serve 7103 inside", "portMappings": [{"containerPort": 7103}]}], "awsvpc")
    arn = here.start(vpc)
    [bound] = here.running(arn)["containers"][0]["networkBindings"]
    same(bound["containerPort"], 7103)
    same(aws.answers(f"http://127.0.0.1:{bound['hostPort']}/"), "inside\n")
    here.ecs.stop_task(cluster="prod", task=arn)


def stopped(bench, kind):
    here = place(bench, kind)
    asked = here.define("asked", [{"name": "main", "command": "term 3 say waits wait"}])
    deaf = here.define("deaf", [{"name": "main", "command": "wait", "stopTimeout": 2}])
    tasks = {name: here.start(definition) for name, definition in (("asked", asked), ("deaf", deaf))}
    for arn in tasks.values():
        here.running(arn)
    until(lambda: here.log(tasks["asked"], "main"), lambda lines: "waits" in lines)
    began = time.monotonic()
    for arn in tasks.values():
        here.ecs.stop_task(cluster="prod", task=arn, reason="the checks are done with it")
    task = here.ended(tasks["asked"])
    same((task["containers"][0]["exitCode"], task["stopCode"], task["stoppedReason"]), (3, "UserInitiated", "the checks are done with it"))
    contains("\n".join(here.log(tasks["asked"], "main")), ["asked to end"])
    task = here.ended(tasks["deaf"])
    same(task["containers"][0]["exitCode"], 137)
    took = time.monotonic() - began
    same(2 <= took < STOP_SECONDS_DEFAULT, True, f"killed after stopTimeout, and it took {took:.1f} s")


def unhealthy(bench, kind):
    here = place(bench, kind)
    check = {"command": ["CMD", "/probe", "say", "not", "exit", "1"], "interval": 5, "timeout": 2, "retries": 1}
    arn = here.start(here.define("sick", [{"name": "main", "command": "term 0 wait", "healthCheck": check}]))
    task = until(lambda: here.described(arn), lambda task: task["healthStatus"] != "UNKNOWN")
    same((task["healthStatus"], task["lastStatus"]), ("UNHEALTHY", "RUNNING"), "a task of no service goes on")
    here.ecs.stop_task(cluster="prod", task=arn)
    here.ended(arn)


def writes_much(bench, kind):
    """Each line once and in order, however many come between two looks; of more than are kept the newest, and that said."""
    here = place(bench, kind)
    numbers = lambda first, last: [str(number) for number in range(first, last + 1)]
    arn = here.start(here.define("much", [{"name": "main", "command": "count 4000 sleep 700 count 5000 exit 0"}]))
    here.ended(arn)
    # Podman 4 ends lines where a pipe was read, and not where they end.
    as_told = "".join if kind.startswith("podman") else list
    same(as_told(here.log(arn, "main")), as_told(numbers(1, 4000) + numbers(1, 5000)))
    arn = here.start(here.define("more", [{"name": "main", "command": "count 25000 exit 0"}]))
    here.ended(arn)
    stream = {"logGroupName": "/probe", "logStreamName": f"it/main/{arn.rpartition('/')[2]}", "startFromHead": True}
    page = here.logs.get_log_events(**stream)
    rest = here.logs.get_log_events(**stream, nextToken=page["nextForwardToken"])
    first, *lines = [event["message"] for event in page["events"] + rest["events"]]
    contains(first, ["lines are missing here"])
    same(len(lines), 10_000)
    same(as_told(lines)[-4000:], as_told(numbers(15001, 25000))[-4000:])


def started_again(bench, kind):
    """What `restartPolicy` brings back: a container that ran for its minute, until its exit code is ignored."""
    here = Place(bench, kind, "--time-lapse", "30")
    # Here a minute is two seconds: the one runs three times as long, the other nothing like its minute.
    for name, period, milliseconds, code, lines in (("long", 60, 6_000, 0, ["runs", "runs"]), ("short", 1_800, 10, 3, ["runs"])):
        policy = {"enabled": True, "restartAttemptPeriod": period, "ignoredExitCodes": [0]}
        one = {"name": "main", "command": f"say runs first {milliseconds} 3 exit 0", "restartPolicy": policy}
        # The essential one ends the task when it is not brought back.
        arn = here.start(here.define(name, [one]))
        task = here.ended(arn)
        same((task["containers"][0].get("exitCode"), here.log(arn, "main")), (code, lines), name)
        same(task["stoppedReason"], "Essential container in task exited")
    here.server.stop()


def nothing_left(bench, kind):
    here = place(bench, kind)
    arn = here.start(here.define("last", [{"name": "main", "command": "wait", "mountPoints": [{"sourceVolume": "data", "containerPath": "/a"}]}], "awsvpc", volumes=[{"name": "data"}]))
    here.running(arn)
    same((len(here.left()) > 0, len(here.left("volumes")) > 0), (True, True), "there is something")
    here.server.stop()
    same((here.left(), here.left("volumes")), ([], []), "containers and volumes")


def killed(bench, kind):
    """A server that is killed leaves containers behind; the next one removes them, and not those of one that lives."""
    data = bench.folder(f"killed-{kind.replace(' ', '-')}")
    lives, dies = Place(bench, kind), Place(bench, kind, "--data", data)
    forever = [{"name": "main", "command": "wait"}]
    kept = lives.start(lives.define("lives", forever, "awsvpc"))
    lives.running(kept)
    before = lives.left()
    lost = dies.start(dies.define("dies", forever, "awsvpc"))
    dies.running(lost)
    same((len(before) > 0, len(dies.left()) > 0), (True, True), "both have containers")
    dies.server.process.send_signal(signal.SIGKILL)
    dies.server.process.wait(SERVER_SECONDS_MAX)
    same(len(dies.left()) > 0, True, "they outlive it")
    again = Server(bench, "--data", data, environment={"DOCKER_HOST": dies.host})
    try:
        same((dies.left(), lives.left()), ([], before), "what is left once the next server has begun")
        again_here = type("Again", (), {"server": again, "bench": bench})()
        client = aws.client(again_here, "ecs", ROOT_KEYS)
        wait(client, "tasks_stopped", cluster="prod", tasks=[lost])
        [task] = client.describe_tasks(cluster="prod", tasks=[lost])["tasks"]
        same(task["stoppedReason"], "Essential container in task exited: the server that ran it has ended")
        same(lives.described(kept)["lastStatus"], "RUNNING", "the other server's task")
    finally:
        again.stop()
        lives.server.stop()
    same(lives.left(), [], "and in the end nothing")


def told_to_end(bench, kind):
    """Whatever ends a server politely leaves nothing."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        here = Place(bench, kind)
        here.running(here.start(here.define("ends", [{"name": "main", "command": "wait"}], "awsvpc")))
        same(len(here.left()) > 0, True, "there are containers")
        here.server.process.send_signal(number)
        here.server.process.wait(SERVER_SECONDS_MAX)
        same(here.left(), [], f"after {number.name}")


for kind in ENGINES:
    if kind != "docker without a bridge":
        for row in ROWS:
            add(f"ecs_{kind}_containers", row["name"], row_check(row, kind))
        for title, function in (
            ("host ports: fixed, chosen by the engine, and another one where it is taken", ports),
            ("StopTask asks, and kills after stopTimeout", stopped),
            ("a health check that fails is the task's health", unhealthy),
            ("a container that writes much in no time has each of its lines in its stream, once and in order", writes_much),
            ("restartPolicy starts a container again that ran long enough, until its exit code is ignored", started_again),
        ):
            add(f"ecs_{kind}_containers", title, lambda bench, function=function, kind=kind: function(bench, kind))
    for title, function in (
        ("nothing is left when the server ends", nothing_left),
        ("what a killed server leaves is removed by the next one, and nothing of one that lives", killed),
        ("Ctrl-C, SIGTERM and a closed terminal leave nothing", told_to_end),
    ):
        add(f"ecs_{kind}_containers".replace(" without a bridge", "_without_a_bridge"), title, lambda bench, function=function, kind=kind: function(bench, kind))
