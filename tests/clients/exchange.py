"""A token is exchanged for a session, and the session is used, by the aws CLI and boto3."""

import datetime
import json
import re

import aws
from harness import ACCOUNT, ISSUER, REGION, ROLE, check, contains, matches, program, same


def with_session(bench, credentials, **more):
    key, secret, session_token = credentials
    return bench.environment(
        AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=session_token, **more
    )


@check("`landfall token github` mints what GitHub would: claims by name, five minutes, signed with a published key")
def _(bench):
    token = bench.token()
    decoded = json.loads(bench.run(bench.landfall, "token", "decode", "-", stdin=token).stdout)
    claims = decoded["claims"]
    same(claims["iss"], ISSUER, "iss")
    same(claims["aud"], "sts.amazonaws.com", "aud")
    same(claims["sub"], "repo:acme/web:ref:refs/heads/main", "sub")
    same(claims["exp"] - claims["iat"], 300, "lifetime")
    same(decoded["header"]["alg"], "RS256", "alg")


@check("boto3: AssumeRoleWithWebIdentity answers with the parts that AWS answers with")
def _(bench):
    now = lambda: datetime.datetime.now(datetime.timezone.utc)
    client, token, began = aws.client(bench, "sts"), bench.token(), now().replace(microsecond=0)
    answer = client.assume_role_with_web_identity(
        RoleArn=ROLE, RoleSessionName="reader", WebIdentityToken=token, DurationSeconds=900
    )
    matches(answer["Credentials"]["AccessKeyId"], "ASIA[A-Z2-7]{16}", "access key id")
    same(len(answer["Credentials"]["SecretAccessKey"]), 40, "length of the secret")
    given = answer["Credentials"]["Expiration"] - datetime.timedelta(seconds=900)
    same(began <= given <= now(), True, f"900 seconds were asked for, and they begin at {given}")
    same(answer["AssumedRoleUser"]["Arn"], f"arn:aws:sts::{ACCOUNT}:assumed-role/github-oidc-role/reader", "Arn")
    matches(answer["AssumedRoleUser"]["AssumedRoleId"], "AROA[A-Z0-9]{17}:reader", "AssumedRoleId")
    same(answer["SubjectFromWebIdentityToken"], "repo:acme/web:ref:refs/heads/main", "subject")
    same(answer["Provider"], f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com", "Provider")
    same(answer["Audience"], "sts.amazonaws.com", "Audience")


@check("boto3: a session is who it says it is")
def _(bench):
    identity = aws.client(bench, "sts", aws.exchange(bench, bench.token())).get_caller_identity()
    same(identity["Arn"], f"arn:aws:sts::{ACCOUNT}:assumed-role/github-oidc-role/reader", "Arn")
    same(identity["Account"], ACCOUNT, "Account")
    matches(identity["UserId"], "AROA[A-Z0-9]{17}:reader", "UserId")


@check("aws CLI: assume-role-with-web-identity, then get-caller-identity shows the assumed role")
def _(bench):
    file = bench.dir / "token-of-cli"
    file.write_text(bench.token())
    asked = ["--role-arn", ROLE, "--role-session-name", "by-cli", "--web-identity-token", f"file://{file}"]
    answer = bench.run(program("aws"), "sts", "assume-role-with-web-identity", *asked, "--output", "json")
    given = json.loads(answer.stdout)["Credentials"]
    credentials = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    identity = bench.run(
        program("aws"), "sts", "get-caller-identity", "--output", "json", env=with_session(bench, credentials)
    )
    same(json.loads(identity.stdout)["Arn"], f"arn:aws:sts::{ACCOUNT}:assumed-role/github-oidc-role/by-cli", "Arn")


@check("aws CLI: finds token and role by itself in AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN")
def _(bench):
    file = bench.dir / "token-of-environment"
    # As `echo "$TOKEN" > FILE` writes it: STS overlooks the newline.
    file.write_text(bench.token() + "\n")
    environment = bench.environment(
        AWS_WEB_IDENTITY_TOKEN_FILE=str(file), AWS_ROLE_ARN=ROLE, AWS_ROLE_SESSION_NAME="by-file"
    )
    identity = bench.run(program("aws"), "sts", "get-caller-identity", "--output", "json", env=environment)
    same(json.loads(identity.stdout)["Arn"], f"arn:aws:sts::{ACCOUNT}:assumed-role/github-oidc-role/by-file", "Arn")


@check("aws CLI: ecr get-login-password gives a password, and get-authorization-token the place to use it")
def _(bench):
    environment = with_session(bench, aws.exchange(bench, bench.token()))
    password = bench.run(program("aws"), "ecr", "get-login-password", env=environment).stdout
    matches(password, r"\S{40,}\n", "password")
    answer = bench.run(program("aws"), "ecr", "get-authorization-token", "--output", "json", env=environment)
    [given] = json.loads(answer.stdout)["authorizationData"]
    contains(given["proxyEndpoint"], [bench.server.address], "proxyEndpoint")


@check("aws CLI: the Terraform's repository is there, and the session may see it")
def _(bench):
    environment = with_session(bench, aws.exchange(bench, bench.token()))
    answer = bench.run(program("aws"), "ecr", "describe-repositories", "--output", "json", env=environment)
    [repository] = json.loads(answer.stdout)["repositories"]
    same(repository["repositoryName"], "web", "repositoryName")
    same(repository["repositoryArn"], f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/web", "repositoryArn")
    same(repository["imageTagMutability"], "MUTABLE", "imageTagMutability")


@check("a session may not do what its role may not: CreateRepository is refused, with AWS's words")
def _(bench):
    ecr = aws.client(bench, "ecr", aws.exchange(bench, bench.token()))
    code, message, status, _ = aws.refusal(ecr.create_repository, repositoryName="extra")
    same((code, status), ("AccessDeniedException", 400), "code and status")
    same(
        message,
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/github-oidc-role/reader is not authorized to perform: "
        f"ecr:CreateRepository on resource: arn:aws:ecr:{REGION}:{ACCOUNT}:repository/extra "
        "because no identity-based policy allows the ecr:CreateRepository action",
        "message",
    )


@check("a session's secret without its token, or with another session's token, is refused")
def _(bench):
    first, second = (aws.exchange(bench, bench.token(), name=name) for name in ("one", "two"))
    for credentials in (first[:2], (*first[:2], second[2]), (*first[:2], first[2][:-8] + "AAAAAAAA")):
        sts = aws.client(bench, "sts", credentials)
        code, message, status, _ = aws.refusal(sts.get_caller_identity)
        same((code, status), ("InvalidClientTokenId", 403), "code and status")
        same(message, "The security token included in the request is invalid.", "message")


@check("the raw answer is AWS's envelope: XML in the service's namespace, the request id in body and header")
def _(bench):
    answer = aws.form(
        bench,
        Action="AssumeRoleWithWebIdentity",
        Version="2011-06-15",
        RoleArn=ROLE,
        RoleSessionName="raw",
        WebIdentityToken=bench.token(),
    )
    same(answer.status, 200, "status")
    contains(answer.headers["content-type"], ["text/xml"], "content type")
    contains(answer.text(), ['<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'])
    request_id = re.search("<RequestId>(.*?)</RequestId>", answer.text()).group(1)
    same(answer.headers["x-amzn-requestid"], request_id, "request id")


@check("the decision log says by which statement of which file a session was given")
def _(bench):
    answer = aws.client(bench, "sts").assume_role_with_web_identity(
        RoleArn=ROLE, RoleSessionName="logged", WebIdentityToken=bench.token()
    )
    record = bench.server.decision(answer["ResponseMetadata"]["RequestId"])
    same((record["outcome"], record["action"]), ("allowed", "sts:AssumeRoleWithWebIdentity"), "record")
    matches(record["allowed_by"][0]["place"], r".*infra/main\.tf:\d+", "place")
