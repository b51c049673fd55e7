"""Tasks in networks of their own as the roles that they have: AWS's SDK for Go in real containers, by every engine.

Nothing tells the program where AWS is or who it is: the SDK finds out, as it does on AWS.
"""

import json
import re

import aws
import golang
from ecs_containers import Place, place
from engine_between import ask
from harness import ACCOUNT, HERE, REGION, add, contains, lacks, matches, same, until

ROLES = {"app": ["ecr:DescribeRepositories", "ecr:GetAuthorizationToken"], "other": ["ecs:ListClusters"]}
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/task-role:1"
PREPARED = set()


def prepare(here):
    """The roles, and the program's image."""
    if here.server.url in PREPARED:
        return here
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    for name, actions in ROLES.items():
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
        here.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        here.iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=json.dumps(policy))
    here.ecr.create_repository(repositoryName="task-role")
    program = golang.built_here(HERE / "task_role", (1, 24))
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": here.server.url}
    words = ["push", "--dir", program.parent, "--entrypoint", "/task_role", f"{here.server.address}/task-role:1"]
    here.bench.run(here.bench.landfall, *words, env=here.bench.environment(**keys))
    PREPARED.add(here.server.url)
    return here


def define(here, family, command, network, role="app", **more):
    container = {
        "name": "main",
        "image": IMAGE,
        "command": command,
        # There is no instance here to ask.
        "environment": [{"name": "AWS_EC2_METADATA_DISABLED", "value": "true"}],
    }
    roles = {"taskRoleArn": role} if role else {}
    return here.define(family, [container | more], network, **roles)


def log_of(here, family, command, network, **more):
    """What a task of one container writes until it ends; the task, and its lines."""
    arn = here.start(define(here, family, command, network, **more))
    task = here.ended(arn)
    lines = here.log(arn, "main")
    same(task["containers"][0].get("exitCode"), 0, f"exit code, with {task['stoppedReason']} and {lines}")
    return task, lines


def allowed_and_refused(bench, kind, network):
    here = prepare(place(bench, kind))
    command = "provider identity repositories clusters login"
    task, lines = log_of(here, f"role-{network}", command, network)
    identity = f"arn:aws:sts::{ACCOUNT}:assumed-role/app/{task['taskArn'].rpartition('/')[2]}"
    same(lines[:3], ["provider CredentialsEndpointProvider true", f"identity {identity}", "repositories probe"])
    contains(lines[3], ["clusters refused AccessDeniedException", identity, "not authorized to perform: ecs:ListClusters"])
    same(lines[4], "login http://127.0.0.1:51679", "the registry, as it is reached from there")


def nothing_else(bench, kind):
    """Of this server a container reaches what a task needs: not what callers on this machine may do."""
    here = prepare(place(bench, kind))
    paths = ["/_landfall/decisions", "/_landfall/health", "/_landfall/pod", "/_landfall/logs/a/b", "/v1/credentials"]
    command = "root identity " + " ".join(f"get {path}" for path in paths) + " post /_landfall/token post /_landfall/gc"
    _, lines = log_of(here, "nothing-else", command, "bridge")
    contains(lines[0], ["identity refused InvalidClientTokenId"], "the root key that everyone knows")
    for line in lines[1:]:
        lacks(line, [" 200 "], "what is not for containers")


def only_its_own(bench, kind):
    here = prepare(place(bench, kind))
    arn = here.start(define(here, "its-own", "address wait", "awsvpc", role="other"))
    here.running(arn)
    [line] = until(lambda: here.log(arn, "main"), lambda lines: len(lines) == 1)
    base, id = matches(line, r"address (http://127\.0\.0\.1:51679)/v2/credentials/([0-9a-f-]{36})", "what the container is given").groups()
    _, lines = log_of(here, "not-its-own", f"get /v2/credentials/{id} get /v2/credentials/ identity", "awsvpc")
    contains(lines[0], ["400", '"code":"InvalidIdInRequest"', "CredentialsV2Request: Credentials not found"])
    contains(lines[1], ["400", '"code":"NoIdInRequest"'])
    contains(lines[2], ["assumed-role/app/"])
    here.ecs.stop_task(cluster="prod", task=arn)
    here.ended(arn)


def without_a_role(bench, kind):
    here = prepare(place(bench, kind))
    _, lines = log_of(here, "no-role", "address identity metadata /task", "awsvpc", role=None)
    same(lines[0], "address ", "no address of credentials")
    contains(lines[1], ["identity failed"])
    contains("\n".join(lines), ['metadata Family "no-role"'])


def two_servers(bench, kind):
    """Two servers on one machine: each answers its own containers."""
    first, second = prepare(place(bench, kind)), prepare(Place(bench, kind))
    try:
        tasks = [(here, here.start(define(here, "both", "repeat identity", "bridge"))) for here in (first, second)]
        said = lambda: [here.log(arn, "main") for here, arn in tasks]
        for here, arn in tasks:
            here.running(arn)
        # From here on both run: each asks again, and is answered.
        counts = [len(lines) for lines in said()]
        until(said, lambda logs: all(len(lines) > count for lines, count in zip(logs, counts, strict=True)))
        for here, arn in tasks:
            same(here.described(arn)["lastStatus"], "RUNNING")
            here.ecs.stop_task(cluster="prod", task=arn)
            here.ended(arn)
            same(set(here.log(arn, "main")), {f"identity arn:aws:sts::{ACCOUNT}:assumed-role/app/{arn.rpartition('/')[2]}"})
    finally:
        second.server.stop()


