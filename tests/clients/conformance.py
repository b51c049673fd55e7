"""The OCI conformance suite: whole with `--registry strict-oci`, and without it all but what ECR refuses.

The suite is a Go module. It is built once, in a folder of the user's cache, and run as it is.
https://github.com/opencontainers/distribution-spec/tree/main/conformance
"""

import base64
import types
import xml.etree.ElementTree

import aws
import golang
from harness import Server, Wrong, check, same

SUITE = "github.com/opencontainers/distribution-spec/conformance"
VERSION = "v0.0.0-20260831232431-97274622c111"

# Fewer tests than this are a sign that most were left out.
TESTS_MIN = 500
# How the suite says that a test was not asked for.
UNASKED = "is disabled in the configuration"

# What the suite asks for and ECR doesn't have: deletion, mounts without a source, and tags by name.
NOT_ECR = {
    "OCI_API_BLOBS_DELETE": "false",
    "OCI_API_BLOBS_MOUNT_ANONYMOUS": "false",
    "OCI_API_MANIFESTS_DELETE": "false",
    "OCI_API_TAGS_DELETE": "false",
    "OCI_API_TAGS_LIST": "false",
}

# What it may ask for and a registry may answer otherwise: a blob is mounted where the account's setting
# allows it, which it doesn't at first; a range that ends before it begins is no range to S3.
OTHERWISE_IN_ECR = {
    "sha256 blobs/mount/blob-mount",
    "sha256 blobs/range requests/range 500-0",
    "sha512 blobs/mount/blob-mount",
    "sha512 blobs/range requests/range 500-0",
}

# What it asks for, with no setting to leave it out, and ECR refuses: an upload that ends before anything came.
REFUSED_BY_ECR = {"sha256 blobs/empty/blob-post-put"}


def suite():
    """The suite's program."""
    return golang.built(SUITE, VERSION, (1, 24))


def name(case):
    """A test's name without the suite's."""
    return case.get("name").partition("/")[2]


def conformance(bench, flags, settings, repositories=(), refused=frozenset()):
    """Runs the suite against a server of its own; gives the tests that didn't pass though they were asked for. Those
    of `refused` have to fail."""
    tool = suite()
    server = Server(bench, *flags)
    try:
        ecr = aws.client(types.SimpleNamespace(server=server), "ecr", ("test", "test"))
        for repository in repositories:
            ecr.create_repository(repositoryName=repository)
        [login] = ecr.get_authorization_token()["authorizationData"]
        user, password = base64.b64decode(login["authorizationToken"]).decode().split(":", 1)
        results = bench.dir / f"conformance-{len(list(bench.dir.glob('conformance-*')))}"
        own = {
            "OCI_REGISTRY": server.address,
            "OCI_TLS": "disabled",
            "OCI_REPO1": "conformance/one",
            "OCI_REPO2": "conformance/two",
            "OCI_USERNAME": user,
            "OCI_PASSWORD": password,
            "OCI_RESULTS_DIR": str(results),
            "OCI_LOG": "error",
        }
        bench.run(tool, env=bench.environment() | own | settings, expect=None)
    finally:
        server.stop()
    cases = list(xml.etree.ElementTree.parse(results / "junit.xml").iter("testcase"))
    wrong = [case for case in cases if case.get("status") not in ("passed", "skipped")]
    same({name(case) for case in wrong if name(case) in refused}, set(refused), "refused")
    wrong = [case for case in wrong if name(case) not in refused]
    if wrong:
        shown = [f"{case.get('name')}: {case.findtext('system-out')}\n{case.findtext('system-err')}" for case in wrong]
        raise Wrong(f"{len(wrong)} of {len(cases)} tests failed\n" + "\n".join(shown)[:20_000])
    if len(cases) < TESTS_MIN:
        raise Wrong(f"only {len(cases)} tests ran")
    skipped = [case for case in cases if case.get("status") == "skipped"]
    return {name(case) for case in skipped if UNASKED not in (case.findtext("system-err") or "")}


@check("with --registry strict-oci the suite passes whole: push, pull, content discovery, content management")
def _(bench):
    settings = {"OCI_VERSION": "1.1", "OCI_API_BLOBS_UPLOAD_CANCEL": "true"}
    same(conformance(bench, ["--registry", "strict-oci"], settings), set(), "skipped")


@check("with --registry strict-oci what comes after specification 1.1 passes too: tags that come with a digest")
def _(bench):
    same(conformance(bench, ["--registry", "strict-oci"], {"OCI_VERSION": "dev"}), set(), "skipped")


@check("as ECR, the suite passes but for what ECR refuses and two things that it does otherwise")
def _(bench):
    names = ("conformance/one", "conformance/two")
    settings = NOT_ECR | {"OCI_VERSION": "1.1", "OCI_API_BLOBS_UPLOAD_CANCEL": "true"}
    same(conformance(bench, [], settings, names, REFUSED_BY_ECR), OTHERWISE_IN_ECR, "skipped")
