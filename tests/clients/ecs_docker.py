"""ECS tasks that are really run: by an engine, from images of the local registry, as the roles that they have."""

import contextlib
import json
import socket

import aws
from docker_engine import docker, engine
from ecs import ROOT_KEYS, completed, service, wait
from harness import ACCOUNT, REGION, Server, Skip, check, contains, program, same, until

STATE = {}

# A program without libraries: it says what it was given, and then does as it is told.
SOURCE = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words) {
    setvbuf(stdout, 0, _IOLBF, 0);
    printf("hello %s\n", getenv("WHO") ? getenv("WHO") : "nobody");
    printf("credentials %s\n", getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") ? getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") : "none");
    printf("token %s\n", getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN") ? getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN") : "none");
    if (count > 2 && !strcmp(words[1], "exit")) return atoi(words[2]);
    if (count > 2 && !strcmp(words[1], "serve")) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(words[2]))};
        int on = 1, door = socket(AF_INET, SOCK_STREAM, 0);
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(door, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        if (bind(door, (struct sockaddr *)&at, sizeof at) || listen(door, 8)) return 3;
        for (;;) {
            int guest = accept(door, 0, 0);
            char *answer = "HTTP/1.0 200 OK\r\n\r\nlanded\n";
            if (write(guest, answer, strlen(answer)) < 0) return 4;
            shutdown(guest, SHUT_WR);
            char rest[512];
            while (read(guest, rest, sizeof rest) > 0) {}
            close(guest);
        }
    }
    for (;;) pause();
}
"""

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {"Effect": "Allow", "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], "Resource": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/app"},
        {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/app:*"},
    ],
}


class Place:
    """A bench whose server knows the engine."""

    def __init__(self, bench, host=None, *flags):
        self.bench, self.host = bench, host or engine(bench)
        self.server = Server(bench, *flags, environment={"DOCKER_HOST": self.host})
        bench.undo.append(self.server.stop)
        self.ecs, self.iam, self.ecr = (aws.client(self, name, ROOT_KEYS) for name in ("ecs", "iam", "ecr"))
        self.role("exec", POLICY)
        self.role("app", {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecs:ListClusters", "Resource": "*"}]})
        self.role("powerless", {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
        self.ecr.create_repository(repositoryName="app")
        self.push()
        self.ecs.create_cluster(clusterName="prod")
        aws.client(self, "logs", ROOT_KEYS).create_log_group(logGroupName="/app")

    def role(self, name, policy):
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        self.iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=json.dumps(policy))

    def push(self):
        """Builds the program and pushes it to the local registry as `app:1`."""
        place = self.bench.dir / "ecs-image"
        place.mkdir(exist_ok=True)
        (place / "app.c").write_text(SOURCE)
        made = self.bench.run(program("cc"), "-static", "-o", place / "app", place / "app.c", expect=None)
        if made.returncode:
            raise Skip(f"no static program can be made here: {made.stderr.strip().splitlines()[-1]}")
        (place / "Dockerfile").write_text('FROM scratch\nCOPY app /app\nENTRYPOINT ["/app"]\n')
        name = f"{self.server.address}/app:1"
        docker(self.bench, "build", "--tag", name, place)
        token = self.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        import base64

        password = base64.b64decode(token).decode().partition(":")[2]
        docker(self.bench, "login", "-u", "AWS", "--password-stdin", self.server.address, stdin=password)
        docker(self.bench, "push", name)
        docker(self.bench, "rmi", name)

    def define(self, family, *command, execution="exec", task="app", image="app:1", **more):
        container = {
            "name": "main",
            "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{image}",
            "memory": 64,
            "command": list(command),
            "environment": [{"name": "WHO", "value": "world"}],
            "stopTimeout": 2,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": "/app", "awslogs-region": REGION, "awslogs-stream-prefix": "it"},
            },
        } | more
        answer = self.ecs.register_task_definition(
            family=family, executionRoleArn=execution, taskRoleArn=task, containerDefinitions=[container]
        )
        return answer["taskDefinition"]["taskDefinitionArn"]

    def run(self, definition):
        """Runs a task to its end."""
        [task] = self.ecs.run_task(cluster="prod", taskDefinition=definition)["tasks"]
        wait(self.ecs, "tasks_stopped", cluster="prod", tasks=[task["taskArn"]])
        return self.ecs.describe_tasks(cluster="prod", tasks=[task["taskArn"]])["tasks"][0]


def place(bench):
    if "place" not in STATE:
        STATE["place"] = Place(bench)
    return STATE["place"]


def containers(here):
    """Containers of this server: the engine has others of other checks."""
    return docker(here.bench, "ps", "--all", "--quiet", "--filter", f"label=landfall.address={here.server.url}").stdout.split()


@contextlib.contextmanager
def held_port():
    """A port for the program above: it shares ports, and nobody who doesn't gets this one meanwhile."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@check("a task runs, tells its exit code and its log, and leaves no container")
def _(bench):
    here = place(bench)
    task = here.run(here.define("job", "exit", "7"))
    same(task["stoppedReason"], "Essential container in task exited")
    same(task["stopCode"], "EssentialContainerExited")
    same(task["containers"][0]["exitCode"], 7)
    contains(task["containers"][0]["imageDigest"], ["sha256:"])
    stream = f"it/main/{task['taskArn'].rpartition('/')[2]}"
    events = aws.client(here, "logs", ROOT_KEYS).get_log_events(logGroupName="/app", logStreamName=stream, startFromHead=True)["events"]
    same(events[0]["message"], "hello world")
    same(containers(here), [])
    # By the group's other readers too, when the task has long ended.
    logs = aws.client(here, "logs", ROOT_KEYS)
    [told] = logs.describe_log_streams(logGroupName="/app", logStreamNamePrefix=stream)["logStreams"]
    same(told["firstEventTimestamp"], events[0]["timestamp"])
    found = logs.filter_log_events(logGroupName="/app", logStreamNames=[stream], filterPattern='"hello world" -goodbye')["events"]
    same([(event["logStreamName"], event["message"], event["timestamp"]) for event in found], [(stream, "hello world", events[0]["timestamp"])])


