"""Every operation that the server has, against AWS's own models; the last of all checks, because it asks what the others
have called."""

import re

import aws
import shapes
from harness import CHECKS, ROOT, Skip, check, same

KEYS = ("test", "test")
# Where the server has its operations as types.
TABLE = ROOT / "crates/landfall-serve/src/authz/operations.rs"
SERVICES = ("cloudwatch", "codedeploy", "ecr", "ecr-public", "ecs", "eks", "eks-auth", "iam", "logs", "sts")
# What is refused to everybody here, and why; the checks see the refusals.
REFUSED = {
    ("ecr", "StopReplicationBackfill"): "all end at once",
    ("ecs", "ContinueServiceDeployment"): "hooks of Lambda functions alone can be gone on with",
    ("ecs", "ExecuteCommand"): "there is no session manager",
    ("iam", "DeactivateMFADevice"): "no user has a device",
    ("iam", "DeleteLoginProfile"): "no user has a password",
    ("iam", "DeleteSSHPublicKey"): "no user has an SSH key",
    ("iam", "DeleteServiceSpecificCredential"): "no user has a credential of a single service",
    ("iam", "DeleteSigningCertificate"): "no user has a certificate",
    ("iam", "GetAccountPasswordPolicy"): "no account has a policy for passwords",
    ("iam", "GetLoginProfile"): "no user has a password",
    ("iam", "UpdateLoginProfile"): "no user has a password",
    ("sts", "AssumeRoot"): "no account is in an organization",
    ("sts", "DecodeAuthorizationMessage"): "no message is encoded",
}
# What is there beside the table: exchanges, which need no permission, and what STS refuses to accounts like these.
BESIDE = {("sts", name) for name in ("AssumeRoleWithWebIdentity", "AssumeRoleWithSAML", "GetWebIdentityToken")}
UNKNOWN = {"UnknownOperationException", "InvalidAction"}


def table():
    """(service, operation) of the server's own table."""
    rows = re.findall(r'"([a-z-]+)": ((?:\w+,?\s*)+);', TABLE.read_text())
    return {(service, name) for service, names in rows for name in re.findall(r"\w+", names)}


def model(bench, service):
    """A client of a service."""
    region = "us-east-1" if service == "ecr-public" else "eu-west-1"
    return aws.client(bench, service, KEYS, region=region)


@check("boto3: an operation of AWS's models that isn't here is refused as an unknown one, and not as anything else")
def _(bench):
    has, wrong = table(), []
    for service in SERVICES:
        client = model(bench, service)
        for method, operation in client.meta.method_to_api_mapping.items():
            shape = client.meta.service_model.operation_model(operation)
            if (service, operation) in has or (service, operation) in BESIDE:
                continue
            members = shape.input_shape.members if shape.input_shape else {}
            named = {name: "x" for name, member in members.items() if member.serialization.get("location") == "uri"}
            code, message, _, _ = aws.refusal(getattr(client, method), **named)
            if code not in UNKNOWN:
                wrong.append(f"{service}:{operation}: {code}: {message}")
    same(wrong, [], "operations that are neither here nor unknown")


@check("boto3: each operation that the server has, but for those that are refused to everybody, was answered in a check, as AWS's model has it")
def _(bench):
    if len(shapes.RAN) < len(CHECKS) - 1:
        raise Skip("it asks what all other checks have called, and not all of them were run")
    missing = table() - shapes.ANSWERED - set(REFUSED)
    same(sorted(missing), [], "operations that no check has seen answered")
    same(sorted(set(REFUSED) - table()), [], "operations of the exceptions that the server doesn't have")
