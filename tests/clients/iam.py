"""IAM by boto3 and the aws CLI: every operation, for someone who may and for someone who may not.

Each call is made twice: by a user without permissions, whom AWS's sentence has to refuse, and by a user
whose group has AdministratorAccess. Every answer is held against AWS's own model: an element that the model
doesn't know, and a required one that isn't there, fail the check.
"""

import json
import urllib.parse
import xml.etree.ElementTree

import aws
import images
from harness import Wrong, check, contains, matches, program, same
from root_key import PUSH, allow

HOME = "555566667777"
ARN = f"arn:aws:iam::{HOME}:"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
READ = allow("s3:GetObject")
WRITE = allow("s3:PutObject")
THUMBPRINT = "6938fd4d98bab03faadb97b34396831e3780aea1"
TAGS = [{"Key": "Team", "Value": "web"}, {"Key": "stage", "Value": ""}]
SERVICE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
SENT_OTHERWISE = [
    ("PermissionsBoundaryType", "Policy", "PermissionsBoundaryPolicy"),
    ("SourcePolicyType", "IAM Policy", "none"),
]
# `AttachRolePolicy` and its like, for each of the three that hold policies.
HOLDERS = ("Role", "User", "Group")


def conforms(model, shape, element, place):
    """Refuses an answer that isn't of its shape."""
    tag = lambda one: one.tag.partition("}")[2]  # noqa: E731
    if shape.type_name == "structure":
        known = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        found = {tag(child) for child in element}
        if found - set(known):
            raise Wrong(f"{place}: the model doesn't have {sorted(found - set(known))}")
        missing = {name for name in shape.required_members if name not in found}
        if missing:
            raise Wrong(f"{place}: the model demands {sorted(missing)}")
        for child in element:
            conforms(model, known[tag(child)], child, f"{place}.{tag(child)}")
    elif shape.type_name == "list":
        for child in element:
            same(tag(child), "member", place)
            conforms(model, shape.member, child, place + "[]")
    elif shape.type_name == "map":
        for entry in element:
            same(sorted(tag(part) for part in entry), ["key", "value"], place)
    elif shape.type_name == "integer":
        int(element.text)
    elif shape.type_name == "boolean":
        same(element.text in ("true", "false"), True, f"{place}: {element.text}")
    elif shape.type_name == "timestamp":
        matches(element.text, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", place)
    elif getattr(shape, "enum", None):
        same(element.text in shape.enum, True, f"{place}: {element.text} is one of {shape.enum}")


class Iam:
    """Calls of one account, by one who may and one who may not."""

    def __init__(self, bench, admin, nobody):
        self.model = aws.client(bench, "iam", admin).meta.service_model
        self.by_admin = self.client(bench, admin)
        self.by_nobody = aws.client(bench, "iam", nobody)
        self.allowed, self.refused = set(), set()

    def client(self, bench, credentials):
        client = aws.client(bench, "iam", credentials)
        client.meta.events.register("after-call.iam", self.look)
        return client

    def look(self, http_response, parsed, model, **_):
        """Holds an answer against the model."""
        if http_response.status_code != 200 or not model.output_shape:
            return
        root = xml.etree.ElementTree.fromstring(http_response.content)
        result = root.find("{*}" + f"{model.name}Result")
        if result is None:
            raise Wrong(f"{model.name}: there is no result")
        # Two enumerations are not what AWS sends: the type of a boundary is `Policy`, as the API reference
        # says beside the model, and that of the simulator's sources is a name (observed).
        for name, sent, modelled in SENT_OTHERWISE:
            for kind in root.iterfind(".//{*}" + name):
                same(kind.text, sent, f"{model.name}: {name}")
                kind.text = modelled
        conforms(self.model, model.output_shape, result, model.name)

    def method(self, client, operation):
        names = {api: method for method, api in client.meta.method_to_api_mapping.items()}
        return getattr(client, names[operation])

    def refuse(self, operation, arguments):
        code, message, status, _ = aws.refusal(self.method(self.by_nobody, operation), **arguments)
        same((code, status), ("AccessDenied", 403), f"{operation} by nobody: {message}")
        sentence = f"User: {ARN}user/nobody is not authorized to perform: iam:{operation} on resource: "
        contains(message, [sentence, f"because no identity-based policy allows the iam:{operation} action"], operation)
        self.refused.add(operation)

    def __call__(self, operation, **arguments):
        """A call that has to work, and that has to be refused to the other one."""
        self.refuse(operation, arguments)
        answer = self.method(self.by_admin, operation)(**arguments)
        self.allowed.add(operation)
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    def fails(self, operation, code, message, **arguments):
        """A call that may be made and can't be done."""
        self.refuse(operation, arguments)
        got = aws.refusal(self.method(self.by_admin, operation), **arguments)
        same(got[:2], (code, message), operation)
        self.allowed.add(operation)

    def pages(self, operation, key, count, **arguments):
        """One item a page, by boto3's own paginator: each once."""
        names = {api: method for method, api in self.by_admin.meta.method_to_api_mapping.items()}
        pages = self.by_admin.get_paginator(names[operation]).paginate(
            PaginationConfig={"PageSize": 1}, **arguments
        )
        items = [json.dumps(item, default=str, sort_keys=True) for page in pages for item in page[key]]
        same((len(items), len(set(items))), (count, count), f"{operation} in pages of one")


def home(bench):
    """The account in which all of this happens, made once."""
    if not hasattr(bench, "iam"):
        root = aws.client(bench, "iam", (HOME, "test"))
        root.create_group(GroupName="admins")
        root.attach_group_policy(GroupName="admins", PolicyArn=ADMINISTRATOR)
        keys = []
        for name in ("admin", "nobody"):
            root.create_user(UserName=name)
            made = root.create_access_key(UserName=name)["AccessKey"]
            keys.append((made["AccessKeyId"], made["SecretAccessKey"]))
        root.add_user_to_group(GroupName="admins", UserName="admin")
        bench.admin = keys[0]
        bench.iam = Iam(bench, *keys)
    return bench.iam


@check("boto3: OIDC providers")
def _(bench):
    iam = home(bench)
    arn = iam(
        "CreateOpenIDConnectProvider",
        Url="https://id.example.test",
        ClientIDList=["sts.amazonaws.com"],
        ThumbprintList=[THUMBPRINT.upper()],
    )["OpenIDConnectProviderArn"]
    same(arn, f"{ARN}oidc-provider/id.example.test")
    iam("AddClientIDToOpenIDConnectProvider", OpenIDConnectProviderArn=arn, ClientID="other")
    iam("AddClientIDToOpenIDConnectProvider", OpenIDConnectProviderArn=arn, ClientID="other")
    iam("RemoveClientIDFromOpenIDConnectProvider", OpenIDConnectProviderArn=arn, ClientID="sts.amazonaws.com")
    iam("UpdateOpenIDConnectProviderThumbprint", OpenIDConnectProviderArn=arn, ThumbprintList=["a" * 40])
    iam("TagOpenIDConnectProvider", OpenIDConnectProviderArn=arn, Tags=TAGS)
    iam("UntagOpenIDConnectProvider", OpenIDConnectProviderArn=arn, TagKeys=["STAGE", "stage"])
    got = iam("GetOpenIDConnectProvider", OpenIDConnectProviderArn=arn)
    same(
        (got["Url"], got["ClientIDList"], got["ThumbprintList"], got["Tags"]),
        ("id.example.test", ["other"], ["a" * 40], TAGS[:1]),
    )
    same(iam("ListOpenIDConnectProviderTags", OpenIDConnectProviderArn=arn)["Tags"], TAGS[:1])
    same(iam("ListOpenIDConnectProviders")["OpenIDConnectProviderList"], [{"Arn": arn}])
    iam("DeleteOpenIDConnectProvider", OpenIDConnectProviderArn=arn)
    message = f"OpenIDConnect Provider not found for arn {arn}"
    iam.fails("GetOpenIDConnectProvider", "NoSuchEntity", message, OpenIDConnectProviderArn=arn)


@check("boto3: roles")
def _(bench):
    iam = home(bench)
    boundary = iam("CreatePolicy", PolicyName="role-bounds", PolicyDocument=READ)["Policy"]["Arn"]
    made = iam(
        "CreateRole",
        RoleName="deploy",
        Path="/ci/",
        Description="deploys",
        MaxSessionDuration=7200,
        AssumeRolePolicyDocument=SERVICE,
        PermissionsBoundary=boundary,
        Tags=TAGS,
    )["Role"]
    same((made["Arn"], made["Tags"]), (f"{ARN}role/ci/deploy", TAGS))
    got = iam("GetRole", RoleName="deploy")["Role"]
    same(got["AssumeRolePolicyDocument"], json.loads(SERVICE), "the document")
    same((got["MaxSessionDuration"], got["Description"], got["RoleLastUsed"]), (7200, "deploys", {}))
    same(got["PermissionsBoundary"]["PermissionsBoundaryArn"], boundary, "boundary")
    iam("UpdateRole", RoleName="deploy", Description="ships", MaxSessionDuration=3600)
    same(iam("UpdateRoleDescription", RoleName="deploy", Description="sails")["Role"]["Description"], "sails")
    iam("DeleteRolePermissionsBoundary", RoleName="deploy")
    iam("PutRolePermissionsBoundary", RoleName="deploy", PermissionsBoundary=READ_ONLY)
    iam("UntagRole", RoleName="deploy", TagKeys=["Team"])
    iam("TagRole", RoleName="deploy", Tags=[{"Key": "Stage", "Value": "prod"}])
    same(iam("ListRoleTags", RoleName="deploy")["Tags"], [{"Key": "Stage", "Value": "prod"}], "tags")
    iam("UpdateAssumeRolePolicy", RoleName="deploy", PolicyDocument=SERVICE)
    iam("CreateRole", RoleName="other", AssumeRolePolicyDocument=SERVICE)
    listed = iam("ListRoles", PathPrefix="/ci/")["Roles"]
    same([(role["RoleName"], "Tags" in role) for role in listed], [("deploy", False)])
    iam.pages("ListRoles", "Roles", 2)
    iam("DeleteRole", RoleName="other")
    iam("DeleteRole", RoleName="deploy")
    iam("DeletePolicy", PolicyArn=boundary)
    iam.fails("GetRole", "NoSuchEntity", "The role with name deploy cannot be found.", RoleName="deploy")


def make(iam, noun, name):
    """A role, a user or a group; gives the parameter that names it."""
    more = {"AssumeRolePolicyDocument": SERVICE} if noun == "Role" else {}
    iam(f"Create{noun}", **{f"{noun}Name": name}, **more)
    return {f"{noun}Name": name}


@check("boto3: inline and attached policies of roles, users and groups")
def _(bench):
    iam = home(bench)
    own = iam("CreatePolicy", PolicyName="attached", Path="/own/", PolicyDocument=READ)["Policy"]["Arn"]
    for noun in HOLDERS:
        holder = make(iam, noun, "holder")
        for name in ("b", "a"):
            iam(f"Put{noun}Policy", **holder, PolicyName=name, PolicyDocument=READ)
        got = iam(f"Get{noun}Policy", **holder, PolicyName="a")
        same((got["PolicyDocument"], got[f"{noun}Name"]), (json.loads(READ), "holder"))
        same(sorted(iam(f"List{noun}Policies", **holder)["PolicyNames"]), ["a", "b"])
        iam.pages(f"List{noun}Policies", "PolicyNames", 2, **holder)
        for arn in (own, READ_ONLY, own):
            iam(f"Attach{noun}Policy", **holder, PolicyArn=arn)
        listed = iam(f"ListAttached{noun}Policies", **holder, PathPrefix="/own/")["AttachedPolicies"]
        same(listed, [{"PolicyName": "attached", "PolicyArn": own}])
        iam.pages(f"ListAttached{noun}Policies", "AttachedPolicies", 2, **holder)
    used = iam("ListEntitiesForPolicy", PolicyArn=own)
    same([len(used[f"Policy{noun}s"]) for noun in HOLDERS], [1, 1, 1], "who uses it")
    same(iam("ListEntitiesForPolicy", PolicyArn=own, EntityFilter="User")["PolicyRoles"], [], "users alone")
    same(iam("GetPolicy", PolicyArn=own)["Policy"]["AttachmentCount"], 3)
    in_use = "Cannot delete a policy attached to entities."
    iam.fails("DeletePolicy", "DeleteConflict", in_use, PolicyArn=own)
    for noun in HOLDERS:
        holder = {f"{noun}Name": "holder"}
        conflict = "Cannot delete entity, must detach all policies first."
        iam.fails(f"Delete{noun}", "DeleteConflict", conflict, **holder)
        for arn in (own, READ_ONLY):
            iam(f"Detach{noun}Policy", **holder, PolicyArn=arn)
        conflict = "Cannot delete entity, must delete policies first."
        iam.fails(f"Delete{noun}", "DeleteConflict", conflict, **holder)
        for name in ("a", "b"):
            iam(f"Delete{noun}Policy", **holder, PolicyName=name)
        iam(f"Delete{noun}", **holder)
    iam("DeletePolicy", PolicyArn=own)


@check("boto3: managed policies and their versions")
def _(bench):
    iam = home(bench)
    made = iam("CreatePolicy", PolicyName="reader", Description="reads", PolicyDocument=READ, Tags=TAGS)["Policy"]
    arn = made["Arn"]
    same((made["DefaultVersionId"], made["AttachmentCount"], made["IsAttachable"]), ("v1", 0, True))
    second = iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=WRITE)["PolicyVersion"]
    same((second["VersionId"], second["IsDefaultVersion"], "Document" in second), ("v2", False, False))
    same(iam("GetPolicyVersion", PolicyArn=arn, VersionId="v2")["PolicyVersion"]["Document"], json.loads(WRITE))
    iam("SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v2")
    conflict = "Cannot delete the default version of a policy."
    iam.fails("DeletePolicyVersion", "DeleteConflict", conflict, PolicyArn=arn, VersionId="v2")
    for _ in range(3):
        iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=READ, SetAsDefault=True)
    limit = "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version."
    iam.fails("CreatePolicyVersion", "LimitExceeded", limit, PolicyArn=arn, PolicyDocument=READ)
    versions = iam("ListPolicyVersions", PolicyArn=arn)["Versions"]
    same([one["VersionId"] for one in versions], ["v5", "v4", "v3", "v2", "v1"], "versions")
    same([one["IsDefaultVersion"] for one in versions], [True, False, False, False, False], "the default")
    iam.pages("ListPolicyVersions", "Versions", 5, PolicyArn=arn)
    many = "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy."
    iam.fails("DeletePolicy", "DeleteConflict", many, PolicyArn=arn)
    for version in ("v1", "v2", "v3", "v4"):
        iam("DeletePolicyVersion", PolicyArn=arn, VersionId=version)
    iam("TagPolicy", PolicyArn=arn, Tags=[{"Key": "Team", "Value": "api"}])
    iam("UntagPolicy", PolicyArn=arn, TagKeys=["stage"])
    same(iam("ListPolicyTags", PolicyArn=arn)["Tags"], [{"Key": "Team", "Value": "api"}], "tags")
    got = iam("GetPolicy", PolicyArn=arn)["Policy"]
    same((got["DefaultVersionId"], got["Description"]), ("v5", "reads"))
    same([one["Arn"] for one in iam("ListPolicies", Scope="Local")["Policies"]], [arn], "the account's own")
    names = [one["PolicyName"] for one in iam("ListPolicies", Scope="AWS", MaxItems=1000)["Policies"]]
    same("AdministratorAccess" in names, True, "AWS's")
    attached = [one["PolicyName"] for one in iam("ListPolicies", OnlyAttached=True)["Policies"]]
    same(attached, ["AdministratorAccess"], "those that somebody has")
    aws_own = iam("GetPolicy", PolicyArn=ADMINISTRATOR)["Policy"]
    same((aws_own["Path"], aws_own["AttachmentCount"]), ("/", 1), "AWS's own")
    iam("GetPolicyVersion", PolicyArn=ADMINISTRATOR, VersionId=aws_own["DefaultVersionId"])
    iam("DeletePolicy", PolicyArn=arn)


