"""`landfall ecr login` and `docker-credential-landfall`: with skopeo, podman and Docker as the clients that read them."""

import base64
import concurrent.futures
import json

import aws
import containers
import docker_engine
from harness import ACCOUNT, NOBODY, REGION, check, contains, lacks, program, same
from images import PUSH, contents, layout, manifest_of, role, without

HELPER = "docker-credential-landfall"
NOT_FOUND = "credentials not found in native keychain"
OTHER = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"


def keys(session, **more):
    key, secret, token = session
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token} | more


def session(bench):
    return aws.exchange(bench, bench.token())


def helper_folder(bench):
    """A folder with the helper, for the PATH."""
    folder = bench.dir / "helper-bin"
    if not folder.is_dir():
        folder.mkdir()
        bench.run(bench.landfall, "ecr", "install-helper", "--dir", folder)
    return folder


def with_helper(bench, session, **more):
    """An environment in which clients find the helper and, through it, the session."""
    own = bench.environment(**keys(session, **more))
    own["PATH"] = f"{helper_folder(bench)}:{own['PATH']}"
    return own


def ask(bench, own, action, stdin="", expect=0):
    return bench.run(helper_folder(bench) / HELPER, action, stdin=stdin, env=own, expect=expect).stdout.strip()


def auths(folder):
    """User names by registry, of a config.json."""
    logins = json.loads((folder / "config.json").read_text())["auths"]
    return {name: base64.b64decode(entry["auth"]).decode().partition(":")[0] for name, entry in logins.items()}


