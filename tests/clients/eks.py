"""EKS by boto3 and the aws CLI: every operation, paginator and waiter that clients of a pod's identity use;
and `landfall serve pod`, which runs a command as a pod."""

import base64
import json
import shutil

import aws
from harness import ACCOUNT, NOBODY, REGION, ROOT, add, check, contains, lacks, matches, program, same

ROOT_KEYS = ("test", "test")
POD_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        }
    ],
}
NO_PODS = "Unauthorized Exception! EKS does not have permissions to assume the associated role."


def eks(bench):
    return aws.client(bench, "eks", ROOT_KEYS)


def role(bench, name, trust):
    """A role with this trust policy; its ARN. One that is there is given the policy."""
    iam = aws.client(bench, "iam", ROOT_KEYS)
    document = json.dumps(trust)
    try:
        return iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=document)
        return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def cluster(bench, name, **more):
    """A cluster; its description."""
    trust = json.loads(json.dumps(POD_TRUST).replace("pods.eks", "eks"))
    client = eks(bench)
    try:
        client.create_cluster(
            name=name,
            roleArn=role(bench, "eks-cluster", trust),
            resourcesVpcConfig={"subnetIds": ["subnet-1", "subnet-2"]},
            **more,
        )
    except client.exceptions.ResourceInUseException:
        pass
    waiter = client.get_waiter("cluster_active")
    waiter.config.delay = 0
    waiter.wait(name=name)
    return client.describe_cluster(name=name)["cluster"]


def associate(bench, name, service_account, trust=POD_TRUST, **more):
    """An association of `build/SERVICE-ACCOUNT` with a role of that name."""
    arn = role(bench, service_account, trust)
    client = eks(bench)
    made = client.create_pod_identity_association(
        clusterName=name, namespace="build", serviceAccount=service_account, roleArn=arn, **more
    )
    return made["association"]


def pod(bench, service_account, *command, name="pods", flags=(), expect=0, env=None):
    """Runs a command as a pod."""
    who = ["--cluster", name, "--namespace", "build", "--service-account", service_account]
    flags = ["--endpoint", bench.server.url, *flags]
    return bench.run(bench.landfall, "serve", "pod", *who, *flags, "--", *command, expect=expect, env=env)


