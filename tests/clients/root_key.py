"""What a root key may do: any account exists on first use, and is made by the same calls as in AWS."""

import json

import aws
from harness import ACCOUNT, ISSUER, REGION, check, contains, same

OTHER = "210987654321"
OTHER_ROOT = (OTHER, "test")
PROVIDER = f"arn:aws:iam::{OTHER}:oidc-provider/token.actions.githubusercontent.com"


def trust(account, subject="repo:acme/api:ref:refs/heads/main"):
    """A trust policy for one subject of GitHub's."""
    host = ISSUER.removeprefix("https://")
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{account}:oidc-provider/{host}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{host}:aud": "sts.amazonaws.com", f"{host}:sub": subject}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allow(*actions, resource="*"):
    """A policy that allows these actions."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def without(policy, action):
    """The same without one action."""
    document = json.loads(policy)
    document["Statement"][0]["Action"].remove(action)
    return json.dumps(document)


PUSH = allow(
    "ecr:GetAuthorizationToken",
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)


@check("test/test is the root of the default account")
def _(bench):
    identity = aws.client(bench, "sts", ("test", "test")).get_caller_identity()
    same((identity["Account"], identity["Arn"]), (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root"))


@check("an account id with the secret `test` is the root of that account")
def _(bench):
    identity = aws.client(bench, "sts", OTHER_ROOT).get_caller_identity()
    same((identity["Account"], identity["Arn"]), (OTHER, f"arn:aws:iam::{OTHER}:root"))


@check("the Terraform is there for IAM: provider, role, attached policy, and a policy of its own")
def _(bench):
    iam = aws.client(bench, "iam", ("test", "test"))
    [provider] = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    read = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=provider["Arn"])
    same((read["Url"], read["ClientIDList"]), ("token.actions.githubusercontent.com", ["sts.amazonaws.com"]))
    role = iam.get_role(RoleName="github-oidc-role")["Role"]
    same(role["Arn"], f"arn:aws:iam::{ACCOUNT}:role/github-oidc-role", "Arn")
    condition = role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]["StringEquals"]
    same(condition["token.actions.githubusercontent.com:sub"], "repo:acme/web:ref:refs/heads/main", "sub of the trust")
    [attached] = iam.list_attached_role_policies(RoleName="github-oidc-role")["AttachedPolicies"]
    same(attached["PolicyName"], "AmazonEC2ContainerRegistryPowerUser", "attached policy")
    own = iam.get_policy(PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/ecr-layers-only")["Policy"]
    same(own["AttachmentCount"], 0, "AttachmentCount")


@check("in an account made by boto3, the whole crossing works: provider, role, policy, repository, token, session")
def _(bench):
    iam, ecr = aws.client(bench, "iam", OTHER_ROOT), aws.client(bench, "ecr", OTHER_ROOT)
    made = iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["sts.amazonaws.com"])
    same(made["OpenIDConnectProviderArn"], PROVIDER, "OpenIDConnectProviderArn")
    role = iam.create_role(RoleName="pusher", Path="/ci/", AssumeRolePolicyDocument=trust(OTHER))["Role"]
    same(role["Arn"], f"arn:aws:iam::{OTHER}:role/ci/pusher", "Arn")
    policy = iam.create_policy(PolicyName="push", PolicyDocument=PUSH)["Policy"]
    iam.attach_role_policy(RoleName="pusher", PolicyArn=policy["Arn"])
    repository = ecr.create_repository(repositoryName="team/api")["repository"]
    same(repository["repositoryArn"], f"arn:aws:ecr:{REGION}:{OTHER}:repository/team/api", "repositoryArn")
    session = aws.exchange(bench, bench.token(repo="acme/api"), role=role["Arn"])
    identity = aws.client(bench, "sts", session).get_caller_identity()
    same(identity["Arn"], f"arn:aws:sts::{OTHER}:assumed-role/pusher/reader", "Arn of the session")
    [given] = aws.client(bench, "ecr", session).get_authorization_token()["authorizationData"]
    same(bool(given["authorizationToken"]), True, "authorizationToken")


@check("accounts don't see each other")
def _(bench):
    ecr = aws.client(bench, "ecr", ("333333333333", "test"))
    same(ecr.describe_repositories()["repositories"], [], "repositories")
    iam = aws.client(bench, "iam", ("333333333333", "test"))
    same(iam.list_open_id_connect_providers()["OpenIDConnectProviderList"], [], "providers")
    same([role["RoleName"] for role in iam.list_roles()["Roles"]], [], "roles")


@check("a role's permissions count at every call: what is put and taken away holds for sessions that are there")
def _(bench):
    root = ("444444444444", "test")
    iam = aws.client(bench, "iam", root)
    iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["sts.amazonaws.com"])
    arn = iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust(root[0]))["Role"]["Arn"]
    ecr = aws.client(bench, "ecr", aws.exchange(bench, bench.token(repo="acme/api"), role=arn))
    same(aws.refusal(ecr.describe_repositories)[0], "AccessDeniedException", "code without a policy")
    iam.put_role_policy(RoleName="r", PolicyName="see", PolicyDocument=allow("ecr:Describe*"))
    same(ecr.describe_repositories()["repositories"], [], "repositories")
    iam.delete_role_policy(RoleName="r", PolicyName="see")
    same(aws.refusal(ecr.describe_repositories)[0], "AccessDeniedException", "code after the policy is gone")


@check("what IAM and ECR refuse to create, they refuse in AWS's words")
def _(bench):
    root = ("555555555555", "test")
    iam, ecr = aws.client(bench, "iam", root), aws.client(bench, "ecr", root)
    iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["sts.amazonaws.com"])
    ecr.create_repository(repositoryName="web")
    everyone = json.loads(trust(root[0]))
    del everyone["Statement"][0]["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    cases = [
        (
            iam.create_open_id_connect_provider,
            {"Url": ISSUER, "ClientIDList": ["sts.amazonaws.com"]},
            ("EntityAlreadyExists", 409, f"Provider with url {ISSUER} already exists."),
        ),
        (
            iam.get_role,
            {"RoleName": "nobody"},
            ("NoSuchEntity", 404, "The role with name nobody cannot be found."),
        ),
        (
            iam.create_role,
            {"RoleName": "open", "AssumeRolePolicyDocument": json.dumps(everyone)},
            (
                "MalformedPolicyDocument",
                400,
                f"Trust policy with trusted principal arn:aws:iam::{root[0]}:oidc-provider/token.actions."
                "githubusercontent.com must evaluate, using StringEquals, StringLike or StringEqualsIgnoreCase, "
                "token.actions.githubusercontent.com:sub or token.actions.githubusercontent.com:job_workflow_ref "
                "which is not scoped to all.",
            ),
        ),
        (
            ecr.create_repository,
            {"repositoryName": "web"},
            (
                "RepositoryAlreadyExistsException",
                400,
                f"The repository with name 'web' already exists in the registry with id '{root[0]}'",
            ),
        ),
        (
            ecr.list_images,
            {"repositoryName": "nothing"},
            (
                "RepositoryNotFoundException",
                400,
                f"The repository with name 'nothing' does not exist in the registry with id '{root[0]}'",
            ),
        ),
    ]
    for call, arguments, (code, status, message) in cases:
        got_code, got_message, got_status, _ = aws.refusal(call, **arguments)
        same((got_code, got_status, got_message), (code, status, message), call.__name__)


@check("AWS's managed policies are AWS's own: their document is there to read")
def _(bench):
    iam = aws.client(bench, "iam", ("test", "test"))
    arn = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    contains(json.dumps(document), ["ecr:PutImage", "ecr:GetAuthorizationToken"], "document")
