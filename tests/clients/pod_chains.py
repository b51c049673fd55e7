"""How credential chains take the Pod Identity agent at its real address, 169.254.170.23, in a network namespace:
one that works, one that has nothing for the pod, one that hangs, and none. Ours and theirs side by side."""

import json
import os
import pathlib
import re
import sys
import time

import eks
import javascript
from harness import HERE, ROOT, Skip, check, contains, lacks, program, same

HIDES = "169.254.170.23 is not a valid container metadata service hostname"
# How often ours asks an agent that hangs, for three seconds each time.
OURS_ASKED_MAX = 2
# How long others may wait for an agent that hangs, in seconds; some would wait for ever.
THEIRS_SECONDS_MAX = 20
AGENTS = ("works", "404", "hang", "none")


def namespace(bench):
    """`unshare --net`, where it may be had."""
    tools = [program("unshare"), "--net"]
    program("ip")
    if os.geteuid() != 0:
        raise Skip("a network namespace with addresses of its own needs root")
    if bench.run(*tools, "true", expect=None).returncode:
        raise Skip("this machine allows no network namespace")
    return tools


def asked(bench, agent, command):
    """Runs a client with this kind of agent: its exit code, its output, how often the stub was asked."""
    if agent == "works":
        done = eks.pod(bench, "chains", *command, flags=["--netns"], expect=None)
    else:
        token = bench.dir / "pod-token"
        token.write_text("a.b.c")
        environment = bench.environment(
            AWS_CONTAINER_CREDENTIALS_FULL_URI="http://169.254.170.23/v1/credentials",
            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(token),
        )
        stub = [sys.executable, HERE / "stub_agent.py", agent]
        done = bench.run(*namespace(bench), *stub, *command, env=environment, expect=None)
    errors = "\n".join(line for line in done.stderr.splitlines() if not line.startswith(("pod: ", "agent: ")))
    calls = re.search(r"^agent: asked (\d+) times$", done.stderr, re.MULTILINE)
    return done.returncode, done.stdout + errors, int(calls[1]) if calls else None


def said(output):
    """The line that a person reads."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if output.startswith("{"):
        return "found " + json.loads(output)["AccessKeyId"]
    telling = [line for line in lines if "rror" in line or line.startswith("found ")]
    return next(reversed(telling or lines), "(nothing)")


def row(bench, title, command, ends=False):
    """A client with all kinds of agents, and a line of the table for each. 124 is one that was waiting still: only an
    agent that hangs makes any wait, and those that end by themselves are let do so."""
    answers = {}
    for agent in AGENTS:
        limit = [program("timeout"), str(THEIRS_SECONDS_MAX)] if agent == "hang" and not ends else []
        began = time.monotonic()
        answers[agent] = code, output, _ = asked(bench, agent, [*limit, *command])
        print(f"       {title:22} {agent:6} {time.monotonic() - began:5.1f} s  exit {code:3}  {said(output)[:150]}", flush=True)
    return answers


def ours(bench, title, *command):
    """Ours always tells the true cause, and ends by itself."""
    answers = row(bench, title, [*command, bench.landfall, "credentials"], ends=True)
    for agent, code, parts in [
        ("works", 0, ['"AccessKeyId":"ASIA']),
        ("404", 1, ["refused: No Pod Identity association found for the service account.", "pods that were started before there was one"]),
        ("hang", 3, ["it took the connection and did not answer within 3 s"]),
        ("none", 3, ["Connection refused", "is the add-on eks-pod-identity-agent running on this node?"]),
    ]:
        got, output, _ = answers[agent]
        same(got, code, f"exit code with an agent: {agent}\n{output}")
        contains(output, parts, agent)
        lacks(output, [HIDES], agent)
    return answers


def furnished(bench):
    namespace(bench)
    eks.cluster(bench, "pods")
    if not any(one["serviceAccount"] == "chains" for one in associations(bench)):
        eks.associate(bench, "pods", "chains")


def associations(bench):
    return eks.eks(bench).list_pod_identity_associations(clusterName="pods")["associations"]


@check("landfall tells the true cause, whatever the agent does, and soon")
def _(bench):
    furnished(bench)
    calls = ours(bench, "landfall")["hang"][2]
    same(1 <= calls <= OURS_ASKED_MAX, True, f"an agent that hangs is asked {calls} times")


@check("so it does where AWS's SDK for Rust is asked first: there are profiles")
def _(bench):
    furnished(bench)
    config = bench.dir / "config-of-others"
    config.write_text("[profile other]\nregion = eu-west-1\n")
    ours(bench, "landfall, Rust SDK", program("env"), f"AWS_CONFIG_FILE={config}")


@check("AWS's SDK for Rust, as it is, gets credentials by its default chain, and never names another agent's address")
def _(bench):
    furnished(bench)
    chain = pathlib.Path(bench.landfall).parent / "examples/chain"
    if not chain.is_file():
        raise Skip(f"{chain} is not built: `cargo build -p landfall-deliver --examples` makes it")
    answers = row(bench, "Rust", [chain])
    contains(answers["works"][1], ["found ASIA"])
    for agent in ("404", "hang", "none"):
        same(answers[agent][0] != 0, True, f"exit code with an agent: {agent}")
        lacks(answers[agent][1], [HIDES], agent)


@check("the aws CLI and boto3 get credentials, and quote the agent")
def _(bench):
    furnished(bench)
    script = "import boto3; print('found', boto3.Session().get_credentials().access_key)"
    for title, command in [
        ("boto3", [program("python3"), "-c", script]),
        ("aws CLI", [program("aws"), "sts", "get-caller-identity", "--query", "join(' ', ['found', Arn])", "--output", "text"]),
    ]:
        answers = row(bench, title, command)
        contains(answers["works"][1], ["found "], title)
        contains(answers["404"][1], ["Received non 200 response 404", "No Pod Identity association found"], title)


@check("SDK for JavaScript: fromHttp and the default chain get credentials, and the latter hides a refusal")
def _(bench):
    furnished(bench)
    script = javascript.scripts(bench) / "chains.mjs"
    chain = lambda name: row(bench, f"JavaScript {name}", [program("node"), script, name])
    by_http = chain("fromHttp")
    contains(by_http["works"][1], ["found ASIA"])
    contains(by_http["404"][1], ["Server responded with status: 404"])
    same(by_http["hang"][0], 124, "exit code of fromHttp with an agent that hangs")
    by_default = chain("default")
    contains(by_default["works"][1], ["found ASIA"])
    contains(by_default["404"][1], [HIDES])
    contains(chain("fromContainerMetadata")["works"][1], [HIDES])


@check("the chain of November 2023 never asks the agent: the example's old action fails in every case")
def _(bench):
    furnished(bench)
    place = javascript.copied(bench, ROOT / "examples/eks-pod/old-chain", "old-chain")
    for agent, (code, output, _) in row(bench, "JavaScript 3.451", [program("node"), place / "login.mjs"], ends=True).items():
        same(code, 1, agent)
        contains(output, [f"Error: {HIDES}"], agent)