@check("clusters are made, waited for, described, listed page by page, tagged and deleted")
def clusters(bench):
    client = eks(bench)
    for name in ("one", "two", "three"):
        made = cluster(bench, name, version="1.33", tags={"team": "a"})
    same(made["status"], "ACTIVE")
    same(made["arn"], f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/three")
    same((made["version"], made["tags"]), ("1.33", {"team": "a"}))
    same(made["resourcesVpcConfig"]["subnetIds"], ["subnet-1", "subnet-2"])
    matches(made["identity"]["oidc"]["issuer"], rf"https://oidc\.eks\.{REGION}\.amazonaws\.com/id/[0-9A-F]{{32}}")
    matches(made["endpoint"], rf"https://[0-9A-F]{{32}}\.gr7\.{REGION}\.eks\.amazonaws\.com")
    contains(base64.b64decode(made["certificateAuthority"]["data"]).decode(), ["no Kubernetes runs here"])
    same(made["createdAt"].year > 2020, True)
    pages = list(client.get_paginator("list_clusters").paginate(PaginationConfig={"PageSize": 1}))
    names = [name for page in pages for name in page["clusters"]]
    same([name for name in names if name in ("one", "two", "three")], ["one", "three", "two"])
    same(max(len(page["clusters"]) for page in pages), 1)
    client.tag_resource(resourceArn=made["arn"], tags={"stage": "b"})
    client.untag_resource(resourceArn=made["arn"], tagKeys=["team", "none"])
    same(client.list_tags_for_resource(resourceArn=made["arn"])["tags"], {"stage": "b"})
    for name in ("one", "two", "three"):
        same(client.delete_cluster(name=name)["cluster"]["status"], "DELETING")
        waiter = client.get_waiter("cluster_deleted")
        waiter.config.delay = 0
        waiter.wait(name=name)
    refused = aws.refusal(client.describe_cluster, name="one")
    same(refused[:3], ("ResourceNotFoundException", "No cluster found for name: one.", 404))


@check("the aws CLI makes a cluster and an association, and writes a kubeconfig")
def cli(bench):
    tool = program("aws")
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    kubeconfig = bench.dir / "kubeconfig"
    environment = bench.environment(**keys)
    arn = cluster(bench, "cli")["arn"]
    role(bench, "by-cli", POD_TRUST)
    call = lambda *words: json.loads(bench.run(tool, "eks", *words, "--output", "json", env=environment).stdout)
    made = call(
        *("create-pod-identity-association", "--cluster-name", "cli", "--namespace", "build"),
        *("--service-account", "by-cli", "--role-arn", f"arn:aws:iam::{ACCOUNT}:role/by-cli", "--tags", "a=b"),
    )["association"]
    same(made["tags"], {"a": "b"})
    listed = call("list-pod-identity-associations", "--cluster-name", "cli", "--namespace", "build")
    same([one["associationId"] for one in listed["associations"]], [made["associationId"]])
    tag = ("tag-resource", "--resource-arn", made["associationArn"], "--tags", "c=d")
    bench.run(tool, "eks", *tag, env=environment)
    same(call("list-tags-for-resource", "--resource-arn", made["associationArn"])["tags"], {"a": "b", "c": "d"})
    bench.run(tool, "eks", "update-kubeconfig", "--name", "cli", "--kubeconfig", kubeconfig, env=environment)
    contains(kubeconfig.read_text(), [arn, ".eks.amazonaws.com"])
    call("delete-pod-identity-association", "--cluster-name", "cli", "--association-id", made["associationId"])
    call("delete-cluster", "--name", "cli")


@check("associations are made, listed page by page, changed and deleted")
def associations(bench):
    client = eks(bench)
    cluster(bench, "pods")
    made = [associate(bench, "pods", f"listed-{number}") for number in range(3)]
    same(made[0]["associationArn"].rpartition("/")[0], f"arn:aws:eks:{REGION}:{ACCOUNT}:podidentityassociation/pods")
    matches(made[0]["associationId"], r"a-[a-z0-9]{17}")
    pages = client.get_paginator("list_pod_identity_associations").paginate(
        clusterName="pods", namespace="build", PaginationConfig={"PageSize": 2}
    )
    listed = {one["serviceAccount"] for page in pages for one in page["associations"]}
    same({"listed-0", "listed-1", "listed-2"} <= listed, True)
    target = role(bench, "listed-target", POD_TRUST)
    where = {"clusterName": "pods", "associationId": made[0]["associationId"]}
    changed = client.update_pod_identity_association(**where, targetRoleArn=target, disableSessionTags=True)["association"]
    same((changed["targetRoleArn"], changed["disableSessionTags"]), (target, True))
    same(changed["externalId"], f"{REGION}/{ACCOUNT}/pods/build/listed-0")
    same(client.describe_pod_identity_association(**where)["association"], changed)
    cleared = client.update_pod_identity_association(**where, targetRoleArn="")["association"]
    same("targetRoleArn" in cleared or "externalId" in cleared, False)
    again = aws.refusal(
        client.create_pod_identity_association,
        clusterName="pods",
        namespace="build",
        serviceAccount="listed-1",
        roleArn=made[1]["roleArn"],
    )
    same(again[:3], ("ResourceInUseException", f"Association already exists: {made[1]['associationId']}", 409))
    for one in made:
        client.delete_pod_identity_association(clusterName="pods", associationId=one["associationId"])
    gone = aws.refusal(client.describe_pod_identity_association, **where)
    same(gone[:3], ("ResourceNotFoundException", f"No service account role association found for ID: {where['associationId']}", 404))


@check("the same clientRequestToken answers what it made")
def idempotent(bench):
    cluster(bench, "pods")
    token = "0123456789" * 4
    first = associate(bench, "pods", "once", clientRequestToken=token)
    again = eks(bench).create_pod_identity_association(
        clusterName="pods", namespace="other", serviceAccount="x", roleArn=first["roleArn"], clientRequestToken=token
    )
    same(again["association"], first)


@check("AssumeRoleForPodIdentity by boto3: a session with whose it is, and each refusal")
def auth(bench):
    cluster(bench, "pods")
    made = associate(bench, "pods", "by-api")
    client = aws.client(bench, "eks-auth", ROOT_KEYS)
    mint = lambda *flags: bench.run(
        *(bench.landfall, "token", "eks", "--cluster", "pods", "--namespace", "build", "--service-account", "by-api"),
        *("--aud", "pods.eks.amazonaws.com", "--endpoint", bench.server.url, *flags),
    ).stdout
    answer = client.assume_role_for_pod_identity(clusterName="pods", token=mint())
    same(answer["subject"], {"namespace": "build", "serviceAccount": "by-api"})
    same(answer["podIdentityAssociation"]["associationId"], made["associationId"])
    given = answer["credentials"]
    keys = given["accessKeyId"], given["secretAccessKey"], given["sessionToken"]
    arn = aws.client(bench, "sts", keys).get_caller_identity()["Arn"]
    same(arn, answer["assumedRoleUser"]["arn"])
    matches(arn, rf"arn:aws:sts::{ACCOUNT}:assumed-role/by-api/eks-pods-by-api-0-[-0-9a-f]{{36}}")
    for flags, code in [
        (("--aud", "sts.amazonaws.com"), "InvalidTokenException"),
        (("--signed-by", "stranger"), "InvalidTokenException"),
        (("--age", "1500"), "ExpiredTokenException"),
        (("--service-account", "nobody"), "ResourceNotFoundException"),
    ]:
        minted = bench.run(
            *(bench.landfall, "token", "eks", "--cluster", "pods", "--namespace", "build"),
            *(("--service-account", "by-api") if "--service-account" not in flags else ()),
            *(("--aud", "pods.eks.amazonaws.com") if "--aud" not in flags else ()),
            *("--endpoint", bench.server.url, *flags),
        ).stdout
        same(aws.refusal(client.assume_role_for_pod_identity, clusterName="pods", token=minted)[0], code, flags)


@check("a pod by Pod Identity is its role, for the aws CLI and for boto3")
def by_pod_identity(bench):
    cluster(bench, "pods")
    associate(bench, "pods", "someone")
    # What whoever runs it has is kept from the pod.
    mine = bench.environment(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_PROFILE="mine")
    said = pod(bench, "someone", program("aws"), "sts", "get-caller-identity", "--query", "Arn", "--output", "text", env=mine)
    wanted = rf"arn:aws:sts::{ACCOUNT}:assumed-role/someone/eks-pods-someone-0-[-0-9a-f]{{36}}"
    matches(said.stdout.strip(), wanted)
    contains(said.stderr, ["build/someone of cluster pods: Pod Identity, association a-", "role/someone"])
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    matches(pod(bench, "someone", program("python3"), "-c", script).stdout.strip(), wanted)
    variables = pod(bench, "someone", "env", env=mine).stdout
    contains(
        variables,
        [
            f"AWS_CONTAINER_CREDENTIALS_FULL_URI={bench.server.url}/v1/credentials\n",
            "/eks-pod-identity-token\n",
            f"AWS_REGION={REGION}\n",
            f"AWS_DEFAULT_REGION={REGION}\n",
            "AWS_STS_REGIONAL_ENDPOINTS=regional\n",
            f"AWS_ENDPOINT_URL={bench.server.url}\n",
        ],
    )
    lacks(variables, ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY"])
    same(pod(bench, "someone", "sh", "-c", "exit 7", expect=7).stdout, "")
    # What the pod's manifest sets is left as it is: the workaround of those whose tool doesn't know the agent.
    own = ["--env", "AWS_REGION=us-east-1", "--env", "AWS_CONTAINER_CREDENTIALS_FULL_URI=", "--env", "A=b=c"]
    variables = pod(bench, "someone", "env", flags=own).stdout
    contains(variables, ["AWS_REGION=us-east-1\n", "AWS_CONTAINER_CREDENTIALS_FULL_URI=\n", "A=b=c\n"])
    lacks(variables, ["AWS_DEFAULT_REGION"])


@check("a pod by IRSA is its role, and each way to break it is refused")
def by_irsa(bench):
    issuer = cluster(bench, "pods")["identity"]["oidc"]["issuer"]
    host = issuer.removeprefix("https://")
    iam = aws.client(bench, "iam", ROOT_KEYS)
    iam.create_open_id_connect_provider(Url=issuer, ClientIDList=["sts.amazonaws.com"])
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{host}:aud": "sts.amazonaws.com", f"{host}:sub": "system:serviceaccount:build:irsa"}},
            }
        ],
    }
    arn = role(bench, "irsa", trust)
    identity = (program("aws"), "sts", "get-caller-identity", "--query", "Arn", "--output", "text")
    said = pod(bench, "irsa", *identity, flags=["--role", arn])
    matches(said.stdout.strip(), rf"arn:aws:sts::{ACCOUNT}:assumed-role/irsa/botocore-session-\d+")
    variables = pod(bench, "irsa", "env", flags=["--role", arn]).stdout
    contains(variables, [f"AWS_ROLE_ARN={arn}\n", "AWS_WEB_IDENTITY_TOKEN_FILE=", "/token\n"])
    lacks(variables, ["AWS_CONTAINER_", "AWS_ROLE_SESSION_NAME"])
    # The subject is another one's.
    refused = pod(bench, "other", *identity, flags=["--role", arn], expect=255)
    contains(refused.stderr, ["Not authorized to perform sts:AssumeRoleWithWebIdentity"])
    # The audience is not the provider's.
    refused = pod(bench, "irsa", *identity, flags=["--role", arn, "--audience", "vault"], expect=255)
    contains(refused.stderr, ["(InvalidIdentityToken)", "The web identity token provided could not be validated"])
    # The cluster is another one, whose issuer nobody has made a provider of.
    cluster(bench, "elsewhere")
    refused = pod(bench, "irsa", *identity, name="elsewhere", flags=["--role", arn], expect=255)
    contains(refused.stderr, ["(InvalidIdentityToken)", "No OpenIDConnect provider found in your account"])
    # With an association as well, Pod Identity wins; --irsa is as if there were none.
    associate(bench, "pods", "irsa", trust=POD_TRUST)
    both = {"Version": "2012-10-17", "Statement": POD_TRUST["Statement"] + trust["Statement"]}
    role(bench, "irsa", both)
    contains(pod(bench, "irsa", *identity, flags=["--role", arn]).stdout, ["/eks-pods-irsa-0-"])
    contains(pod(bench, "irsa", *identity, flags=["--role", arn, "--irsa"]).stdout, ["/botocore-session-"])


