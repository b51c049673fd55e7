"""Names of ECR's registries in scripts, with Docker and skopeo: each leads to the local registry of its own account and
region, however a script comes by it, or is refused."""

from docker_actions import HEAD, ROLE, rehearse
from docker_engine import docker
from gitlab import with_aws
from harness import add, check, contains, lacks, program, table

FAR = """
provider "aws" {
  alias  = "far"
  region = "us-east-1"
}
resource "aws_ecr_repository" "far" {
  provider = aws.far
  name     = "far"
}
resource "aws_iam_role_policy" "far" {
  role   = aws_iam_role.github_oidc.name
  policy = jsonencode({ Statement = [{ Effect = "Allow", Action = "ecr:*", Resource = "*" }] })
}
"""
DOCKERFILE = "FROM scratch\nCOPY Dockerfile /Dockerfile\n"
JOB = (
    HEAD
    + f"""  job:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: aws-actions/configure-aws-credentials@v6
        with: {{ aws-region: ap-northeast-2, role-to-assume: "{ROLE}", mask-aws-account-id: MASKED }}
      - uses: aws-actions/amazon-ecr-login@v2
        id: ecr
"""
)


def rehearsed(bench, workflow, files=(), expect=0):
    files = {"Dockerfile": DOCKERFILE, "../infra/far.tf": FAR, **{name: text.lstrip() for name, text in dict(files).items()}}
    path = with_aws(bench)["PATH"]
    said = rehearse(bench, workflow, files=files, expect=expect, DOCKER_BUILDKIT="0", PATH=path)
    # What a script builds stays in the engine, as it does for who runs it.
    for line in docker(bench, "images", "--format", "{{.Repository}}:{{.Tag}}").stdout.splitlines():
        # Other checks leave images whose tag another one has taken.
        if line.startswith("127.0.0.1:") and not line.endswith(":<none>"):
            docker(bench, "rmi", "--force", line)
    return said


def of(row):
    def run(bench):
        for name in ("aws", *row.get("needs", [])):
            program(name)
        step = "      - run: |\n" + "".join(f"          {line}\n" for line in row["script"].strip().splitlines())
        exit = row.get("exit", 0)
        said = rehearsed(bench, JOB.replace("MASKED", "false") + step, row.get("files", {}), expect=exit)
        contains(said, [*row["says"], "the crossing works" if exit == 0 else "the crossing does not work"])
        lacks(said, row.get("never", []))

    return run


for each in table("registry_names.toml", "name"):
    add(__name__, f"a name {each['name']}", of(each))


@check("an output with a registry's name is not handed on where the account is masked, as GitHub drops it")
def _(bench):
    outputs = "    outputs: { registry: \"${{ steps.ecr.outputs.registry }}\", tag: v1 }\n    steps:\n"
    reader = "  reader:\n    needs: job\n    runs-on: ubuntu-latest\n    steps:\n"
    reader += "      - run: echo \"[${{ needs.job.outputs.registry }}] [${{ needs.job.outputs.tag }}]\"\n"
    for masked, wanted in (("true", "[] [v1]"), ("false", "[127.0.0.1:")):
        workflow = JOB.replace("MASKED", masked).replace("    steps:\n", outputs) + reader
        said = rehearsed(bench, workflow)
        contains(said, [wanted])
        skipped = ["Skip output 'registry' since it may contain secret."]
        (contains if masked == "true" else lacks)(said, skipped)
