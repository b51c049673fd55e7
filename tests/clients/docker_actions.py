"""Workflows with Docker's actions, service containers, job containers and actions that are containers, rehearsed
with an engine. Every image is made here, from nothing and a static busybox."""

import pathlib
import shutil
import subprocess
import tempfile

from docker_engine import docker, engine
from harness import EXAMPLE, Skip, check, contains, lacks, program, same, until
from rehearsals import nothing_left, rehearsing, temporary_files

BUSYBOX = "landfall-test-busybox:1"
ROLE = "arn:aws:iam::123456789012:role/github-oidc-role"
REGISTRY = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com"
HEAD = "on: push\npermissions: { contents: read, id-token: write }\njobs:\n"


def busybox(bench):
    """An image with a shell; its name."""
    if docker(bench, "image", "inspect", BUSYBOX, expect=None).returncode == 0:
        return BUSYBOX
    place = bench.folder("busybox")
    shutil.copy(static_busybox(), place / "busybox")
    lines = ["FROM scratch", "COPY busybox /bin/busybox", 'RUN ["/bin/busybox", "--install", "-s", "/bin"]']
    (place / "Dockerfile").write_text("\n".join([*lines, 'CMD ["sh"]']) + "\n")
    docker(bench, "build", "--network", "host", "--tag", BUSYBOX, place)
    bench.undo.append(lambda: docker(bench, "rmi", BUSYBOX, expect=None))
    return BUSYBOX


def rehearse(bench, workflow, *flags, files=(), expect=0, host=None, **variables):
    """Rehearses a workflow in a copy of the example's repository; what it says."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="docker-actions-", dir=bench.dir)) / "example"
    shutil.copytree(EXAMPLE, place)
    for name, text in dict(files).items():
        file = place / "service" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(0o755)
    file = place / "service/.github/workflows/docker.yml"
    file.write_text(workflow)
    before = temporary_files(bench)
    if host is None:
        bench.images_before = images(bench)
    environment = rehearsing(bench, DOCKER_HOST=engine(bench) if host is None else host, **variables)
    said = bench.run(bench.landfall, "rehearse", file, *flags, env=environment, expect=expect)
    nothing_left(bench, before)
    return said.stdout + said.stderr


def images(bench):
    """The engine's images that come from a registry of this machine, or that an action was built into."""
    listed = docker(bench, "images", "--format", "{{.Repository}} {{.ID}}").stdout.splitlines()
    return {image for image in listed if image.startswith(("127.0.0.1:", "landfall-action"))}


def left_over(bench):
    """Containers, networks and images of the last rehearsal that are still there. The engine is shared with other
    checks, which leave theirs."""
    label = "label=landfall.rehearsal"
    found = docker(bench, "ps", "--all", "--quiet", "--filter", label).stdout
    found += docker(bench, "network", "ls", "--quiet", "--filter", label).stdout
    return found.split() + sorted(images(bench) - bench.images_before)


DELIVERY = (
    "name: Deliver\n"
    + HEAD
    + f"""  image:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: docker/setup-qemu-action@v3
      - uses: docker/setup-buildx-action@v3
      - uses: aws-actions/configure-aws-credentials@v6
        with: {{ aws-region: ap-northeast-2, role-to-assume: "{ROLE}" }}
      - uses: docker/login-action@v3
        with: {{ registry: {REGISTRY} }}
      - uses: docker/metadata-action@v5
        id: meta
        with:
          images: {REGISTRY}/web
          tags: |
            type=ref,event=branch
            type=sha,format=long
            type=raw,value=latest,enable={{{{is_default_branch}}}}
      - uses: docker/build-push-action@v6
        id: build
        with:
          context: .
          push: true
          load: true
          tags: ${{{{ steps.meta.outputs.tags }}}}
          labels: ${{{{ steps.meta.outputs.labels }}}}
          build-args: |
            GREETING=hello, you
            SECOND
          cache-from: type=gha
          cache-to: type=gha,mode=max
          provenance: false
        env: {{ SECOND: from the environment }}
      - run: |
          echo "digest ${{{{ steps.build.outputs.digest }}}}"
          echo "named $DOCKER_METADATA_OUTPUT_VERSION"
          docker image inspect --format '{{{{json .Config.Labels}}}}' ${{{{ steps.build.outputs.imageid }}}} || true
"""
)
DOCKERFILE = """FROM scratch
ARG GREETING
ARG SECOND
LABEL greeting=$GREETING second=$SECOND
COPY Dockerfile /Dockerfile
"""