@check("`ecr login` logs in to accounts, to a registry of another region by its name, and to ECR Public")
def _(bench):
    folder = bench.dir / "several"
    registries = f"{ACCOUNT}, {OTHER},public.ecr.aws"
    own = bench.environment(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    command = [bench.landfall, "ecr", "login", "--registries", registries, "--docker-config", folder]
    bench.run(*command, env=own)
    same(auths(folder), {bench.server.address: "AWS", OTHER: "AWS", "public.ecr.aws": "AWS"}, "logins")
    same((folder / "config.json").stat().st_mode & 0o777, 0o600, "mode")
    bench.run(bench.landfall, "ecr", "logout", "--docker-config", folder, env=own)
    # Another region's name leads here only while the endpoint says so: it is ECR's all the same.
    same(auths(folder), {}, "logins afterwards")


@check("`ecr login` with one registry that is refused writes none, and asks for no password in argv")
def _(bench):
    folder = bench.dir / "half"
    refused = role(bench, "login-no-public", PUSH)
    own = bench.environment(**keys(refused))
    command = [bench.landfall, "ecr", "login", "--registries", f"{ACCOUNT},public.ecr.aws", "--docker-config", folder]
    said = bench.run(*command, env=own, expect=1)
    contains(said.stderr, ["ecr-public:GetAuthorizationToken", "AccessDenied"], "what is said")
    same((folder / "config.json").exists(), False, "a config.json")


@check("where Docker's configuration names a credential helper, that one gets the login, and `ecr logout` takes it back")
def _(bench):
    tools, folder, kept = bench.folder("keeper-bin"), bench.folder("keeper-docker"), bench.dir / "kept"
    there = bench.server.address
    (folder / "config.json").write_text(json.dumps({"credsStore": "kept", "auths": {"ghcr.io": {}}}))
    tool = tools / "docker-credential-kept"
    tool.write_text(f"""#!/bin/sh
        case "$1" in
        store) cat > {kept};;
        erase) read -r registry; [ "$registry" = {there} ] && rm {kept};;
        get) [ -f {kept} ] && cat {kept} || {{ echo 'credentials not found in native keychain'; exit 1; }};;
        esac
    """)
    tool.chmod(0o755)
    own = bench.environment(**keys(session(bench)), DOCKER_CONFIG=str(folder))
    own["PATH"] = f"{tools}:{own['PATH']}"
    said = bench.run(bench.landfall, "ecr", "login", env=own).stdout
    contains(said, [f"logged in to {there} until", "(docker-credential-kept, which "], "what is said")
    lacks((folder / "config.json").read_text(), ["auth\""], "the configuration")
    given = json.loads(kept.read_text())
    same((given["ServerURL"], given["Username"]), (there, "AWS"), "what the helper got")
    # Only the helper has a login: the keys are gone, and so is ECR.
    alone = bench.environment(DOCKER_CONFIG=str(folder), PATH=own["PATH"], AWS_ENDPOINT_URL="")
    layout(bench.dir / "keeper-image")
    bench.run(bench.landfall, "push", bench.dir / "keeper-image", f"{there}/web:keeper", env=alone)
    bench.run(bench.landfall, "ecr", "logout", env=own)
    same(kept.exists(), False, "a login with the helper")
    same(json.loads((folder / "config.json").read_text())["auths"], {"ghcr.io": {}}, "logins")
    tool.write_text("#!/bin/sh\ncat; echo ' is too long for the keychain'; exit 1\n")
    refused = bench.run(bench.landfall, "ecr", "login", "--output-docker-credentials", env=own | {"GITHUB_OUTPUT": str(bench.dir / "keeper-out")}, expect=2).stderr
    contains(refused, [f"logging in to {there}: docker-credential-kept doesn't take the login", "--isolated"], "what is said")
    lacks(refused, [given["Secret"]], "what is said")
    same((bench.dir / "keeper-out").exists(), False, "outputs of a login that failed")
    tool.unlink()
    missing = bench.run(bench.landfall, "ecr", "login", env=own, expect=2).stderr
    contains(missing, ["docker-credential-kept can't be run"], "what is said of one that isn't there")


@check("two jobs with `ecr login --isolated` don't log each other out")
def _(bench):
    # A home of their own: other checks log in as people do.
    temp, home = bench.folder("runner-temp"), bench.folder("isolated-home")
    places = []
    for job in "one", "two":
        variables = bench.dir / f"env-{job}"
        more = {"GITHUB_ACTIONS": "true", "GITHUB_ENV": str(variables), "RUNNER_TEMP": str(temp), "HOME": str(home)}
        own = bench.environment(**keys(session(bench), **more))
        bench.run(bench.landfall, "ecr", "login", "--isolated", env=own)
        name, _, rest = variables.read_text().partition("<<")
        same(name, "DOCKER_CONFIG", "variable")
        places.append((rest.splitlines()[1], own))
    first, second = places
    bench.run(bench.landfall, "ecr", "logout", env=first[1] | {"DOCKER_CONFIG": first[0]})
    skopeo = [program("skopeo"), "login", "--get-login", "--authfile", f"{second[0]}/config.json", bench.server.address]
    same(bench.run(*skopeo).stdout.strip(), "AWS", "the second job's login")
    same((home / ".docker/config.json").exists(), False, "a config.json at home")
    line = bench.run("sh", "-c", f"eval \"$('{bench.landfall}' ecr login --isolated)\" && echo $DOCKER_CONFIG", env=bench.environment(**keys(session(bench))))
    contains(line.stdout, ["landfall-docker-"], "DOCKER_CONFIG in a shell")


@check("the helper answers get, list, store and erase as Docker's clients expect it")
def _(bench):
    own = with_helper(bench, session(bench))
    given = json.loads(ask(bench, own, "get", f"https://{bench.server.address}\n"))
    same((given["Username"], given["ServerURL"]), ("AWS", f"https://{bench.server.address}"), "login")
    same(json.loads(ask(bench, own, "list")), {bench.server.address: "AWS"}, "list")
    same(ask(bench, own, "get", "ghcr.io", expect=1), NOT_FOUND, "another registry")
    same(ask(bench, own, "get", "", expect=1), "no credentials server URL", "no registry")
    stored = json.dumps({"ServerURL": "ghcr.io", "Username": "me", "Secret": "hunter2"})
    said = ask(bench, own, "store", stored, expect=1)
    contains(said, ["keeps no logins", "ghcr.io"], "what is said")
    lacks(said, ["hunter2"], "what is said")
    same(ask(bench, own, "erase", bench.server.address), "", "erase")
    same(json.loads(ask(bench, own, "list")), {}, "list afterwards")


@check("the helper maps names to regions and accounts, gives ECR Public's login, and nothing to whoever has no keys")
def _(bench):
    own = with_helper(bench, ("test", "test", ""))
    for registry in OTHER, "public.ecr.aws":
        same(json.loads(ask(bench, own, "get", registry))["Username"], "AWS", registry)
    without_keys = bench.environment(PATH=own["PATH"])
    same(ask(bench, without_keys, "get", "public.ecr.aws", expect=1), NOT_FOUND, "ECR Public without keys")
    contains(ask(bench, without_keys, "get", OTHER, expect=1), ["no AWS credentials were found"], "a registry without keys")


@check("the helper tells a refusal in AWS's words, and keeps a password for the same keys only")
def _(bench):
    refused = with_helper(bench, role(bench, "own-helper-no-login", without(PUSH, "ecr:GetAuthorizationToken")))
    said = ask(bench, refused, "get", bench.server.address, expect=1)
    contains(said, ["is not authorized to perform: ecr:GetAuthorizationToken", "the role needs"], "what is said")
    one, two = (with_helper(bench, session(bench)) for _ in range(2))
    first, again = (json.loads(ask(bench, one, "get", bench.server.address))["Secret"] for _ in range(2))
    same(again, first, "the password of the same keys")
    # Another session finds nothing of the first one's, also where nobody could be asked.
    nobody = {"AWS_ENDPOINT_URL": f"http://{NOBODY}", "AWS_MAX_ATTEMPTS": "1"}
    same(json.loads(ask(bench, two, "list")), {}, "list of other keys")
    off = one | {"LANDFALL_ECR_CACHE": "off"}
    ask(bench, off | nobody, "get", OTHER, expect=1)


@check("many helpers at once all give a login, and leave whole files that only their owner may read")
def _(bench):
    home = bench.folder("helper-home")
    own = with_helper(bench, session(bench), HOME=str(home))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(bench, own, "get", bench.server.address), range(16)))
    same({json.loads(answer)["Username"] for answer in answers}, {"AWS"}, "users")
    files = list((home / ".cache/landfall/ecr").iterdir())
    same(([path.stat().st_mode & 0o777 for path in files], len(files)), ([0o600], 1), "files")
    json.loads(files[0].read_text())


