"""STS by boto3 and the aws CLI: every operation, for someone who may and for someone who may not."""

import base64
import json
import re
import time

import aws
from harness import Wrong, check, contains, matches, program, same
from root_key import allow

HOME = "666677778888"
OTHER = "777788889999"
ROOT = (HOME, "test")
ARN = f"arn:aws:iam::{HOME}:"
GITLAB = "https://gitlab.com"
SUBJECT = "project_path:acme/web:ref_type:branch:ref:main"
TAKE = allow("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity", "sts:GetFederationToken")


def by_account(account, *actions):
    """A trust policy for an account."""
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": list(actions)}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def by_gitlab(subject=SUBJECT, operator="StringEquals"):
    """A trust policy for jobs of gitlab.com, with the subject as its one condition."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": f"{ARN}oidc-provider/gitlab.com"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {operator: {"gitlab.com:sub": subject}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def home(bench):
    """Two users of one account, alice who may and bob who may not, and the roles that they are after."""
    if hasattr(bench, "sts_users"):
        return bench.sts_users
    iam = aws.client(bench, "iam", ROOT)
    keys = {}
    for name in ("alice", "bob"):
        iam.create_user(UserName=name)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        keys[name] = (made["AccessKeyId"], made["SecretAccessKey"])
    iam.put_user_policy(UserName="alice", PolicyName="take", PolicyDocument=TAKE)
    every = ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity")
    iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=by_account(HOME, *every), MaxSessionDuration=7200)
    iam.put_role_policy(RoleName="deploy", PolicyName="more", PolicyDocument=allow("sts:AssumeRole", "ecr:*"))
    theirs = aws.client(bench, "iam", (OTHER, "test"))
    theirs.create_role(RoleName="release", AssumeRolePolicyDocument=by_account(HOME, "sts:AssumeRole"))
    iam.create_open_id_connect_provider(Url=GITLAB, ClientIDList=[GITLAB])
    iam.create_role(RoleName="gitlab", AssumeRolePolicyDocument=by_gitlab())
    bench.sts_users = keys
    return keys


def client(bench, name):
    return aws.client(bench, "sts", home(bench)[name])


def credentials(answer):
    given = answer["Credentials"]
    return given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]


def refused(call, code, status, *sentences, **arguments):
    """A call that AWS refuses like this."""
    got_code, message, got_status, _ = aws.refusal(call, **arguments)
    same((got_code, got_status), (code, status), f"code and status of: {message}")
    contains(message, sentences, "message")
    return message


def gitlab_token(bench, subject=SUBJECT, audience=GITLAB):
    """A job's ID token, as gitlab.com would have made it."""
    now = int(time.time())
    claims = {
        "iss": GITLAB,
        "sub": subject,
        "aud": audience,
        "iat": now,
        "nbf": now - 5,
        "exp": now + 3600,
        "jti": "0b1c2d3e",
        "project_path": "acme/web",
        "ref": "main",
        "ref_type": "branch",
    }
    answer = aws.http(
        f"{bench.server.url}/_landfall/token",
        "POST",
        json.dumps({"claims": claims}).encode(),
        {"content-type": "application/json"},
    )
    if answer.status != 200:
        raise Wrong(f"no token: {answer.status} {answer.text()}")
    return json.loads(answer.body)["value"]


@check("boto3: GetCallerIdentity says of root, user, session and federated user who they are")
def _(bench):
    alice = client(bench, "alice")
    session = credentials(alice.assume_role(RoleArn=f"{ARN}role/deploy", RoleSessionName="ci"))
    federated = credentials(alice.get_federation_token(Name="guest"))
    mine = credentials(alice.get_session_token())
    for who, wanted in (
        (ROOT, f"{ARN}root"),
        (home(bench)["alice"], f"{ARN}user/alice"),
        (mine, f"{ARN}user/alice"),
        (session, f"arn:aws:sts::{HOME}:assumed-role/deploy/ci"),
        (federated, f"arn:aws:sts::{HOME}:federated-user/guest"),
    ):
        identity = aws.client(bench, "sts", who).get_caller_identity()
        same((identity["Arn"], identity["Account"]), (wanted, HOME), "identity")