@check("boto3: users, their boundaries and tags")
def _(bench):
    iam = home(bench)
    made = iam("CreateUser", UserName="alice", Path="/people/", PermissionsBoundary=READ_ONLY, Tags=TAGS)["User"]
    same((made["Arn"], made["Tags"]), (f"{ARN}user/people/alice", TAGS))
    got = iam("GetUser", UserName="ALICE")["User"]
    same(got["PermissionsBoundary"]["PermissionsBoundaryArn"], READ_ONLY, "boundary")
    iam("PutUserPermissionsBoundary", UserName="alice", PermissionsBoundary=ADMINISTRATOR)
    iam("DeleteUserPermissionsBoundary", UserName="alice")
    iam("TagUser", UserName="alice", Tags=[{"Key": "team", "Value": "api"}])
    iam("UntagUser", UserName="alice", TagKeys=["stage"])
    iam.fails("TagUser", "InvalidInput", "Tags must not be empty.", UserName="alice", Tags=[])
    same(iam("ListUserTags", UserName="alice")["Tags"], [{"Key": "team", "Value": "api"}], "tags")
    iam("UpdateUser", UserName="alice", NewUserName="bob", NewPath="/")
    same(iam("GetUser", UserName="bob")["User"]["UserId"], made["UserId"], "the same user")
    iam.fails("GetUser", "NoSuchEntity", "The user with name alice cannot be found.", UserName="alice")
    same([one["UserName"] for one in iam("ListUsers")["Users"]], ["admin", "bob", "nobody"])
    iam.pages("ListUsers", "Users", 3)
    iam("DeleteUser", UserName="bob")
    # Without a name it is the caller.
    same(iam.by_admin.get_user()["User"]["Arn"], f"{ARN}user/admin")
    root = aws.client(bench, "iam", (HOME, "test")).get_user()["User"]
    same((root["Arn"], root["UserId"]), (f"{ARN}root", HOME))