@check("skopeo and podman ask the helper: push, pull, and the same bytes")
def _(bench):
    own = with_helper(bench, session(bench))
    source = bench.dir / "own-helper-image"
    pushed = layout(source)
    there = f"{bench.server.address}/web:own-helper"
    auth, back = bench.dir / "auth-own-helper.json", bench.dir / "own-helper-back"
    auth.write_text(json.dumps({"credHelpers": {bench.server.address: "landfall"}}))
    skopeo = [program("skopeo"), "--insecure-policy", "copy", "--authfile", auth]
    bench.run(*skopeo, "--dest-tls-verify=false", f"oci:{source}:it", f"docker://{there}", env=own)
    bench.run(*skopeo, "--src-tls-verify=false", f"docker://{there}", f"oci:{back}:it", env=own)
    same((manifest_of(back), contents(back) == contents(source)), (pushed, True), "digest, and equal blobs")
    pulled = containers.podman(bench, "pull", "--authfile", auth, "--tls-verify=false", there, variables=own)
    same(len(pulled.stdout.strip()), 64, "podman's image id")


@check("`ecr install-helper` has Docker's configuration ask it, and replaces no file that isn't a link")
def _(bench):
    folder, config = bench.folder("install"), bench.folder("install-config")
    (config / "config.json").write_text('{"auths": {"ghcr.io": {"auth": "eDp5"}}}')
    command = [bench.landfall, "ecr", "install-helper", "--dir", folder, "--docker-config", config, OTHER]
    for _ in range(2):
        contains(bench.run(*command).stdout, [f"{folder} is not in the PATH", f"{OTHER}: asked for by {HELPER}"], "what is said")
    written = json.loads((config / "config.json").read_text())
    same((written["credHelpers"], list(written["auths"])), ({OTHER: "landfall"}, ["ghcr.io"]), "config.json")
    (folder / HELPER).unlink()
    (folder / HELPER).write_text("mine")
    contains(bench.run(*command, expect=2).stderr, ["is in the way"], "what is said of a file")
    contains(bench.run(*command[:-1], "ghcr.io", expect=2).stderr, ["`ghcr.io` is no registry of ECR"], "another registry")


@containers.with_engine("docker: pulls with a login from docker-credential-landfall")
def _(bench):
    host = docker_engine.engine(bench)
    own = with_helper(bench, session(bench))
    source = bench.dir / "own-docker-image"
    layout(source)
    auth = bench.folder("own-docker-config")
    (auth / "config.json").write_text(json.dumps({"credHelpers": {bench.server.address: "landfall"}}))
    there = f"{bench.server.address}/web:own-docker"
    skopeo = [program("skopeo"), "--insecure-policy", "copy", "--authfile", auth / "config.json", "--dest-tls-verify=false"]
    bench.run(*skopeo, f"oci:{source}:it", f"docker://{there}", env=own)
    docker = [program("docker"), "--host", host, "--config", auth]
    contains(bench.run(*docker, "pull", there, env=own).stdout, ["Downloaded newer image"], "docker pull")
    refused = bench.run(*docker, "pull", there, env=with_helper(bench, ("", "", "")), expect=1)
    # Docker keeps to itself what its helper says.
    contains(refused.stderr, ["no basic auth credentials"], "docker pull without keys")


@check("`credentials` and `login --aws-profile` are profiles that boto3 and the aws CLI take, in a region of their own")
def _(bench):
    token = bench.dir / "token-profile"
    token.write_text(bench.token())
    home = bench.folder("profile-home")
    own = bench.environment(HOME=str(home))
    arn = f"arn:aws:iam::{ACCOUNT}:role/github-oidc-role"
    login = [bench.landfall, "login", "--role", arn, "--web-identity-token-file", token, "--aws-profile", "ci"]
    bench.run(*login, env=own)
    who = [program("aws"), "--profile", "ci", "sts", "get-caller-identity", "--output", "json"]
    contains(json.loads(bench.run(*who, env=own).stdout)["Arn"], ["assumed-role/github-oidc-role/"], "caller")
    same(bench.run(program("aws"), "--profile", "ci", "configure", "get", "region", env=own).stdout.strip(), REGION, "region")
    contains(bench.run(*login, env=own, expect=2).stderr, ["has a profile `ci` already", "--overwrite-aws-profile"], "again")
