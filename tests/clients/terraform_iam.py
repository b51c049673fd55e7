"""The calls that Terraform's AWS provider makes for IAM's resources, in its order: create, read until the
plan is empty, change, destroy. What a read gives back has to be what was written, or every plan shows a
change. The order is that of hashicorp/aws: internal/service/iam.
"""

import json

import aws
from harness import check, same
from root_key import allow

HOME = "444455556666"
ARN = f"arn:aws:iam::{HOME}:"
HOST = "token.actions.githubusercontent.com"
PROVIDER = f"{ARN}oidc-provider/{HOST}"
READ = json.loads(allow("s3:GetObject"))
WRITE = json.loads(allow("s3:PutObject"))


def client(bench):
    return aws.client(bench, "iam", (HOME, "test"))


def text(document):
    """As `jsonencode` writes it: keys in order, no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def trust(subject):
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": PROVIDER},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{HOST}:aud": "sts.amazonaws.com", f"{HOST}:sub": subject}},
            }
        ],
    }


def missing(call, **arguments):
    """What a read after a destroy has to say: the resource is gone."""
    same(aws.refusal(call, **arguments)[0], "NoSuchEntity", call.__name__)


def tags(**named):
    return [{"Key": key, "Value": value} for key, value in named.items()]


@check("aws_iam_openid_connect_provider: create, read, change, destroy")
def _(bench):
    iam = client(bench)

    def read():
        got = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=PROVIDER)
        return got["Url"], got["ClientIDList"], got["ThumbprintList"], got.get("Tags", [])

    arn = iam.create_open_id_connect_provider(
        Url=f"https://{HOST}", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["a" * 40], Tags=tags(a="b")
    )["OpenIDConnectProviderArn"]
    same(arn, PROVIDER)
    same(read(), (HOST, ["sts.amazonaws.com"], ["a" * 40], tags(a="b")))
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["b" * 40])
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="second")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="sts.amazonaws.com")
    iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=["a"])
    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=tags(c="d"))
    same(read(), (HOST, ["second"], ["b" * 40], tags(c="d")))
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    missing(iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn)


def read_role(iam, name):
    """The reads of aws_iam_role, of its inline policies and of its attachments."""
    role = iam.get_role(RoleName=name)["Role"]
    inline = {
        policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    }
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    return role, inline, [policy["PolicyArn"] for policy in attached]


def destroy_role(iam, name, policies, arns):
    """The destroys of attachments, inline policies and the role."""
    for arn in arns:
        iam.detach_role_policy(RoleName=name, PolicyArn=arn)
    for policy in policies:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    same(iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"], [])
    iam.delete_role(RoleName=name)
    missing(iam.get_role, RoleName=name)


@check("aws_iam_role, aws_iam_role_policy, aws_iam_role_policy_attachment: create, read, change, destroy")
def _(bench):
    iam = client(bench)
    boundary = iam.create_policy(PolicyName="boundary", PolicyDocument=text(READ))["Policy"]["Arn"]
    iam.create_role(
        RoleName="deploy",
        Path="/",
        AssumeRolePolicyDocument=text(trust("repo:acme/api:ref:refs/heads/main")),
        MaxSessionDuration=3600,
        PermissionsBoundary=boundary,
        Tags=tags(team="web"),
    )
    iam.put_role_policy(RoleName="deploy", PolicyName="push", PolicyDocument=text(WRITE))
    iam.attach_role_policy(RoleName="deploy", PolicyArn=boundary)
    role, inline, attached = read_role(iam, "deploy")
    same(role["AssumeRolePolicyDocument"], trust("repo:acme/api:ref:refs/heads/main"))
    same((role["MaxSessionDuration"], role["Tags"], role.get("Description")), (3600, tags(team="web"), None))
    same((inline, attached), ({"push": WRITE}, [boundary]))

    iam.update_assume_role_policy(RoleName="deploy", PolicyDocument=text(trust("repo:acme/api:environment:prod")))
    iam.update_role_description(RoleName="deploy", Description="deploys")
    iam.update_role(RoleName="deploy", MaxSessionDuration=7200, Description="deploys")
    iam.delete_role_permissions_boundary(RoleName="deploy")
    iam.untag_role(RoleName="deploy", TagKeys=["team"])
    iam.tag_role(RoleName="deploy", Tags=tags(stage="prod"))
    iam.put_role_policy(RoleName="deploy", PolicyName="push", PolicyDocument=text(READ))
    role, inline, _ = read_role(iam, "deploy")
    same(role["AssumeRolePolicyDocument"], trust("repo:acme/api:environment:prod"))
    same((role["MaxSessionDuration"], role["Description"], role["Tags"]), (7200, "deploys", tags(stage="prod")))
    same(("PermissionsBoundary" in role, inline), (False, {"push": READ}))
    destroy_role(iam, "deploy", ["push"], [boundary])
    iam.delete_policy(PolicyArn=boundary)


@check("aws_iam_policy: create, read, six changes that make room for themselves, destroy")
def _(bench):
    iam = client(bench)
    arn = iam.create_policy(PolicyName="reader", Path="/", Description="reads", PolicyDocument=text(READ))["Policy"]["Arn"]

    def read():
        policy = iam.get_policy(PolicyArn=arn)["Policy"]
        version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
        return policy["Description"], version["Document"]

    same(read(), ("reads", READ))
    for number in range(6):
        wanted = json.loads(allow(f"s3:Get{number}"))
        versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
        if len(versions) >= 5:
            oldest = min((one for one in versions if not one["IsDefaultVersion"]), key=lambda one: int(one["VersionId"][1:]))
            iam.delete_policy_version(PolicyArn=arn, VersionId=oldest["VersionId"])
        made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=text(wanted), SetAsDefault=False)
        iam.set_default_policy_version(PolicyArn=arn, VersionId=made["PolicyVersion"]["VersionId"])
        same(read(), ("reads", wanted))
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=arn)
    missing(iam.get_policy, PolicyArn=arn)


@check("aws_iam_user, its key, its policies and its group: create, read, change, destroy with force_destroy")
def _(bench):
    iam = client(bench)
    iam.create_user(UserName="ci", Path="/", Tags=tags(team="web"))
    same(iam.get_user(UserName="ci")["User"]["Tags"], tags(team="web"))
    iam.create_group(GroupName="pushers", Path="/")
    iam.add_user_to_group(GroupName="pushers", UserName="ci")
    same([user["UserName"] for user in iam.get_group(GroupName="pushers")["Users"]], ["ci"])
    iam.put_user_policy(UserName="ci", PolicyName="own", PolicyDocument=text(READ))
    same(iam.get_user_policy(UserName="ci", PolicyName="own")["PolicyDocument"], READ)
    managed = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"
    iam.attach_user_policy(UserName="ci", PolicyArn=managed)
    same(iam.list_attached_user_policies(UserName="ci")["AttachedPolicies"][0]["PolicyArn"], managed)
    iam.attach_group_policy(GroupName="pushers", PolicyArn=managed)
    same(iam.list_attached_group_policies(GroupName="pushers")["AttachedPolicies"][0]["PolicyArn"], managed)
    key = iam.create_access_key(UserName="ci")["AccessKey"]["AccessKeyId"]
    same([one["Status"] for one in iam.list_access_keys(UserName="ci")["AccessKeyMetadata"]], ["Active"])
    iam.update_user(UserName="ci", NewUserName="ci", NewPath="/bots/")
    same(iam.get_user(UserName="ci")["User"]["Arn"], f"{ARN}user/bots/ci")

    # What the destroys of the other resources do, and then force_destroy.
    iam.detach_user_policy(UserName="ci", PolicyArn=managed)
    iam.delete_user_policy(UserName="ci", PolicyName="own")
    for group in iam.list_groups_for_user(UserName="ci")["Groups"]:
        iam.remove_user_from_group(GroupName=group["GroupName"], UserName="ci")
    for one in iam.list_access_keys(UserName="ci")["AccessKeyMetadata"]:
        iam.delete_access_key(UserName="ci", AccessKeyId=one["AccessKeyId"])
    same(iam.list_ssh_public_keys(UserName="ci")["SSHPublicKeys"], [])
    same(iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"], [])
    same(iam.list_mfa_devices(UserName="ci")["MFADevices"], [])
    missing(iam.delete_login_profile, UserName="ci")
    same(iam.list_signing_certificates(UserName="ci")["Certificates"], [])
    same(iam.list_service_specific_credentials(UserName="ci")["ServiceSpecificCredentials"], [])
    iam.delete_user(UserName="ci")
    missing(iam.get_user, UserName="ci")
    missing(iam.list_access_keys, UserName="ci")
    same(aws.refusal(iam.get_access_key_last_used, AccessKeyId=key)[0], "NoSuchEntity")
    iam.detach_group_policy(GroupName="pushers", PolicyArn=managed)
    iam.delete_group(GroupName="pushers")
    missing(iam.get_group, GroupName="pushers")


@check("aws_iam_instance_profile: create, read, destroy with its role")
def _(bench):
    iam = client(bench)
    iam.create_role(RoleName="machine", AssumeRolePolicyDocument=text({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }))
    iam.create_instance_profile(InstanceProfileName="machine", Path="/")
    iam.add_role_to_instance_profile(InstanceProfileName="machine", RoleName="machine")
    got = iam.get_instance_profile(InstanceProfileName="machine")["InstanceProfile"]
    same([role["RoleName"] for role in got["Roles"]], ["machine"])
    for profile in iam.list_instance_profiles_for_role(RoleName="machine")["InstanceProfiles"]:
        iam.remove_role_from_instance_profile(InstanceProfileName=profile["InstanceProfileName"], RoleName="machine")
    iam.delete_instance_profile(InstanceProfileName="machine")
    missing(iam.get_instance_profile, InstanceProfileName="machine")
    destroy_role(iam, "machine", [], [])


@check("aws_iam_service_linked_role: create, read, destroy until its task has succeeded")
def _(bench):
    iam = client(bench)
    iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")
    role, inline, attached = read_role(iam, "AWSServiceRoleForECS")
    same((role["Path"], inline), ("/aws-service-role/ecs.amazonaws.com/", {}))
    same(attached, ["arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy"])
    task = iam.delete_service_linked_role(RoleName="AWSServiceRoleForECS")["DeletionTaskId"]
    same(iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"], "SUCCEEDED")
    missing(iam.get_role, RoleName="AWSServiceRoleForECS")