@check("boto3: whoever deletes the users that a page told is told all of them")
def _(bench):
    by_admin = home(bench).by_admin
    for number in range(6):
        by_admin.create_user(UserName=f"paged-{number}", Path="/paged/")
    pages = by_admin.get_paginator("list_users").paginate(PathPrefix="/paged/", PaginationConfig={"PageSize": 2})
    for user in (user for page in pages for user in page["Users"]):
        by_admin.delete_user(UserName=user["UserName"])
    same(by_admin.list_users(PathPrefix="/paged/")["Users"], [], "left")


@check("boto3: a policy of AWS's that isn't known here grants nothing, and the refusal says what may be so")
def _(bench):
    by_admin = home(bench).by_admin
    by_admin.create_user(UserName="managed")
    made = by_admin.create_access_key(UserName="managed")["AccessKey"]
    own = aws.client(bench, "iam", (made["AccessKeyId"], made["SecretAccessKey"]))
    for name, help_ in [
        ("AmazonSSMManagedInstanceCore", "make a policy of your own of its document"),
        ("IAMReadOnlyAcces", "is `IAMReadOnlyAccess` meant?"),
    ]:
        arn = f"arn:aws:iam::aws:policy/{name}"
        by_admin.attach_user_policy(UserName="managed", PolicyArn=arn)
        same(by_admin.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"], 1, name)
        code, _, _, request = aws.refusal(own.list_users)
        same(code, "AccessDenied", name)
        finding = bench.server.decision(request)["finding"]
        same(finding["rule"], "unknown-policy", name)
        contains(json.dumps(finding), [f"AWS may allow it by {arn}", help_], name)
        by_admin.detach_user_policy(UserName="managed", PolicyArn=arn)
    by_admin.delete_access_key(UserName="managed", AccessKeyId=made["AccessKeyId"])
    by_admin.delete_user(UserName="managed")


@check("boto3: access keys sign calls, until they are turned off")
def _(bench):
    iam = home(bench)
    iam("CreateUser", UserName="keyed")
    first = iam("CreateAccessKey", UserName="keyed")["AccessKey"]
    second = iam("CreateAccessKey", UserName="keyed")["AccessKey"]
    limit = "Cannot exceed quota for AccessKeysPerUser: 2"
    iam.fails("CreateAccessKey", "LimitExceeded", limit, UserName="keyed")
    matches(first["AccessKeyId"], "AKIA[A-Z2-7]{16}", "id")
    same((len(first["SecretAccessKey"]), first["Status"]), (40, "Active"))
    keys = (first["AccessKeyId"], first["SecretAccessKey"])
    unused = iam("GetAccessKeyLastUsed", AccessKeyId=keys[0])
    same((unused["UserName"], unused["AccessKeyLastUsed"]), ("keyed", {"ServiceName": "N/A", "Region": "N/A"}))
    sts = aws.client(bench, "sts", keys)
    identity = sts.get_caller_identity()
    same(identity["Arn"], f"{ARN}user/keyed")
    matches(identity["UserId"], "AIDA[A-Z2-7]{17}", "UserId")
    same(iam("GetAccessKeyLastUsed", AccessKeyId=keys[0])["AccessKeyLastUsed"]["ServiceName"], "sts")
    iam("UpdateAccessKey", UserName="keyed", AccessKeyId=keys[0], Status="Inactive")
    listed = iam("ListAccessKeys", UserName="keyed")["AccessKeyMetadata"]
    same(sorted(one["Status"] for one in listed), ["Active", "Inactive"])
    invalid = ("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
    same(aws.refusal(sts.get_caller_identity)[:3], invalid, "an inactive key")
    iam("UpdateAccessKey", UserName="keyed", AccessKeyId=keys[0], Status="Active")
    sts.get_caller_identity()
    conflict = "Cannot delete entity, must delete access keys first."
    iam.fails("DeleteUser", "DeleteConflict", conflict, UserName="keyed")
    for key in (first, second):
        iam("DeleteAccessKey", UserName="keyed", AccessKeyId=key["AccessKeyId"])
    same(aws.refusal(sts.get_caller_identity)[:3], invalid, "a key that is gone")
    iam("DeleteUser", UserName="keyed")


@check("boto3: what nobody has here is told as AWS tells it")
def _(bench):
    iam = home(bench)
    iam("CreateUser", UserName="bare")
    for operation, key in [
        ("ListMFADevices", "MFADevices"),
        ("ListSSHPublicKeys", "SSHPublicKeys"),
        ("ListSigningCertificates", "Certificates"),
        ("ListServiceSpecificCredentials", "ServiceSpecificCredentials"),
    ]:
        same(iam(operation, UserName="bare")[key], [], operation)
    same(iam("ListVirtualMFADevices")["VirtualMFADevices"], [])
    missing = "Login Profile for User bare cannot be found."
    for operation in ("GetLoginProfile", "UpdateLoginProfile", "DeleteLoginProfile"):
        iam.fails(operation, "NoSuchEntity", missing, UserName="bare")
    for operation, parameter, what in [
        ("DeactivateMFADevice", "SerialNumber", "VirtualMFADevice with serial number"),
        ("DeleteSSHPublicKey", "SSHPublicKeyId", "The Public Key with id"),
        ("DeleteSigningCertificate", "CertificateId", "The Certificate with id"),
        ("DeleteServiceSpecificCredential", "ServiceSpecificCredentialId", "The Service Specific Credential with id"),
    ]:
        gone = "A" * 24
        iam.fails(operation, "NoSuchEntity", f"{what} {gone} cannot be found.", UserName="bare", **{parameter: gone})
    domain = f"The Password Policy with domain name {HOME} cannot be found."
    iam.fails("GetAccountPasswordPolicy", "NoSuchEntity", domain)
    iam("DeleteUser", UserName="bare")


@check("boto3: groups give their members what they have")
def _(bench):
    iam = home(bench)
    iam("CreateGroup", GroupName="writers", Path="/teams/")
    iam("CreateUser", UserName="member")
    made = iam("CreateAccessKey", UserName="member")["AccessKey"]
    member = aws.client(bench, "iam", (made["AccessKeyId"], made["SecretAccessKey"]))
    iam("PutGroupPolicy", GroupName="writers", PolicyName="list", PolicyDocument=allow("iam:ListGroups"))
    same(aws.refusal(member.list_groups)[0], "AccessDenied", "before")
    iam("AddUserToGroup", GroupName="writers", UserName="member")
    iam("AddUserToGroup", GroupName="writers", UserName="member")
    member.list_groups()
    got = iam("GetGroup", GroupName="writers")
    same((got["Group"]["Arn"], [one["UserName"] for one in got["Users"]]), (f"{ARN}group/teams/writers", ["member"]))
    same([one["GroupName"] for one in iam("ListGroupsForUser", UserName="member")["Groups"]], ["writers"])
    iam("UpdateGroup", GroupName="writers", NewGroupName="authors")
    member.list_groups()
    same([one["GroupName"] for one in iam("ListGroups", PathPrefix="/teams/")["Groups"]], ["authors"])
    iam.pages("ListGroups", "Groups", 2)
    conflict = "Cannot delete entity, must remove users from group first."
    iam.fails("DeleteGroup", "DeleteConflict", conflict, GroupName="authors")
    iam("RemoveUserFromGroup", GroupName="authors", UserName="member")
    same(aws.refusal(member.list_groups)[0], "AccessDenied", "after")
    iam("DeleteGroupPolicy", GroupName="authors", PolicyName="list")
    iam("DeleteGroup", GroupName="authors")
    iam("DeleteAccessKey", UserName="member", AccessKeyId=made["AccessKeyId"])
    iam("DeleteUser", UserName="member")


@check("boto3: a user's boundary, name and tags take part in decisions")
def _(bench):
    iam = home(bench)
    iam("CreateUser", UserName="carol", Tags=[{"Key": "team", "Value": "web"}])
    made = iam("CreateAccessKey", UserName="carol")["AccessKey"]
    carol = aws.client(bench, "iam", (made["AccessKeyId"], made["SecretAccessKey"]))
    own = allow("iam:GetUser", resource=ARN + "user/${aws:username}")
    iam("PutUserPolicy", UserName="carol", PolicyName="own", PolicyDocument=own)
    carol.get_user()
    same(aws.refusal(carol.get_user, UserName="admin")[0], "AccessDenied", "another user")
    tagged = json.loads(allow("iam:ListUsers"))
    tagged["Statement"][0]["Condition"] = {"StringEquals": {"aws:PrincipalTag/team": "web"}}
    iam("PutUserPolicy", UserName="carol", PolicyName="tagged", PolicyDocument=json.dumps(tagged))
    carol.list_users()
    bounds = iam("CreatePolicy", PolicyName="bounds", PolicyDocument=allow("iam:GetUser"))["Policy"]["Arn"]
    iam("PutUserPermissionsBoundary", UserName="carol", PermissionsBoundary=bounds)
    message = aws.refusal(carol.list_users)[1]
    contains(message, ["because no permissions boundary allows the iam:ListUsers action"])
    carol.get_user()
    iam("DeleteUserPermissionsBoundary", UserName="carol")
    for name in ("own", "tagged"):
        iam("DeleteUserPolicy", UserName="carol", PolicyName=name)
    iam("DeleteAccessKey", UserName="carol", AccessKeyId=made["AccessKeyId"])
    iam("DeleteUser", UserName="carol")
    iam("DeletePolicy", PolicyArn=bounds)


@check("boto3: instance profiles")
def _(bench):
    iam = home(bench)
    iam("CreateRole", RoleName="machine", AssumeRolePolicyDocument=SERVICE)
    name = {"InstanceProfileName": "machine"}
    made = iam("CreateInstanceProfile", **name, Path="/ci/", Tags=TAGS)["InstanceProfile"]
    same((made["Arn"], made["Roles"]), (f"{ARN}instance-profile/ci/machine", []))
    iam("AddRoleToInstanceProfile", **name, RoleName="machine")
    limit = "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"
    iam.fails("AddRoleToInstanceProfile", "LimitExceeded", limit, **name, RoleName="machine")
    got = iam("GetInstanceProfile", **name)["InstanceProfile"]
    same([role["RoleName"] for role in got["Roles"]], ["machine"])
    same(len(iam("ListInstanceProfilesForRole", RoleName="machine")["InstanceProfiles"]), 1)
    same(len(iam("ListInstanceProfiles", PathPrefix="/ci/")["InstanceProfiles"]), 1)
    iam("UntagInstanceProfile", **name, TagKeys=["stage"])
    iam("TagInstanceProfile", **name, Tags=[{"Key": "a", "Value": "b"}])
    same(iam("ListInstanceProfileTags", **name)["Tags"], [TAGS[0], {"Key": "a", "Value": "b"}])
    conflict = "Cannot delete entity, must remove roles from instance profile first."
    iam.fails("DeleteRole", "DeleteConflict", conflict, RoleName="machine")
    iam.fails("DeleteInstanceProfile", "DeleteConflict", conflict, **name)
    iam("RemoveRoleFromInstanceProfile", **name, RoleName="machine")
    iam("DeleteInstanceProfile", **name)
    iam.fails("GetInstanceProfile", "NoSuchEntity", "Instance Profile machine cannot be found.", **name)
    iam("DeleteRole", RoleName="machine")


@check("boto3: service-linked roles are made and removed, and nobody else changes them")
def _(bench):
    iam = home(bench)
    made = iam("CreateServiceLinkedRole", AWSServiceName="ecs.amazonaws.com")["Role"]
    name = made["RoleName"]
    same((name, made["Path"]), ("AWSServiceRoleForECS", "/aws-service-role/ecs.amazonaws.com/"))
    taken = f"Service role name {name} has been taken in this account, please try a different suffix."
    iam.fails("CreateServiceLinkedRole", "InvalidInput", taken, AWSServiceName="ecs.amazonaws.com")
    protected = f"Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS"
    iam.fails("DeleteRole", "UnmodifiableEntity", protected, RoleName=name)
    iam.fails("AttachRolePolicy", "UnmodifiableEntity", protected, RoleName=name, PolicyArn=READ_ONLY)
    task = iam("DeleteServiceLinkedRole", RoleName=name)["DeletionTaskId"]
    same(iam("GetServiceLinkedRoleDeletionStatus", DeletionTaskId=task)["Status"], "SUCCEEDED")
    iam.fails("GetRole", "NoSuchEntity", f"The role with name {name} cannot be found.", RoleName=name)


@check("boto3: the account as a whole")
def _(bench):
    iam = home(bench)
    iam("CreateRole", RoleName="seen", AssumeRolePolicyDocument=SERVICE)
    iam("PutRolePolicy", RoleName="seen", PolicyName="own", PolicyDocument=READ)
    policy = iam("CreatePolicy", PolicyName="seen", PolicyDocument=READ)["Policy"]["Arn"]
    summary = iam("GetAccountSummary")["SummaryMap"]
    same({key: summary[key] for key in ("Users", "Groups", "Roles", "Policies")}, {"Users": 2, "Groups": 1, "Roles": 1, "Policies": 1})
    iam("CreateAccountAlias", AccountAlias="acme-ci")
    same(iam("ListAccountAliases")["AccountAliases"], ["acme-ci"])
    iam("DeleteAccountAlias", AccountAlias="acme-ci")
    details = iam("GetAccountAuthorizationDetails")
    same([user["UserName"] for user in details["UserDetailList"]], ["admin", "nobody"])
    same(details["UserDetailList"][0]["GroupList"], ["admins"])
    same(details["GroupDetailList"][0]["AttachedManagedPolicies"][0]["PolicyArn"], ADMINISTRATOR)
    same(details["RoleDetailList"][0]["RolePolicyList"], [{"PolicyName": "own", "PolicyDocument": json.loads(READ)}])
    same(sorted(one["Arn"] for one in details["Policies"]), sorted([policy, ADMINISTRATOR]))
    same(details["Policies"][0]["PolicyVersionList"][0]["Document"], json.loads(READ))
    only = iam("GetAccountAuthorizationDetails", Filter=["Role", "LocalManagedPolicy"])
    same([len(only[key]) for key in ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")], [0, 0, 1, 1])
    paginator = iam.by_admin.get_paginator("get_account_authorization_details")
    pages = list(paginator.paginate(PaginationConfig={"PageSize": 1}))
    same(len(pages), 6, "pages of one")
    iam("DeleteRolePolicy", RoleName="seen", PolicyName="own")
    iam("DeleteRole", RoleName="seen")
    iam("DeletePolicy", PolicyArn=policy)


@check("boto3: the simulator answers with what would be decided")
def _(bench):
    iam = home(bench)
    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "ecr:*", "Resource": "arn:aws:ecr:*:*:repository/web"},
                {"Effect": "Deny", "Action": "ecr:DeleteRepository", "Resource": "*"},
                {
                    "Effect": "Allow",
                    "Action": "s3:GetObject",
                    "Resource": "arn:aws:s3:::home/${aws:username}/*",
                    "Condition": {"StringEquals": {"aws:PrincipalTag/team": "web"}},
                },
            ],
        },
        separators=(",", ":"),
    )
    web = f"arn:aws:ecr:eu-west-1:{HOME}:repository/web"
    actions = ["ecr:PutImage", "ecr:DeleteRepository", "s3:GetObject"]
    results = iam("SimulateCustomPolicy", PolicyInputList=[policy], ActionNames=actions, ResourceArns=[web])["EvaluationResults"]
    same([one["EvalDecision"] for one in results], ["allowed", "explicitDeny", "implicitDeny"])
    statement = results[0]["MatchedStatements"][0]
    same((statement["SourcePolicyId"], statement["SourcePolicyType"]), ("PolicyInputList.1", "IAM Policy"))
    same(statement["StartPosition"], {"Line": 1, "Column": 38}, "as AWS counts")
    specific = results[0]["ResourceSpecificResults"][0]
    same((specific["EvalResourceName"], specific["EvalResourceDecision"]), (web, "allowed"))
    same("MissingContextValues" in specific, False, "what is allowed lacks nothing")
    same(results[2]["MissingContextValues"], ["aws:PrincipalTag/team", "aws:username"])
    same(results[2]["ResourceSpecificResults"][0]["MissingContextValues"], ["aws:PrincipalTag/team", "aws:username"])
    same("MatchedStatements" in results[2]["ResourceSpecificResults"][0], False, "nothing matched")
    same(results[0]["EvalDecisionDetails"], {}, "within an account")
    everything = iam("SimulateCustomPolicy", PolicyInputList=[policy], ActionNames=["ecr:PutImage"])["EvaluationResults"][0]
    same((everything["EvalDecision"], "ResourceSpecificResults" in everything), ("implicitDeny", False))

    iam("CreateRole", RoleName="simulated", AssumeRolePolicyDocument=SERVICE, Tags=[{"Key": "team", "Value": "web"}])
    iam("PutRolePolicy", RoleName="simulated", PolicyName="own", PolicyDocument=policy)
    iam("PutRolePermissionsBoundary", RoleName="simulated", PermissionsBoundary=READ_ONLY)
    role = f"{ARN}role/simulated"

    def simulate(action, resource, **more):
        more |= {"PolicySourceArn": role, "ActionNames": [action], "ResourceArns": [resource]}
        return iam("SimulatePrincipalPolicy", **more)["EvaluationResults"][0]

    bounded = simulate("ecr:PutImage", web)
    detail = bounded["PermissionsBoundaryDecisionDetail"]
    same((bounded["EvalDecision"], detail), ("implicitDeny", {"AllowedByPermissionsBoundary": False}))
    read = simulate("ecr:BatchGetImage", web)
    same((read["EvalDecision"], read["MatchedStatements"][0]["SourcePolicyId"]), ("allowed", "role_simulated_own"))
    without = [{"InlinePolicyIdentifier": {"PolicyName": "own", "AttachmentType": "role", "AttachmentName": "simulated"}}]
    same(simulate("ecr:BatchGetImage", web, PolicyExclusionList=without)["EvalDecision"], "implicitDeny")
    elsewhere = simulate("ecr:BatchGetImage", web.replace(HOME, "999988887777"))
    same((elsewhere["EvalDecision"], elsewhere["EvalDecisionDetails"]), ("allowed", {}), "a repository of another account")
    own = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ecr:PutImage", "Principal": "*"}})
    elsewhere = simulate("ecr:BatchGetImage", web.replace(HOME, "999988887777"), ResourcePolicy=own)
    details = {"IAM Policy": "allowed", "Resource Policy": "implicitDeny", "Permissions Boundary Policy": "allowed"}
    same((elsewhere["EvalDecision"], elsewhere["EvalDecisionDetails"]), ("implicitDeny", details), "and its policy")
    iam("DeleteRolePermissionsBoundary", RoleName="simulated")
    given = [{"ContextKeyName": "aws:username", "ContextKeyValues": ["x"], "ContextKeyType": "string"}]
    got = simulate("s3:GetObject", "arn:aws:s3:::home/x/file", ContextEntries=given)
    same((got["EvalDecision"], "MissingContextValues" in got["ResourceSpecificResults"][0]), ("allowed", False))
    given += [{"ContextKeyName": "aws:PrincipalTag/team", "ContextKeyValues": ["web"], "ContextKeyType": "stringList"}]
    got = simulate("s3:GetObject", "arn:aws:s3:::home/x/file", ContextEntries=given)
    same(got["EvalDecision"], "implicitDeny", "StringEquals compares no list, not even of one value")
    many = iam("SimulateCustomPolicy", PolicyInputList=[policy], ActionNames=["ecr:PutImage"] * 2001, ResourceArns=[web, web])
    same((len(many["EvaluationResults"]), many["IsTruncated"]), (100, True), "pages of actions")
    nothing = iam("SimulateCustomPolicy", PolicyInputList=[], ActionNames=["ecr:PutImage"])["EvaluationResults"]
    same([one["EvalDecision"] for one in nothing], ["implicitDeny"], "no policies")
    keys = iam("GetContextKeysForPrincipalPolicy", PolicySourceArn=role)["ContextKeyNames"]
    same(keys, ["aws:PrincipalTag/team", "aws:username"])
    same(iam("GetContextKeysForCustomPolicy", PolicyInputList=[policy, READ])["ContextKeyNames"], keys)
    iam("DeleteRolePolicy", RoleName="simulated", PolicyName="own")
    iam("DeleteRole", RoleName="simulated")


