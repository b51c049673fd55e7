"""GitLab pipelines with the real clients: the aws CLI exchanges the token in the script, skopeo pushes; and what STS says
to a GitLab that it can't reach."""

import json
import os
import pathlib
import re
import socket

from harness import NOBODY, ROOT, Server, add, check, contains, lacks, program, same, table
from rehearsals import example, nothing_left, points_at, rehearsing, temporary_files

ISSUER = "https://gitlab.example.com"
ROLE = "arn:aws:iam::123456789012:role/gitlab-deploy"


def with_aws(bench):
    """The environment of somebody who rehearses, with the aws CLI in the PATH."""
    folder = os.path.dirname(program("aws"))
    environment = rehearsing(bench)
    return {**environment, "PATH": f"{folder}:{environment['PATH']}"}


@check("the example works with the aws CLI: the token is exchanged in the script, and both jobs push")
def _(bench):
    environment, before = with_aws(bench), temporary_files(bench)
    said = bench.run(bench.landfall, "rehearse", "examples/gitlab", cwd=ROOT, env=environment)
    contains(
        said.stdout,
        [
            "the crossing works",
            f"role    {ROLE}",
            "taken by project_path:mygroup/myproject:ref_type:branch:ref:main",
            "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/web",
            "sts:AssumeRoleWithWebIdentity",
            "sts:GetCallerIdentity",
            "assumed-role/gitlab-deploy/GitLabRunner-",
            "ecr:PutImage",
            "latest",
        ],
    )
    lacks(said.stdout, ["eyJ"])
    nothing_left(bench, before)


def refusal(row):
    def run(bench):
        environment = with_aws(bench)
        place, before = example(bench, row.get("edit"), ROOT / "examples/gitlab"), temporary_files(bench)
        command = [bench.landfall, "rehearse", "example", *row.get("flags", [])]
        said = bench.run(*command, cwd=place.parent, env=environment, expect=1)
        output = said.stdout + said.stderr
        contains(output, row["says"])
        lacks(output, ["the crossing works", "panicked", "eyJ", *row.get("never", [])])
        points_at(output, place, row.get("places", []))
        nothing_left(bench, before)

    return run


for each in table("gitlab.toml", "refusal"):
    add(__name__, f"refused: {each['name']}", refusal(each))


@check("a script as it is for GitLab, with skopeo: the registry's name leads to the local one, its login too")
def _(bench):
    environment = with_aws(bench)
    program("skopeo")
    place = example(bench, None, ROOT / "examples/gitlab")
    pipeline = place / "project/.gitlab-ci.yml"
    text = pipeline.read_text().replace(
        '    - landfall ecr login\n    - landfall push --dir image --entrypoint /srv/start.sh "$IMAGE:$CI_COMMIT_SHORT_SHA"\n',
        "    - aws ecr get-login-password | skopeo login --username AWS --password-stdin ${IMAGE%/*}\n"
        "    - skopeo copy --preserve-digests docker://$IMAGE:first docker://$IMAGE:second\n",
    )
    pipeline.write_text(text.replace("$IMAGE:latest", "$IMAGE:first").replace("stage: deploy", "stage: build"))
    (place / "project/deliver.sh").write_text(
        '#!/bin/sh\nset -e\nlandfall ecr login\nlandfall push --dir site --entrypoint /start.sh "$IMAGE:first"\n'
    )
    # `push` comes first, and `assume role` copies what it pushed.
    text = pipeline.read_text().replace("assume role:\n  extends: .aws\n  stage: build", "assume role:\n  extends: .aws\n  stage: deploy")
    pipeline.write_text(text)
    said = bench.run(bench.landfall, "rehearse", "example", cwd=place.parent, env=environment)
    contains(said.stdout, ["the crossing works", "Login Succeeded", "first", "second"])


def assume(bench, server, token):
    """Exchanges a token at a server; tells what the aws CLI says."""
    file = pathlib.Path(bench.dir) / "gitlab-token"
    file.write_text(token)
    environment = {**bench.environment(), "AWS_ENDPOINT_URL": server.url, "AWS_MAX_ATTEMPTS": "1"}
    command = [program("aws"), "sts", "assume-role-with-web-identity", "--role-arn", ROLE]
    command += ["--role-session-name", "me", "--web-identity-token", f"file://{file}", "--region", "eu-west-1"]
    return bench.run(*command, env=environment, expect=None)


def unreachable(listens):
    """A GitLab that nobody listens for, or one that takes calls and never answers."""

    def run(bench):
        program("aws")
        signer = Server(bench, "--issuer", ISSUER)
        try:
            command = [bench.landfall, "token", "gitlab", "--project", "mygroup/myproject", "--issuer", ISSUER]
            token = bench.run(*command, "--endpoint", signer.url).stdout
        finally:
            signer.stop()
        gitlab = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{gitlab.getsockname()[1]}" if listens else NOBODY
        server = Server(bench, "--infra", "examples/gitlab/infra", "--issuer-address", f"gitlab.example.com={address}")
        try:
            said = assume(bench, server, token)
            contains(said.stderr, ["InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider"])
            # As JSON: version 1 of the aws CLI fetches what looks like a URL in a parameter.
            wanted = json.dumps({"Url": f"{ISSUER}/other", "ClientIDList": [ISSUER]})
            create = [program("aws"), "iam", "create-open-id-connect-provider", "--cli-input-json", wanted]
            root = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
            environment = {**bench.environment(), **root, "AWS_ENDPOINT_URL": server.url, "AWS_MAX_ATTEMPTS": "1"}
            said = bench.run(*create, env=environment, expect=None)
            contains(said.stderr, [f"Could not connect to openid configuration of provider: {ISSUER}/other"])
        finally:
            server.stop()
            gitlab.close()

    return run


add(__name__, "a GitLab that can't be reached: STS has no key to verify with, IAM can't connect", unreachable(False))
add(__name__, "a GitLab that never answers: the same, within the five seconds that AWS waits", unreachable(True))


@check("tokens of `landfall token gitlab` are exchanged, and refused for another ref and an audience with a slash")
def _(bench):
    server = Server(bench, "--infra", "examples/gitlab/infra", "--issuer", ISSUER)
    try:
        mint = [bench.landfall, "token", "gitlab", "--project", "mygroup/myproject", "--issuer", ISSUER]
        for flags, says in [
            ([], None),
            (["--ref", "refs/heads/main", "--environment", "production"], None),
            (["--ref", "feature"], "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            (["--ref-type", "tag"], "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            (["--ref-type", "merge-request", "--ref", "x"], "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            (["--aud", f"{ISSUER}/"], "could not be validated"),
            (["--age", "90"], "ExpiredTokenException"),
        ]:
            token = bench.run(*mint, *flags, "--endpoint", server.url).stdout
            said = assume(bench, server, token)
            if says is None:
                same((said.returncode, bool(re.search("AccessKeyId", said.stdout))), (0, True), f"{flags}: {said.stderr}")
            else:
                contains(said.stderr, [says], f"answer to {flags}")
    finally:
        server.stop()