@check("a log group that isn't there, or a right to it, is told by the task; one is made where that is asked for")
def _(bench):
    here = place(bench)
    to = lambda group, **more: {"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": group, "awslogs-region": REGION, "awslogs-stream-prefix": "it", **more}}}
    said = "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create Cloudwatch log "
    refused = here.run(here.define("unloggable", "exit", "0", **to("/other")))
    contains(refused["stoppedReason"], [said + "stream: AccessDeniedException: ", "log-group:/other:log-stream:it/main/"])
    here.iam.put_role_policy(RoleName="exec", PolicyName="streams", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}]}))
    missing = here.run(here.define("ungrouped", "exit", "0", **to("/other")))
    contains(missing["stoppedReason"], [said + "stream: ResourceNotFoundException: The specified log group does not exist. status code: 400, request id: "])
    asked = {"awslogs-create-group": "true"}
    contains(here.run(here.define("creating", "exit", "0", **to("/other", **asked)))["stoppedReason"], [said + "group: AccessDeniedException: ", "log-group:/other:log-stream: because no identity-based policy allows the logs:CreateLogGroup action"])
    here.iam.put_role_policy(RoleName="exec", PolicyName="groups", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:CreateLogGroup", "Resource": "*"}]}))
    same(here.run(here.define("creating", "exit", "7", **to("/other", **asked)))["containers"][0]["exitCode"], 7)
    found = aws.client(here, "logs", ROOT_KEYS).filter_log_events(logGroupName="/other")["events"]
    same(found[0]["message"], "hello world")


@check("an execution role that may not pull, an image that is not there, and secrets are told by the task")
def _(bench):
    here = place(bench)
    refused = here.run(here.define("refused", "exit", "0", execution="powerless"))
    contains(
        refused["stoppedReason"],
        ["ResourceInitializationError: unable to pull secrets or registry auth", "assumed-role/powerless/", "is not authorized to perform: ecr:GetAuthorizationToken"],
    )
    same(refused["stopCode"], "TaskFailedToStart")
    missing = here.run(here.define("missing", "exit", "0", image="app:2"))
    contains(missing["stoppedReason"], ["CannotPullContainerError: ", "app:2: not found"])
    secret = here.run(here.define("secret", "exit", "0", secrets=[{"name": "A", "valueFrom": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/a"}]))
    contains(secret["stoppedReason"], ["ResourceInitializationError: ", "unable to retrieve secrets from ssm"])


@check("a service answers on its port, its task has its role, and a deployment that exits at once is rolled back")
def _(bench):
    with held_port() as port:
        answers_on(place(bench), port)


def answers_on(here, port):
    good = here.define("web", "serve", str(port), portMappings=[{"containerPort": port}])
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    here.ecs.create_service(cluster="prod", serviceName="web", taskDefinition=good, desiredCount=1, deploymentConfiguration=breaker)
    until(lambda: service(here.ecs, "prod", "web"), completed)
    same(aws.answers(f"http://127.0.0.1:{port}/"), "landed\n")
    [arn] = here.ecs.list_tasks(cluster="prod", serviceName="web")["taskArns"]
    [task] = here.ecs.describe_tasks(cluster="prod", tasks=[arn])["tasks"]
    same(task["containers"][0]["networkBindings"][0]["hostPort"], port)
    # What the container was given works for whoever has it, and for nobody else.
    stream = f"it/main/{arn.rpartition('/')[2]}"
    logs = aws.client(here, "logs", ROOT_KEYS)
    read = lambda: logs.get_log_events(logGroupName="/app", logStreamName=stream, startFromHead=True)["events"]
    lines = [event["message"] for event in until(read, lambda events: len(events) >= 3)]
    address, token = (line.partition(" ")[2] for line in lines[1:3])
    same(aws.http(address, headers={"Authorization": "guess"}).status, 401)
    given = json.loads(aws.http(address, headers={"Authorization": token}).text())
    session = aws.client(here, "ecs", (given["AccessKeyId"], given["SecretAccessKey"], given["Token"]))
    same(session.list_clusters()["clusterArns"], [f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod"])
    same(aws.refusal(session.list_task_definitions)[0], "AccessDeniedException")
    bad = here.define("web", "exit", "1")
    failing = here.ecs.update_service(cluster="prod", service="web", taskDefinition=bad)["service"]["deployments"][0]["id"]
    back = until(
        lambda: service(here.ecs, "prod", "web"), lambda now: completed(now) and now["deployments"][0]["id"] != failing
    )
    same(back["taskDefinition"], good)
    same(aws.answers(f"http://127.0.0.1:{port}/"), "landed\n")
    stopped = here.ecs.list_tasks(cluster="prod", serviceName="web", desiredStatus="STOPPED")["taskArns"]
    codes = {task["containers"][0].get("exitCode") for task in here.ecs.describe_tasks(cluster="prod", tasks=stopped)["tasks"]}
    same(codes, {1})


@check("nothing is left behind when the server ends")
def _(bench):
    here = place(bench)
    same(len(containers(here)) > 0, True, "a task runs")
    here.server.stop()
    same(containers(here), [])