@check("every operation of IAM that is served was both allowed and refused above")
def _(bench):
    iam = home(bench)
    operations = set(iam.model.operation_names)
    unserved = set()
    for operation in operations - iam.allowed:
        version = iam.model.api_version
        answer = aws.signed(bench, "iam", f"Action={operation}&Version={version}".encode(), (HOME, "test"))
        if answer.status == 400 and answer.fault()[0] == "InvalidAction":
            unserved.add(operation)
    same(sorted(operations - iam.allowed - unserved), [], "served, and not called by these checks")
    same(sorted(iam.allowed - iam.refused), [], "allowed, and not refused to anyone")
    same(len(iam.allowed) > 110, True, f"{len(iam.allowed)} operations")


@check("IAM answers by GET and by POST")
def _(bench):
    home(bench)
    url = aws.client(bench, "iam", bench.admin).generate_presigned_url("list_users", HttpMethod="GET")
    same(urllib.parse.urlsplit(url).query.startswith("Action=ListUsers"), True, url)
    answer = aws.http(url)
    same(answer.status, 200, answer.text())
    contains(answer.text(), ["<ListUsersResponse", "<UserName>admin</UserName>"])


@check("a user with an access key and a policy logs in and pushes; without the policy it can't")
def _(bench):
    # The repository is in the default account, and so are these users.
    root = aws.client(bench, "iam", ("test", "test"))
    for name, policy in (("ci-static", PUSH), ("ci-without", allow("ecr:GetAuthorizationToken"))):
        root.create_user(UserName=name)
        arn = root.create_policy(PolicyName=name, PolicyDocument=policy)["Policy"]["Arn"]
        root.attach_user_policy(UserName=name, PolicyArn=arn)
    keys = {}
    for name in ("ci-static", "ci-without"):
        made = root.create_access_key(UserName=name)["AccessKey"]
        keys[name] = (made["AccessKeyId"], made["SecretAccessKey"], "")
    source = bench.dir / "image-static"
    images.layout(source)
    there = f"docker://{bench.server.address}/web:static-key"
    login = images.log_in(bench, keys["ci-static"], "static")
    images.copy(bench, login, f"oci:{source}:it", there)
    login = images.log_in(bench, keys["ci-without"], "without")
    refused = images.copy(bench, login, f"oci:{source}:it", there, expect=1)
    contains(refused.stderr, ["403 (Forbidden)"])
    root.update_access_key(UserName="ci-static", AccessKeyId=keys["ci-static"][0], Status="Inactive")
    environment = bench.environment(AWS_ACCESS_KEY_ID=keys["ci-static"][0], AWS_SECRET_ACCESS_KEY=keys["ci-static"][1])
    off = bench.run(program("aws"), "ecr", "get-login-password", env=environment, expect=255)
    contains(off.stderr, ["UnrecognizedClientException", "The security token included in the request is invalid."])