@check("boto3: AssumeRole answers with the session that was asked for, and refuses whoever may not")
def _(bench):
    asked = {
        "RoleArn": f"{ARN}role/deploy",
        "RoleSessionName": "ci",
        "DurationSeconds": 7200,
        "Tags": [{"Key": "Team", "Value": "web"}],
        "TransitiveTagKeys": ["Team"],
        "SourceIdentity": "alice",
        "Policy": allow("ecr:DescribeRepositories"),
    }
    answer = client(bench, "alice").assume_role(**asked)
    matches(answer["Credentials"]["AccessKeyId"], "ASIA[A-Z2-7]{16}", "access key id")
    matches(answer["AssumedRoleUser"]["AssumedRoleId"], "AROA[A-Z0-9]{17}:ci", "AssumedRoleId")
    same(answer["SourceIdentity"], "alice", "SourceIdentity")
    same(0 <= answer["PackedPolicySize"] <= 100, True, f"PackedPolicySize {answer['PackedPolicySize']}")
    # The session policy counts: the role has all of ECR.
    ecr = aws.client(bench, "ecr", credentials(answer))
    same(ecr.describe_repositories()["repositories"], [], "repositories")
    refused(
        ecr.create_repository, "AccessDeniedException", 400,
        "because no session policy allows the ecr:CreateRepository action", repositoryName="web",
    )
    refused(
        client(bench, "bob").assume_role, "AccessDenied", 403,
        f"User: {ARN}user/bob is not authorized to perform: sts:AssumeRole on resource: {ARN}role/deploy",
        RoleArn=asked["RoleArn"], RoleSessionName="ci",
    )
    refused(
        client(bench, "alice").assume_role, "ValidationError", 400,
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        RoleArn=asked["RoleArn"], RoleSessionName="ci", DurationSeconds=7201,
    )
    refused(
        aws.client(bench, "sts", ROOT).assume_role, "AccessDenied", 403,
        "Roles may not be assumed by root accounts.", RoleArn=asked["RoleArn"], RoleSessionName="ci",
    )


@check("boto3: a chain of roles into another account lasts an hour, and no longer")
def _(bench):
    deploy = credentials(client(bench, "alice").assume_role(RoleArn=f"{ARN}role/deploy", RoleSessionName="ci"))
    chained = aws.client(bench, "sts", deploy)
    release = f"arn:aws:iam::{OTHER}:role/release"
    answer = chained.assume_role(RoleArn=release, RoleSessionName="next", DurationSeconds=3600)
    same(answer["AssumedRoleUser"]["Arn"], f"arn:aws:sts::{OTHER}:assumed-role/release/next", "Arn")
    refused(
        chained.assume_role, "ValidationError", 400,
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        RoleArn=release, RoleSessionName="next", DurationSeconds=3601,
    )


@check("boto3: GetSessionToken is for users, not for sessions; a device that nobody has is refused")
def _(bench):
    answer = client(bench, "alice").get_session_token(DurationSeconds=900)
    session = aws.client(bench, "sts", credentials(answer))
    refused(session.get_session_token, "AccessDenied", 403, "Cannot call GetSessionToken with session credentials")
    refused(
        client(bench, "alice").get_session_token, "AccessDenied", 403, "MultiFactorAuthentication failed",
        SerialNumber=f"{ARN}mfa/alice", TokenCode="123456",
    )
    refused(
        client(bench, "alice").get_session_token, "ValidationError", 400,
        "Member must have value greater than or equal to 900", DurationSeconds=899,
    )


@check("boto3: GetFederationToken gives what user and policy both allow, and refuses whoever may not")
def _(bench):
    iam = aws.client(bench, "iam", ROOT)
    iam.put_user_policy(UserName="alice", PolicyName="ecr", PolicyDocument=allow("ecr:*"))
    answer = client(bench, "alice").get_federation_token(Name="guest", Policy=allow("ecr:DescribeRepositories", "s3:*"))
    same(answer["FederatedUser"]["Arn"], f"arn:aws:sts::{HOME}:federated-user/guest", "Arn")
    ecr = aws.client(bench, "ecr", credentials(answer))
    same(ecr.describe_repositories()["repositories"], [], "repositories")
    refused(
        ecr.create_repository, "AccessDeniedException", 400,
        f"arn:aws:sts::{HOME}:federated-user/guest is not authorized to perform: ecr:CreateRepository",
        repositoryName="web",
    )
    refused(
        client(bench, "bob").get_federation_token, "AccessDenied", 403,
        f"User: {ARN}user/bob is not authorized to perform: sts:GetFederationToken", Name="guest",
    )


@check("boto3: GetAccessKeyInfo tells the account of a key; what is no key, and who may not ask, is refused")
def _(bench):
    answer = client(bench, "alice").get_session_token()["Credentials"]["AccessKeyId"]
    iam = aws.client(bench, "iam", ROOT)
    iam.put_user_policy(UserName="alice", PolicyName="look", PolicyDocument=allow("sts:GetAccessKeyInfo"))
    for key in (answer, home(bench)["alice"][0]):
        same(client(bench, "alice").get_access_key_info(AccessKeyId=key)["Account"], HOME, key)
    short = "Member must have length greater than or equal to 16"
    refused(client(bench, "alice").get_access_key_info, "ValidationError", 400, short, AccessKeyId="AKIA")
    sentence = f"User: {ARN}user/bob is not authorized to perform: sts:GetAccessKeyInfo"
    refused(client(bench, "bob").get_access_key_info, "AccessDenied", 403, sentence, AccessKeyId=answer)