@check("a delivery by Docker's five actions reaches ECR, and leaves nothing in the engine")
def _(bench):
    said = rehearse(bench, DELIVERY, files={"Dockerfile": DOCKERFILE}, DOCKER_BUILDKIT="0")
    contains(said, ["the crossing works", "AWS ECR detected with ap-northeast-2 region", "ecr:PutImage", "tag: " + REGISTRY + "/web:main"])
    contains(said, ["left out in a rehearsal: `cache-from`, `cache-to`, `provenance`", "digest sha256:", "named main"])
    contains(said, ["Post Run docker/login-action@v3", "latest"])
    contains(said, ['"greeting":"hello, you"', '"second":"from the environment"', '"org.opencontainers.image.version":"main"'])
    same(left_over(bench), [], "what is left in the engine")


@check("docker/build-push-action looks at the tag before it pushes, as BuildKit does: that takes ecr:BatchGetImage")
def _(bench):
    actions = "GetAuthorizationToken BatchCheckLayerAvailability InitiateLayerUpload UploadLayerPart CompleteLayerUpload PutImage"
    listed = ", ".join(f'"ecr:{action}"' for action in actions.split())
    policy = f'''
resource "aws_iam_policy" "push" {{
  name   = "push"
  policy = jsonencode({{
    Version   = "2012-10-17"
    Statement = [{{ Effect = "Allow", Action = [{listed}], Resource = "*" }}]
  }})
}}
'''
    power_user = '"arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"'
    infra = (EXAMPLE / "infra/main.tf").read_text().replace(power_user, "aws_iam_policy.push.arn") + policy
    files = {"Dockerfile": DOCKERFILE, "../infra/main.tf": infra}
    said = rehearse(bench, DELIVERY, files=files, expect=1, DOCKER_BUILDKIT="0")
    contains(said, ["unexpected status from HEAD request to https://", "/v2/web/manifests/main: 403 Forbidden"])
    contains(said, ["no identity-based policy allows `ecr:BatchGetImage`", "add `ecr:BatchGetImage` to `Action`"])
    lacks(said, ["ecr:PutImage  repository/web"])
    same(left_over(bench), [], "what is left in the engine")


@check("docker/login-action: without credentials ECR is not asked, and a wrong key is refused by it")
def _(bench):
    steps = "  image:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/login-action@v3\n        with:\n"
    said = rehearse(bench, HEAD + steps + f"          registry: {REGISTRY}\n", expect=1)
    contains(said, ["docker/login-action", "credentials"])
    key = "          username: AKIAIOSFODNN7EXAMPLE\n          password: ${{ secrets.KEY }}\n"
    said = rehearse(bench, HEAD + steps + f"          registry: {REGISTRY}\n" + key, "--secret", "KEY=hunter2", expect=1)
    contains(said, ["UnrecognizedClient", "The security token included in the request is invalid."])
    lacks(said, ["hunter2"])
    said = rehearse(bench, HEAD + steps + "          registry: ghcr.io\n" + key, "--secret", "KEY=hunter2")
    contains(said, ["no login to ghcr.io: a rehearsal never leaves this machine"])


@check("an image that a Dockerfile builds upon has to be on this machine")
def _(bench):
    said = rehearse(bench, DELIVERY, files={"Dockerfile": "FROM no-such-image:1\n"}, expect=1)
    contains(said, ["Dockerfile:1: the image `no-such-image:1` is not on this machine", "docker pull no-such-image:1"])