@check("a pod without an association gets nothing, and is told why")
def by_nothing(bench):
    cluster(bench, "empty")
    said = pod(bench, "nobody", "env", name="empty")
    contains(said.stderr, ["no Pod Identity association (no service account of the cluster has one)", "no variables and no token"])
    lacks(said.stdout, ["AWS_CONTAINER_", "AWS_ROLE_ARN", "AWS_REGION"])
    refused = pod(bench, "nobody", program("aws"), "sts", "get-caller-identity", "--region", REGION, name="empty", expect=255)
    contains(refused.stderr, ["Unable to locate credentials"])


@check("a trust policy without sts:TagSession refuses with EKS's sentence, and the log says why")
def no_tag_session(bench):
    cluster(bench, "pods")
    trust = json.loads(json.dumps(POD_TRUST).replace(', "sts:TagSession"', ""))
    associate(bench, "pods", "untagged", trust=trust)
    refused = pod(bench, "untagged", program("aws"), "sts", "get-caller-identity", expect=255)
    contains(refused.stderr, ["Received non 200 response 400 from container metadata: [", f"(AccessDeniedException): {NO_PODS}, fault: client"])
    request = refused.stderr.partition("metadata: [")[2].partition("]")[0]
    record = bench.server.decision(request)
    same(record["action"], "sts:TagSession")
    contains(json.dumps(record), ["sts:TagSession", "disable_session_tags"])