@check("boto3: what this side has no use for is refused with an error of AWS's")
def _(bench):
    root = aws.client(bench, "sts", ROOT)
    encoded = "x" * 40
    refused(
        root.decode_authorization_message, "InvalidAuthorizationMessageException", 400, EncodedMessage=encoded
    )
    sentence = f"User: {ARN}user/bob is not authorized to perform: sts:DecodeAuthorizationMessage"
    refused(client(bench, "bob").decode_authorization_message, "AccessDenied", 403, sentence, EncodedMessage=encoded)
    assertion = base64.b64encode(b"<Response/>").decode()
    anyone = aws.client(bench, "sts")
    for call, arguments in (
        (anyone.assume_role_with_saml, {
            "RoleArn": f"{ARN}role/deploy", "PrincipalArn": f"{ARN}saml-provider/corp", "SAMLAssertion": assertion,
        }),
        (root.assume_root, {
            "TargetPrincipal": OTHER, "TaskPolicyArn": {"arn": "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"},
        }),
    ):
        _, message, status, request_id = aws.refusal(call, **arguments)
        same(400 <= status < 500 and bool(message) and bool(request_id), True, f"{status} {message}")


# What the documentation of GitLab has in its job, line by line.
SCRIPT = r"""
set -euo pipefail
export $(printf "AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_SESSION_TOKEN=%s" \
$(aws sts assume-role-with-web-identity \
--role-arn ${ROLE_ARN} \
--role-session-name "GitLabRunner-${CI_PROJECT_ID}-${CI_PIPELINE_ID}" \
--web-identity-token ${GITLAB_OIDC_TOKEN} \
--duration-seconds 3600 \
--query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' \
--output text))
aws sts get-caller-identity --output json
"""


def gitlab_job(bench, token, expect=0):
    """Runs the script as a job of GitLab's would."""
    path = f"{program('aws').rsplit('/', 1)[0]}:{bench.environment()['PATH']}"
    environment = bench.environment(
        PATH=path,
        ROLE_ARN=f"{ARN}role/gitlab",
        CI_PROJECT_ID="42",
        CI_PIPELINE_ID="7",
        GITLAB_OIDC_TOKEN=token,
    )
    return bench.run("bash", "-c", SCRIPT, env=environment, expect=expect)


@check("aws CLI: a job of GitLab's takes its role with the script of GitLab's documentation")
def _(bench):
    home(bench)
    identity = json.loads(gitlab_job(bench, gitlab_token(bench)).stdout)
    same(identity["Arn"], f"arn:aws:sts::{HOME}:assumed-role/gitlab/GitLabRunner-42-7", "Arn")


@check("aws CLI: another branch, and a wildcard under StringEquals, get GitLab's job the error that its documentation explains")
def _(bench):
    home(bench)
    refused_so = [
        "An error occurred (AccessDenied) when calling the AssumeRoleWithWebIdentity operation",
        "Not authorized to perform sts:AssumeRoleWithWebIdentity",
    ]
    branch = gitlab_token(bench, subject=SUBJECT.replace("ref:main", "ref:next"))
    contains(gitlab_job(bench, branch, expect=None).stderr, refused_so, "another branch")
    iam = aws.client(bench, "iam", ROOT)
    wildcard = by_gitlab("project_path:acme/web:ref_type:branch:ref:*")
    iam.update_assume_role_policy(RoleName="gitlab", PolicyDocument=wildcard)
    contains(gitlab_job(bench, gitlab_token(bench), expect=None).stderr, refused_so, "StringEquals")
    like = wildcard.replace("StringEquals", "StringLike")
    iam.update_assume_role_policy(RoleName="gitlab", PolicyDocument=like)
    contains(gitlab_job(bench, gitlab_token(bench)).stdout, ["assumed-role/gitlab/"], "StringLike")
    iam.update_assume_role_policy(RoleName="gitlab", PolicyDocument=by_gitlab())
    slash = gitlab_token(bench, audience=GITLAB + "/")
    contains(gitlab_job(bench, slash, expect=None).stderr, ["(InvalidIdentityToken)"], "an audience with a slash too many")


@check("aws CLI: assume-role, get-session-token and get-access-key-info, in words of the shell")
def _(bench):
    key, secret = home(bench)["alice"]
    environment = bench.environment(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret)
    asked = ["--role-arn", f"{ARN}role/deploy", "--role-session-name", "cli", "--output", "json"]
    answer = json.loads(bench.run(program("aws"), "sts", "assume-role", *asked, env=environment).stdout)
    same(answer["AssumedRoleUser"]["Arn"], f"arn:aws:sts::{HOME}:assumed-role/deploy/cli", "Arn")
    token = bench.run(program("aws"), "sts", "get-session-token", "--output", "json", env=environment).stdout
    same(bool(re.search('"SessionToken": "[^"]+"', token)), True, "a session token")