def renewed(bench, kind):
    """Credentials that end while a task runs: the SDK fetches others."""
    here = prepare(Place(bench, kind, "--time-lapse", "240"))
    try:
        _, lines = log_of(here, "renewed", "key identity outlive key identity", "awsvpc")
        same(lines[0] != lines[2], True, f"another key: {lines}")
        same(lines[1] == lines[3] and "assumed-role/app/" in lines[1], True, f"the same session name: {lines}")
    finally:
        here.server.stop()


def metadata(bench, kind):
    here = prepare(place(bench, kind))
    tags = [{"key": "team", "value": "web"}]
    ports = [{"containerPort": 8080}]
    limits = {"cpu": "256", "memory": "512"}
    command = "running metadata / metadata /task/stats metadata /taskWithTags metadata /nothing wait"
    container = {"name": "main", "image": IMAGE, "command": command, "cpu": 10, "portMappings": ports, "dockerLabels": {"color": "blue"}}
    definition = here.define("described", [container], "awsvpc", **limits)
    [task] = here.ecs.run_task(cluster="prod", taskDefinition=definition, tags=tags, **here.vpc(definition))["tasks"]
    arn = task["taskArn"]
    # The last one, by its status: the engine's figures have digits of every kind.
    lines = until(lambda: here.log(arn, "main"), lambda lines: any(line.startswith("metadata 404 ") for line in lines))
    told = {line.split()[1]: line.split(" ", 2)[2] for line in lines}
    known = here.described(arn)["containers"][0]
    same(told["DockerId"], json.dumps(known["runtimeId"]))
    same(told["ContainerARN"], json.dumps(known["containerArn"]))
    same((told["Name"], told["Type"], told["Limits"]), ('"main"', '"NORMAL"', '{"CPU":0.25,"Memory":512}'))
    contains(told["Labels"], ['"color":"blue"', '"com.amazonaws.ecs.container-name":"main"', f'"com.amazonaws.ecs.task-arn":"{arn}"'])
    lacks(told["Labels"], ["landfall."], "labels of the server's own")
    contains(told["Ports"], ['"ContainerPort":8080', '"HostPort":8080'])
    contains(told["Networks"], ['"NetworkMode":"awsvpc"', '"IPv4Addresses":["', '"IPv4SubnetCIDRBlock":"'])
    same((told["TaskARN"], told["Cluster"], told["Family"], told["Revision"]), (f'"{arn}"', '"prod"', '"described"', '"1"'))
    same((told["TaskTags"], told["KnownStatus"]), ('{"team":"web"}', '"RUNNING"'))
    contains(told["Containers"], [known["runtimeId"]])
    contains(told[known["runtimeId"]], ['"memory_stats"', '"networks"'], "the engine's figures")
    here.ecs.stop_task(cluster="prod", task=arn)
    here.ended(arn)


def once_refused(bench, kind):
    """An engine that fails now and then: a task that it happened to has its role all the same, or it is told of that task
    alone, and the next ones have theirs.
    """
    refuses = {"left": 0}

    def between(method, path, body):
        if method == "POST" and "/containers/create" in path and b'"/landfall"' in body and refuses["left"]:
            refuses["left"] -= 1
            return b'HTTP/1.0 500 no\r\n\r\n{"message": "no space left in cgroup"}'
        return None

    here = prepare(Place(bench, kind, between=between))
    try:
        for failures, wanted in ((1, "identity arn:aws:sts::"), (2, "identity failed"), (0, "identity arn:aws:sts::")):
            refuses["left"] = failures
            task, [line] = log_of(here, "once", "identity", "awsvpc")
            contains(line, [wanted], f"after {failures} failures")
            same(refuses["left"], 0)
            if failures == 2:
                told = without_agent(here, task)
                contains(told, ["has no credentials of its role", "can't give a container a directory", "no space left in cgroup"])
    finally:
        here.server.stop()


def without_agent(here, task):
    """What the log of decisions says of a task whose port was not handed over."""
    log = aws.http(f"{here.server.url}/_landfall/decisions").text()
    [told] = [line for line in log.splitlines() if "was not handed over" in line and task["taskArn"].rpartition("/")[2] in line]
    return told


def image_taken(bench, kind):
    """Another server ends while this one makes a container, and takes the image of both with it."""
    taken = []

    def between(method, path, body):
        if method == "POST" and "/containers/create" in path and b"landfall-pause" in body and len(taken) < 2:
            [image] = re.findall(rb"localhost/landfall-pause:[0-9]+", body)[:1]
            taken.append(ask(here.host, "DELETE", f"/images/{image.decode()}"))
        return None

    here = Place(bench, kind, between=between)
    try:
        prepare(here)
        _, [line] = log_of(here, "taken", "identity", "awsvpc")
        contains(line, ["identity arn:aws:sts::"])
        same([answer.split(b" ")[1] for answer in taken], [b"200", b"200"], "the image was taken twice")
    finally:
        here.server.stop()


for kind in ("docker", "podman"):
    for title, function in (
        ("awsvpc: the SDK has the task's role, for what it may do and no more", lambda *it: allowed_and_refused(*it, "awsvpc")),
        ("bridge: the SDK has the task's role, for what it may do and no more", lambda *it: allowed_and_refused(*it, "bridge")),
        ("a container reaches nothing of the server but what a task needs", nothing_else),
        ("credentials are those of the task in whose network they are asked for", only_its_own),
        ("a task without a role has no credentials, and its metadata", without_a_role),
        ("two servers on one machine answer each its own containers", two_servers),
        ("credentials that end are fetched anew", renewed),
        ("an engine that refuses a container once takes no role from the tasks after it, and the reason is told", once_refused),
        ("the holders' image is made again when another server has taken it away", image_taken),
        ("the task metadata endpoint tells what the engine and DescribeTasks know", metadata),
    ):
        add(f"ecs_{kind}_roles", title, lambda bench, function=function, kind=kind: function(bench, kind))
