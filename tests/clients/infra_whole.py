"""`serve --infra`: all that Terraform says of IAM and ECR is there (infra_whole.tf), and what isn't is named."""

import json
import shutil

import aws
from harness import ACCOUNT, HERE, Server, check, contains, same

KEYS = ("test", "test")
REGION = "eu-west-1"


class Started:
    """A server on the Terraform, and its clients."""

    def __init__(self, bench):
        self.bench, self.main = bench, bench.server
        folder = bench.dir / "infra-whole"
        folder.mkdir(exist_ok=True)
        shutil.copy(HERE / "infra_whole.tf", folder / "main.tf")
        self.server = Server(bench, "--offline", "--infra", str(folder))
        bench.server = self.server

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bench.server = self.main
        self.server.stop()

    def client(self, service, region=REGION):
        return aws.client(self.bench, service, KEYS, region=region)


@check("tags of the provider, of roles, policies, users and repositories are there")
def _(bench):
    with Started(bench) as started:
        iam, ecr = started.client("iam"), started.client("ecr")
        provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
        told = [
            iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=provider)["Tags"],
            iam.list_role_tags(RoleName="push")["Tags"],
            iam.list_policy_tags(PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/p")["Tags"],
            iam.list_user_tags(UserName="ci")["Tags"],
            ecr.list_tags_for_resource(resourceArn=f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/web")["tags"],
        ]
        told = [{tag["Key"]: tag["Value"] for tag in tags} for tags in told]
        same(told, [{"team": "platform"}, {"app": "web", "team": "platform"}, {"team": "x"}, {"a": "b"}, {"team": "platform"}])


@check("a repository has its encryption and its exclusions, and a registry all of its configuration")
def _(bench):
    with Started(bench) as started:
        ecr = started.client("ecr")
        [repository] = ecr.describe_repositories()["repositories"]
        same(repository["encryptionConfiguration"]["encryptionType"], "KMS")
        same(repository["imageTagMutabilityExclusionFilters"], [{"filterType": "WILDCARD", "filter": "latest*"}])
        same(repository["imageScanningConfiguration"], {"scanOnPush": True})
        contains(ecr.get_lifecycle_policy(repositoryName="web")["lifecyclePolicyText"], ["imageCountMoreThan"])
        contains(ecr.get_repository_policy(repositoryName="web")["policyText"], ["ecr:BatchGetImage"])
        contains(ecr.get_registry_policy()["policyText"], ["ecr:ReplicateImage"])
        same(ecr.get_registry_scanning_configuration()["scanningConfiguration"]["scanType"], "ENHANCED")
        [rule] = ecr.describe_registry()["replicationConfiguration"]["rules"]
        same(rule["destinations"], [{"region": "us-west-2", "registryId": ACCOUNT}])
        [cached] = ecr.describe_pull_through_cache_rules()["pullThroughCacheRules"]
        same((cached["ecrRepositoryPrefix"], cached["upstreamRegistryUrl"]), ("ecr-public", "public.ecr.aws"))
        [template] = ecr.describe_repository_creation_templates()["repositoryCreationTemplates"]
        same((template["prefix"], template["resourceTags"]), ("team", [{"Key": "made", "Value": "by-template"}]))
        same(ecr.get_account_setting(name="BASIC_SCAN_TYPE_VERSION")["value"], "AWS_NATIVE")


@check("a public repository is there with its catalog data, its policy and its tags")
def _(bench):
    with Started(bench) as started:
        public = started.client("ecr-public", "us-east-1")
        [repository] = public.describe_repositories()["repositories"]
        same(public.get_repository_catalog_data(repositoryName="tool")["catalogData"]["aboutText"], "about")
        contains(public.get_repository_policy(repositoryName="tool")["policyText"], ["ecr-public:PutImage"])
        same(public.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"], [{"Key": "env", "Value": "production"}])


@check("groups, instance profiles, service-linked roles, the alias and CodeDeploy's own configurations are there")
def _(bench):
    with Started(bench) as started:
        iam, deploy = started.client("iam"), started.client("codedeploy")
        group = iam.get_group(GroupName="devs")
        same([user["UserName"] for user in group["Users"]], ["bounded", "ci"])
        same(iam.list_group_policies(GroupName="devs")["PolicyNames"], ["tell"])
        same([it["PolicyName"] for it in iam.list_attached_group_policies(GroupName="devs")["AttachedPolicies"]], ["edge"])
        same(iam.get_policy(PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/edge")["Policy"]["Description"], "nobody goes beyond")
        profile = iam.get_instance_profile(InstanceProfileName="ip")["InstanceProfile"]
        same(([role["RoleName"] for role in profile["Roles"]], profile["Tags"]), (["push"], [{"Key": "team", "Value": "platform"}]))
        linked = iam.get_role(RoleName="AWSServiceRoleForAutoScaling_web")["Role"]
        same((linked["Path"], linked["Description"], linked["Tags"]), ("/aws-service-role/autoscaling.amazonaws.com/", "scales", [{"Key": "team", "Value": "platform"}]))
        same(iam.list_account_aliases()["AccountAliases"], ["acme"])
        arn = f"arn:aws:codedeploy:{REGION}:{ACCOUNT}:application:app"
        same(deploy.list_tags_for_resource(ResourceArn=arn)["Tags"], [{"Key": "team", "Value": "platform"}])
        slow = deploy.get_deployment_config(deploymentConfigName="slow")["deploymentConfigInfo"]["trafficRoutingConfig"]
        same(slow, {"type": "TimeBasedCanary", "timeBasedCanary": {"canaryPercentage": 20, "canaryInterval": 30}})


@check("what a user may do counts the policies of its groups and its boundary, and the reason has their lines")
def _(bench):
    with Started(bench) as started:
        key = started.client("iam").create_access_key(UserName="bounded")["AccessKey"]
        keys = (key["AccessKeyId"], key["SecretAccessKey"])
        iam, ecs = (aws.client(bench, name, keys, region=REGION) for name in ("iam", "ecs"))
        same(ecs.list_clusters()["clusterArns"] != [], True, "clusters, by the group's policy")
        code, message, _, request_id = aws.refusal(ecs.delete_cluster, cluster="prod")
        same(code, "AccessDeniedException")
        contains(message, ["with an explicit deny in an identity-based policy"])
        record = json.dumps(started.server.decision(request_id))
        line = next(at for at, text in enumerate((HERE / "infra_whole.tf").read_text().splitlines(), 1) if "ecs:DeleteCluster" in text)
        contains(record, ["inline policy tell of group devs", f'"line": {line}'], "the record")
        # The group's attached policy allows it, and the boundary, which is the same one.
        iam.get_user(UserName="bounded")
        same(aws.refusal(iam.list_users)[0], "AccessDenied")


@check("a policy that can't be worked out is as unknown after a start without the Terraform, and the reason has its line")
def _(bench):
    folder, data = bench.dir / "infra-unknown", bench.dir / "infra-unknown-data"
    folder.mkdir()
    shutil.copy(HERE / "infra_whole.tf", folder / "main.tf")
    told = []
    for flags in (["--infra", str(folder)], []):
        main = bench.server
        server = Server(bench, "--offline", "--data", str(data), *flags)
        bench.server = server
        try:
            session = aws.exchange(bench, bench.token(), role=f"arn:aws:iam::{ACCOUNT}:role/push")
            ecr = aws.client(bench, "ecr", session, region=REGION)
            ecr.get_authorization_token()
            code, _, _, request_id = aws.refusal(ecr.describe_images, repositoryName="web")
            same(code, "AccessDeniedException")
            told.append(server.decision(request_id)["finding"])
        finally:
            bench.server = main
            same(server.stop(), 0, "exit code")
    contains(json.dumps(told[1]), ["unknown-policy", "nobody_says", "main.tf"], "the reason after the second start")
    same(told[1], told[0], "the reason")


@check("what isn't made is named at the start, and so is a policy that can't be worked out")
def _(bench):
    with Started(bench) as started:
        found = {finding["rule"]: finding for finding in started.server.ready["findings"]}
        same(sorted(found), ["terraform-not-made", "unknown-policy"])
        contains(found["terraform-not-made"]["message"], ["`aws_iam_saml_provider`"])
        contains(json.dumps(found["unknown-policy"]), ["the policy `own` of the role `push`", "nobody_says", "main.tf"])


@check("what depends on a policy that can't be worked out is refused, and the reason says that it is unknown")
def _(bench):
    with Started(bench) as started:
        session = aws.exchange(bench, bench.token(), role=f"arn:aws:iam::{ACCOUNT}:role/push")
        ecr = aws.client(bench, "ecr", session, region=REGION)
        ecr.get_authorization_token()
        code, _, _, request_id = aws.refusal(ecr.describe_images, repositoryName="web")
        same(code, "AccessDeniedException")
        record = json.dumps(started.server.decision(request_id))
        contains(record, ["unknown-policy", "whether AWS allows `ecr:DescribeImages`", "nobody_says"], "the record")
