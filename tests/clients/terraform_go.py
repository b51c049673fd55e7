"""What Terraform's AWS provider does with each of its resources, by AWS's SDK for Go, which it is made of: the
program in `terraform` replays it, and says what is not as the provider expects it.
"""

import functools

import golang
from harness import HERE, REGION, Server, add

RESOURCES = (
    "aws_iam_openid_connect_provider",
    "aws_iam_role",
    "aws_iam_policy",
    "aws_iam_role_policy",
    "aws_iam_role_policy_attachment",
    "aws_ecr_repository",
    "aws_ecr_repository_policy",
    "aws_ecr_lifecycle_policy",
    "aws_ecs_cluster",
    "aws_ecs_task_definition",
    "aws_ecs_service",
)


@functools.cache
def server(bench):
    """A server with nothing in it."""
    made = Server(bench)
    bench.undo.append(made.stop)
    return made


def replay(bench, resource):
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION}
    program = golang.built_here(HERE / "terraform", (1, 24))
    bench.run(program, resource, env=bench.environment(**keys) | {"AWS_ENDPOINT_URL": server(bench).url})


for each in RESOURCES:
    title = f"the SDK for Go: {each}: create, read, change, destroy, as the provider does"
    add(__name__, title, functools.partial(replay, resource=each))