@check("aws CLI: roles, policies and users, with its waiters")
def _(bench):
    home(bench)
    environment = bench.environment(AWS_ACCESS_KEY_ID=bench.admin[0], AWS_SECRET_ACCESS_KEY=bench.admin[1])

    def cli(*words):
        done = bench.run(program("aws"), "iam", *words, "--output", "json", env=environment)
        return json.loads(done.stdout) if done.stdout.strip() else None

    cli("create-role", "--role-name", "by-cli", "--assume-role-policy-document", SERVICE)
    cli("wait", "role-exists", "--role-name", "by-cli")
    cli("put-role-policy", "--role-name", "by-cli", "--policy-name", "own", "--policy-document", READ)
    same(cli("get-role-policy", "--role-name", "by-cli", "--policy-name", "own")["PolicyDocument"], json.loads(READ))
    same(len(cli("list-roles", "--max-items", "1")["Roles"]), 1)
    cli("create-user", "--user-name", "by-cli")
    cli("wait", "user-exists", "--user-name", "by-cli")
    results = cli("simulate-principal-policy", "--policy-source-arn", f"{ARN}role/by-cli", "--action-names", "s3:GetObject")
    same(results["EvaluationResults"][0]["EvalDecision"], "allowed")
    cli("delete-user", "--user-name", "by-cli")
    cli("delete-role-policy", "--role-name", "by-cli", "--policy-name", "own")
    cli("delete-role", "--role-name", "by-cli")