@check("a trust policy for another service is refused when the association is made")
def wrong_service(bench):
    cluster(bench, "pods")
    arn = role(bench, "for-tasks", json.loads(json.dumps(POD_TRUST).replace("pods.eks", "ecs-tasks")))
    refused = aws.refusal(
        eks(bench).create_pod_identity_association,
        clusterName="pods",
        namespace="build",
        serviceAccount="for-tasks",
        roleArn=arn,
    )
    same(refused[0], "InvalidParameterException")
    contains(refused[1], ["Trust policy of the role provided is invalid."])


@check("bad usage of `serve pod` says what is wrong")
def usage(bench):
    cluster(bench, "pods")
    for flags, code, parts in [
        (["--cluster", "none"], 2, ["no EKS cluster `none` in account", "`pods` in"]),
        (["--cluster", "pods", "--role", "pusher"], 2, ["--role `pusher` is not a role's ARN"]),
        (["--cluster", "pods", "--irsa"], 2, ["--role <ARN>"]),
        ([], 2, ["--cluster NAME is expected"]),
        (["--cluster", "pods", "--token-lifetime", "10"], 2, ["600..=86400"]),
        (["--cluster", "pods", "--endpoint", f"http://{NOBODY}"], 3, [f"no `landfall serve` answers at http://{NOBODY}"]),
    ]:
        done = bench.run(bench.landfall, "serve", "pod", *flags, "--", "true", expect=code)
        contains(done.stderr, parts, flags)
    missing = bench.run(bench.landfall, "serve", "pod", "--cluster", "pods", "--", "no-such-program", expect=127)
    contains(missing.stderr, ["cannot start `no-such-program`"])


