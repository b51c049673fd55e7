"""Every row of tokens.toml: AWS's code, message and status by boto3 and by hand, the reason in the log."""

import base64
import json

import aws
from harness import ROLE, Wrong, add, check, contains, matches, same, table


def token_of(bench, row):
    if "token" in row:
        return row["token"]
    token = bench.token(*row.get("flags", []), repo=row.get("repo", "acme/web"))
    return changed(token, **row["changed"]) if "changed" in row else token


def same_message(message, row):
    if "pattern" in row:
        matches(message, row["pattern"], "message")
    else:
        same(message, row["message"], "message")


def by_boto3(row):
    def run(bench):
        arguments = {"RoleArn": row.get("role", ROLE), "RoleSessionName": "no", "WebIdentityToken": token_of(bench, row)}
        if "duration" in row:
            arguments["DurationSeconds"] = row["duration"]
        sts = aws.client(bench, "sts")
        code, message, status, request_id = aws.refusal(sts.assume_role_with_web_identity, **arguments)
        same((code, status), (row["code"], row["status"]), "code and status")
        same_message(message, row)
        record = bench.server.decision(request_id)
        same((record["outcome"], record["code"]), ("refused", row["code"]), "record of the decision log")
        finding = record["finding"]
        if not finding:
            raise Wrong(f"the decision log gives no reason: {record}")
        if "rule" in row:
            same(finding.get("rule"), row["rule"], "rule of the finding")

    return run


def by_hand(row):
    def run(bench):
        fields = {"RoleArn": row.get("role", ROLE), "RoleSessionName": "raw", "WebIdentityToken": token_of(bench, row)}
        if "duration" in row:
            fields["DurationSeconds"] = row["duration"]
        answer = aws.form(bench, Action="AssumeRoleWithWebIdentity", Version="2011-06-15", **fields)
        same(answer.status, row["status"], "status")
        contains(answer.headers["content-type"], ["text/xml"], "content type")
        contains(answer.text(), ['<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">', "<Type>Sender</Type>"])
        code, message = answer.fault()
        same(code, row["code"], "code")
        same_message(message, row)

    return run


for each in table("tokens.toml", "refused"):
    add(__name__, f"{each['name']}: boto3 sees {each['code']}", by_boto3(each))
    add(__name__, f"{each['name']}: the raw answer is {each['status']} in AWS's envelope", by_hand(each))


def changed(token, **claims):
    """A token whose claims were changed after it was signed."""
    header, payload, signature = token.split(".")
    known = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    text = json.dumps(known | claims).encode()
    return ".".join([header, base64.urlsafe_b64encode(text).decode().rstrip("="), signature])


def unsigned(token):
    """A token that says that it needs no signature."""
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    return f"{header}.{token.split('.')[1]}."


@check("a token of a pull request that was changed into one of main after it was signed opens nothing")
def _(bench):
    forged = changed(bench.token("--event", "pull_request"), sub="repo:acme/web:ref:refs/heads/main")
    sts = aws.client(bench, "sts")
    code, _, status, _ = aws.refusal(
        sts.assume_role_with_web_identity, RoleArn=ROLE, RoleSessionName="forged", WebIdentityToken=forged
    )
    same((code, status), ("InvalidIdentityToken", 400), "code and status")


@check("a token with `alg: none` opens nothing")
def _(bench):
    sts = aws.client(bench, "sts")
    code, _, status, _ = aws.refusal(
        sts.assume_role_with_web_identity, RoleArn=ROLE, RoleSessionName="forged", WebIdentityToken=unsigned(bench.token())
    )
    same((code, status), ("InvalidIdentityToken", 400), "code and status")


@check("a refusal tells its caller nothing of the trust policy")
def _(bench):
    sts = aws.client(bench, "sts")
    token = bench.token("--event", "pull_request")
    _, message, _, _ = aws.refusal(
        sts.assume_role_with_web_identity, RoleArn=ROLE, RoleSessionName="curious", WebIdentityToken=token
    )
    same("acme" in message or "sub" in message, False, f"the message tells: {message}")
