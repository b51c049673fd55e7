"""What is renewed while it is used: sessions under `exec`, the projected token and the credentials of a pod. The
servers let lifetimes pass many times as fast, so that a session of fifteen minutes ends after fifteen seconds."""

import json
import sys

import aws
import eks
from harness import ACCOUNT, ROLE, check, contains, matches, program, same

OTHER = "210987654321"
# Calls until so many sessions were seen; every call has to work.
BOTO3 = """
import boto3, sys, time
seen, client = [], boto3.Session().client("sts")
deadline = time.monotonic() + 300
while len(set(seen)) < int(sys.argv[1]) and time.monotonic() < deadline:
    client.get_caller_identity()
    seen.append(client._request_signer._credentials.get_frozen_credentials().access_key)
print("sessions", len(set(seen)), "calls", len(seen) > 5)
"""
# Calls for longer than a session lasts; every call has to work. And calls until one doesn't.
CLI = 'end=$(($(date +%s) + 16)); while [ $(date +%s) -le $end ]; do "$0" sts get-caller-identity --query Arn --output text || exit 7; done'
CLI_ENDS = 'while "$0" sts get-caller-identity --query Arn --output text; do :; done; exit 7'
# The token of the pod is another one after a while; the agent takes the new one, and the old one no more.
TOKENS = """
import os, pathlib, time, urllib.request, urllib.error
file = pathlib.Path(os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
def ask(token):
    request = urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers={"Authorization": token})
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
# A token that isn't the old one, and is taken: between reading and asking its time may be up.
def new(old, deadline=time.monotonic() + 300):
    while time.monotonic() < deadline:
        token = file.read_text()
        status = ask(token) if token != old else "the same"
        if status == 200:
            break
        time.sleep(0.05)
    return token, status
first, status = new("")
print("first", status)
second, status = new(first)
print("second", status)
deadline = time.monotonic() + 300
while ask(first) == 200 and time.monotonic() < deadline:
    time.sleep(0.05)
print("old", ask(first))
"""


def from_token(bench, *words):
    """`exec` with a session of a quarter of an hour, and the words that follow."""
    file = bench.dir / "token-renewal"
    file.write_text(bench.token())
    return [bench.landfall, "exec", "--role", ROLE, "--web-identity-token-file", file, "--role-duration-seconds", "900", *words]


@check("boto3 and the aws CLI go on working under `exec` when the session ends, and don't with plain keys")
def _(bench):
    hasty = bench.beside("--infra", "examples/github-ecr/infra", "--time-lapse", "60")
    said = hasty.run(*from_token(hasty, "--", sys.executable, "-c", BOTO3, "3"))
    same(said.stdout, "sessions 3 calls True\n", said.stderr)
    cli = lambda script: [program("sh"), "-c", script, program("aws")]
    said = hasty.run(*from_token(hasty, "--", *cli(CLI)))
    contains(said.stdout, ["assumed-role/github-oidc-role/"], "who the CLI is")
    ended = hasty.run(*from_token(hasty, "--env", "--", *cli(CLI_ENDS)), expect=7)
    contains(ended.stderr, ["expired"], "what the CLI says with keys that nobody renews")


@check("a pod's token is renewed before it ends, and the agent takes the new one only")
def _(bench):
    hasty = bench.beside("--time-lapse", "200")
    eks.cluster(hasty, "pods")
    eks.associate(hasty, "pods", "renewed")
    said = eks.pod(hasty, "renewed", sys.executable, "-c", TOKENS, flags=["--token-lifetime", "600"])
    contains(said.stdout, ["first 200\n", "second 200\n", "old 400 Service account token failed basic claim validations"], said.stderr)


def chained(bench, name, trust_actions=("sts:AssumeRole", "sts:TagSession"), condition=None, **more):
    """An association whose role takes one of another account's; gives the association."""
    first, target = f"arn:aws:iam::{ACCOUNT}:role/{name}", f"arn:aws:iam::{OTHER}:role/{name}-target"
    iam = aws.client(bench, "iam", eks.ROOT_KEYS)
    made = eks.associate(bench, "pods", name, targetRoleArn=target, **more)
    allow = {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": target}
    iam.put_role_policy(RoleName=name, PolicyName="on", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": allow}))
    statement = {"Effect": "Allow", "Principal": {"AWS": first}, "Action": list(trust_actions), "Condition": condition or {}}
    theirs = aws.client(bench, "iam", (OTHER, "test"))
    theirs.create_role(RoleName=f"{name}-target", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    return made


def identity(bench, name, expect=0):
    """Who the pod is, by the aws CLI."""
    cli = [program("aws"), "sts", "get-caller-identity", "--query", "Arn", "--output", "text"]
    return eks.pod(bench, name, *cli, expect=expect)


@check("a pod takes a role of another account, with the external id and the session tags that its trust policy asks for")
def _(bench):
    beside = bench.beside()
    eks.cluster(beside, "pods")
    external = f"{eks.REGION}/{ACCOUNT}/pods/build/chain"
    wanted = {"sts:ExternalId": external, "aws:RequestTag/kubernetes-namespace": "build", "aws:RequestTag/kubernetes-service-account": "chain"}
    made = chained(beside, "chain", condition={"StringEquals": wanted})
    same((made["externalId"], made["targetRoleArn"]), (external, f"arn:aws:iam::{OTHER}:role/chain-target"))
    matches(identity(beside, "chain").stdout.strip(), rf"arn:aws:sts::{OTHER}:assumed-role/chain-target/eks-pods-chain-0-[0-9a-f-]{{36}}")
    # Another id than the association's opens nothing.
    chained(beside, "stranger", condition={"StringEquals": {"sts:ExternalId": external}})
    refused = identity(beside, "stranger", expect=None)
    contains(refused.stderr, [eks.NO_PODS])
    # Without the right to tag, only an association without session tags gets through; and then there are none.
    chained(beside, "tagless", trust_actions=["sts:AssumeRole"])
    contains(identity(beside, "tagless", expect=None).stderr, [eks.NO_PODS])
    chained(beside, "untagged", trust_actions=["sts:AssumeRole"], disableSessionTags=True)
    contains(identity(beside, "untagged").stdout, ["assumed-role/untagged-target/"])
    chained(beside, "asked", condition={"StringEquals": {"aws:RequestTag/kubernetes-namespace": "build"}}, disableSessionTags=True)
    contains(identity(beside, "asked", expect=None).stderr, [eks.NO_PODS])


@check("the credentials of a pod with a target role are renewed, for boto3 that goes on calling")
def _(bench):
    hasty = bench.beside("--time-lapse", "150")
    eks.cluster(hasty, "pods")
    chained(hasty, "lasting")
    said = eks.pod(hasty, "lasting", sys.executable, "-c", BOTO3, "2")
    same(said.stdout, "sessions 2 calls True\n", said.stderr)