def static_busybox():
    """The file of a busybox that needs no library."""
    tool = program("busybox")
    if subprocess.run(["ldd", tool], capture_output=True).returncode == 0:
        raise Skip("busybox is not static: apt-get install busybox-static")
    return pathlib.Path(tool)


@check("where no Docker answers, Podman builds and pushes, with the build's secrets")
def _(bench):
    program("podman")
    if bench.run(program("docker"), "version", env=rehearsing(bench), expect=None).returncode == 0:
        raise Skip("a Docker answers by itself here, and is taken first")
    store = bench.dir / "podman-store"
    store.mkdir()
    (store / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{store}/root"\nrunroot = "{store}/run"\n')
    workflow = DELIVERY.replace("provenance: false", "provenance: false\n          secrets: token=${{ secrets.TOKEN }}")
    look = '["/bin/busybox", "grep", "-c", "hunter2", "/run/secrets/token"]'
    dockerfile = DOCKERFILE + f"COPY busybox /bin/busybox\nRUN --mount=type=secret,id=token {look}\n"
    files = {"Dockerfile": dockerfile, "busybox": static_busybox().read_bytes()}
    variables = {"CONTAINERS_STORAGE_CONF": f"{store}/storage.conf", "BUILDAH_ISOLATION": "chroot"}
    said = rehearse(bench, workflow, "--secret", "TOKEN=hunter2", files=files, host="", **variables)
    contains(said, ["the crossing works", "ecr:PutImage", "digest sha256:", "named main"])
    lacks(said, ["--build-arg=GREETING", "token=hunter2"])
    said = rehearse(bench, workflow, "--secret", "TOKEN=hunter2", files=files, expect=1)
    contains(said, ["secrets of a build need buildx or Podman"])


def services(image):
    return (
        "name: Services\n"
        + HEAD
        + f"""  test:
    runs-on: ubuntu-latest
    services:
      web:
        image: {image}
        env: {{ GREETING: hello from the service }}
        ports: ['8080']
        options: >-
          --health-cmd "wget -q -O - http://127.0.0.1:8080/ || exit 1" --health-interval 1s --health-timeout 30s --health-retries 60
        command: sh -c 'mkdir /www && echo "$GREETING" >/www/index.html && httpd -f -p 8080 -h /www'
    steps:
      - run: |
          curl -fsS "http://127.0.0.1:${{{{ job.services.web.ports['8080'] }}}}/"
          echo "network ${{{{ job.services.web.network }}}} id ${{{{ job.services.web.id }}}}"
"""
    )


@check("a service container is started, healthy before the first step, reached on its port, and removed")
def _(bench):
    said = rehearse(bench, services(busybox(bench)), "--job", "test")
    contains(said, ["hello from the service", "Initialize containers", "Stop containers"])
    same(left_over(bench), [], "what is left in the engine")


@check("what a killed rehearsal leaves in the engine is removed by the next one, and nothing of one that lives")
def _(bench):
    image, place = busybox(bench), bench.folder("killed-rehearsal")

    def begun(name, script):
        workflows = place / name / ".github/workflows"
        workflows.mkdir(parents=True)
        service = f"web: {{ image: {image}, command: sleep 600 }}"
        steps = f"    steps:\n      - run: touch {place}/{name}-is-there; {script}\n"
        (workflows / "a.yml").write_text(f"on: push\njobs:\n  a:\n    runs-on: x\n    services:\n      {service}\n{steps}")
        command = [bench.landfall, "rehearse", place / name, "--repo", "acme/web", "--infra", EXAMPLE / "infra"]
        environment = rehearsing(bench, DOCKER_HOST=engine(bench))
        process = subprocess.Popen([str(word) for word in command], env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
        bench.undo.append(process.kill)
        until((place / f"{name}-is-there").exists, bool)
        return process

    def known():
        return set(docker(bench, "ps", "--quiet", "--filter", "label=landfall.rehearsal").stdout.split())

    waits = "while kill -0 $PPID 2>/dev/null; do sleep 0.05; done"
    dies, lives = begun("dies", waits), begun("lives", waits)
    same(len(known()), 2, "containers of both")
    dies.kill()
    dies.wait()
    same(len(known()), 2, "containers after the one was killed")
    same(begun("next", "true").wait(60), 0, "exit code")
    same(len(known()), 1, "containers of the one that lives")
    lives.terminate()
    same(lives.wait(60), 1, "exit code")
    same(known(), set(), "containers in the end")


@check("a service that never gets healthy fails its job, with its log")
def _(bench):
    workflow = services(busybox(bench)).replace("httpd -f -p 8080 -h /www", "echo broken; sleep 600")
    workflow = workflow.replace("--health-retries 60", "--health-retries 3")
    said = rehearse(bench, workflow, expect=1)
    contains(said, ["its health check says unhealthy", "web: broken", "Failed to initialize container"])
    same(left_over(bench), [], "what is left in the engine")


def job_container(image, service="web"):
    """A job whose steps run in a container, and reach its service by this name."""
    return services(image).split("    steps:")[0] + f"""    container:
      image: {image}
      env: {{ OF_CONTAINER: inside }}
      options: --hostname the-container
    outputs: {{ seen: "${{{{ steps.look.outputs.seen }}}}" }}
    steps:
      - uses: actions/checkout@v4
      - id: look
        env: {{ TOKEN: "${{{{ secrets.TOKEN }}}}" }}
        run: |
          test ! -e /usr/bin/env && echo "no other programs"
          hostname; pwd; echo "$GITHUB_WORKSPACE $RUNNER_TEMP $HOME $OF_CONTAINER"
          wget -q -O - http://{service}:8080/
          test "$TOKEN" = hunter2 && echo "the secret is $TOKEN"
          grep -c push "$GITHUB_EVENT_PATH"
          echo "seen=yes" >>"$GITHUB_OUTPUT"
          echo "LATER=set" >>"$GITHUB_ENV"
          echo made >made-inside
      - run: cat made-inside; echo "$LATER"; wget -q -O - "$AWS_ENDPOINT_URL" || echo "the AWS side is there"
      - uses: aws-actions/configure-aws-credentials@v6
        with: {{ aws-region: ap-northeast-2, role-to-assume: "{ROLE}" }}
      - run: test -n "$AWS_SESSION_TOKEN" && echo "has a session"
  after:
    needs: test
    runs-on: ubuntu-latest
    steps: [{{ run: 'echo "seen: ${{{{ needs.test.outputs.seen }}}}"' }}]
"""


@check("steps of a job with a container run inside of it, with services by their names and GitHub's folders")
def _(bench):
    said = rehearse(bench, job_container(busybox(bench)), "--secret", "TOKEN=hunter2")
    contains(said, ["the-container", "/__w/web/web /__w/_temp /github/home inside", "hello from the service", "no other programs"])
    contains(said, ["the secret is ***", "made", "set", "has a session", "seen: yes", "the crossing works"])
    lacks(said, ["hunter2"])
    same(left_over(bench), [], "what is left in the engine")


ACTION = """name: Greet
inputs:
  who: { default: you }
outputs:
  said: { description: what was said }
runs:
  using: docker
  image: Dockerfile
  entrypoint: /main.sh
  post-entrypoint: /post.sh
  env: { OF_ACTION: "1" }
  args: ["${{ inputs.who }}", "two words"]
"""
MAIN = """#!/bin/sh
echo "main $1, $2, $INPUT_WHO, $OF_ACTION in $(pwd) with $GITHUB_WORKSPACE"
ls /github/workspace | grep -c made
echo "said=hello $1" >>"$GITHUB_OUTPUT"
echo "key=kept" >>"$GITHUB_STATE"
"""


def container_actions(image):
    """A workflow with an action of a Dockerfile and one of an image, and the first one's files."""
    workflow = HEAD + f"""  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: touch made
      - uses: ./.github/actions/greet
        id: greet
        with: {{ who: world }}
      - run: echo "it said ${{{{ steps.greet.outputs.said }}}}"
      - uses: docker://{image}
        with: {{ entrypoint: /bin/sh, args: -c "echo 'from an image' $INPUT_MORE; exit 3", more: and more }}
        continue-on-error: true
      - run: echo done
"""
    files = {
        ".github/actions/greet/action.yml": ACTION,
        ".github/actions/greet/Dockerfile": f"FROM {image}\nCOPY main.sh post.sh /\n",
        ".github/actions/greet/main.sh": MAIN,
        ".github/actions/greet/post.sh": '#!/bin/sh\necho "post $STATE_key to $1"\n',
    }
    return workflow, files


@check("actions that are containers run: from a Dockerfile with arguments and a post step, and from an image")
def _(bench):
    workflow, files = container_actions(busybox(bench))
    said = rehearse(bench, workflow, files=files, DOCKER_BUILDKIT="0")
    contains(said, ["main world, two words, world, 1 in /github/workspace with /github/workspace", "it said hello world"])
    contains(said, ["post kept to world", "from an image and more", "exit code 3", "done"])
    same(left_over(bench), [], "what is left in the engine")


@check("without an engine, and without an image, a rehearsal does not start and says what is missing")
def _(bench):
    nowhere = f"unix://{bench.dir}/no-engine"
    said = rehearse(bench, DELIVERY, files={"Dockerfile": DOCKERFILE}, expect=1, host=nowhere)
    contains(said, ["needs a container engine, Docker or Podman", "no-engine"])
    lacks(said, ["actions/checkout"])
    said = rehearse(bench, HEAD + "  a: { runs-on: x, container: no-such:1, steps: [{ run: 'true' }] }\n", expect=1)
    contains(said, ["the image `no-such:1` is not on this machine", "docker pull no-such:1"])
    said = rehearse(bench, DELIVERY.replace("push: true", "platforms: linux/amd64,linux/arm64"), expect=1)
    contains(said, ["one image for several platforms"])


@check("an image in the local registry is what another is built upon, and the container of a later job")
def _(bench):
    image = busybox(bench)
    name = "123456789012_dkr_ecr_ap_northeast_2_amazonaws_com"
    build = "      - uses: docker/build-push-action@v6\n        with: {{ context: ., file: {file}, push: true, tags: '{tag}' }}\n"
    workflow = (
        HEAD
        + f"""  push:
    runs-on: ubuntu-latest
    outputs: {{ password: "${{{{ steps.ecr.outputs.docker_password_{name} }}}}" }}
    steps:
      - uses: actions/checkout@v4
      - uses: aws-actions/configure-aws-credentials@v6
        with: {{ aws-region: ap-northeast-2, role-to-assume: "{ROLE}" }}
      - uses: aws-actions/amazon-ecr-login@v2
        id: ecr
        with: {{ mask-password: 'false' }}
"""
        + build.format(file="Dockerfile.base", tag=f"{REGISTRY}/web:base")
        + build.format(file="Dockerfile", tag=f"{REGISTRY}/web:app")
        + f"""  use:
    needs: push
    runs-on: ubuntu-latest
    container:
      image: {REGISTRY}/web:app
      credentials: {{ username: AWS, password: "${{{{ needs.push.outputs.password }}}}" }}
    steps: [{{ run: cat /base /app }}]
"""
    )
    files = {
        "Dockerfile.base": f"FROM {image}\nRUN echo 'from the base' >/base\n",
        "Dockerfile": f"FROM {REGISTRY}/web:base\nRUN echo 'from the app' >/app\n",
    }
    said = rehearse(bench, workflow, files=files, DOCKER_BUILDKIT="0")
    contains(said, ["from the base", "from the app", "the crossing works", "ecr:BatchGetImage"])
    same(left_over(bench), [], "what is left in the engine")