EXAMPLE = ROOT / "examples/eks-pod"
# A one-line edit of the example's Terraform or manifest, and what a person must be able to read.
BROKEN = [
    (
        "trust without sts:TagSession",
        "infra/main.tf",
        ('Principal = { Service = "pods.eks.amazonaws.com" }\n      Action    = ["sts:AssumeRole", "sts:TagSession"]',
         'Principal = { Service = "pods.eks.amazonaws.com" }\n      Action    = ["sts:AssumeRole"]'),
        [NO_PODS, "does not allow `sts:TagSession`", "infra/main.tf:39", "disable_session_tags"],
    ),
    (
        "trust for another namespace",
        "infra/main.tf",
        ('"aws:RequestTag/kubernetes-namespace" = local.namespace', '"aws:RequestTag/kubernetes-namespace" = "prod"'),
        [NO_PODS, "`aws:RequestTag/kubernetes-namespace` is `build`", "wanted `prod`"],
    ),
    (
        "trust for another service",
        "infra/main.tf",
        ("pods.eks.amazonaws.com", "ecs-tasks.amazonaws.com"),
        ["Trust policy of the role provided is invalid.", "no Pod Identity association", "EKS has given this pod nothing"],
    ),
    (
        "an association for another service account",
        "infra/main.tf",
        ('service_account = "pusher"', 'service_account = "other"'),
        ["no Pod Identity association (these have one: build/other)", "EKS has given this pod nothing"],
    ),
    (
        "IRSA for another service account",
        "infra/main.tf",
        ("system:serviceaccount:${local.namespace}:irsa-pusher", "system:serviceaccount:${local.namespace}:irsa"),
        ["Not authorized to perform sts:AssumeRoleWithWebIdentity", "got sub     `system:serviceaccount:build:irsa-pusher`"],
    ),
    (
        "IRSA for another audience",
        "infra/main.tf",
        ('client_id_list = ["sts.amazonaws.com"]', 'client_id_list = ["vault"]'),
        ["the token is for audience `sts.amazonaws.com`, which the provider does not know"],
    ),
    (
        "IRSA without a provider for the cluster's issuer",
        "infra/main.tf",
        ("url            = aws_eks_cluster.shop.identity[0].oidc[0].issuer", 'url = "https://oidc.eks.ap-northeast-2.amazonaws.com/id/0"'),
        ["No OpenIDConnect provider found in your account", "has no OIDC provider for this token's issuer"],
    ),
    (
        "a role that may not push",
        "infra/main.tf",
        ('          "ecr:PutImage",\n', ""),
        ["is not authorized to perform: ecr:PutImage"],
    ),
]


def rehearse(bench, name, expect, edit=None):
    place = bench.folder(f"pod-{name.replace(' ', '-')}") / "example"
    shutil.copytree(EXAMPLE, place)
    if edit:
        file, (old, new) = edit
        text = (place / file).read_text()
        same(text.count(old), 1, f"{file} has {old!r} so often")
        (place / file).write_text(text.replace(old, new))
    environment = bench.environment()
    environment.pop("AWS_ENDPOINT_URL")
    done = bench.run(bench.landfall, "rehearse", place, env=environment, expect=expect)
    return done.stdout + done.stderr


@check("the example's pods push by Pod Identity and by IRSA, with one command")
def example(bench):
    said = rehearse(bench, "good", 0)
    contains(
        said,
        [
            "2 pods of cluster shop",
            "build/push-by-pod-identity",
            "build/push-by-irsa",
            "sts:AssumeRole  role/pod-pusher",
            "sts:AssumeRoleWithWebIdentity  role/irsa-pusher",
            "ecr:PutImage  repository/web",
            "infra/main.tf:36",
            "the crossing works",
        ],
    )
    lacks(said, ["✗"])


def broken(title, file, edit, parts):
    def run(bench):
        contains(rehearse(bench, title, 1, (file, edit)), [*parts, "the crossing does not work"])

    add("eks", f"the example broken: {title}", run)


for row in BROKEN:
    broken(*row)


@check("a manifest that can't be run is told before anything starts")
def unrunnable(bench):
    for name, edit, parts in [
        ("no-command", ('          command: ["./push.sh"]\n---', "---"), ["container `push` has no `command`", "pod.yaml:"]),
        ("no-yaml", ("metadata:", "metadata: ["), ["pod.yaml:"]),
    ]:
        place = bench.folder(f"manifest-{name}") / "example"
        shutil.copytree(EXAMPLE, place)
        text = (place / "pod.yaml").read_text()
        (place / "pod.yaml").write_text(text.replace(*edit, 1))
        done = bench.run(bench.landfall, "rehearse", place / "pod.yaml", expect=2)
        contains(done.stderr, [*parts, "nothing was started"], name)
    flags = bench.run(bench.landfall, "rehearse", EXAMPLE, "--event", "push", expect=2)
    contains(flags.stderr, ["--event is for workflows and pipelines, and this is a Kubernetes manifest"])
