"""`landfall rehearse`: the example works, each refusal teaches, bad input is told in one message."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from harness import (
    EXAMPLE,
    HERE,
    ROOT,
    SERVER_SECONDS_MAX,
    Skip,
    Wrong,
    add,
    check,
    contains,
    lacks,
    processes,
    program,
    same,
    table,
    until,
)


def rehearsing(bench, **more):
    """The environment of somebody who rehearses: no server is running."""
    environment = bench.environment(**more)
    environment.pop("AWS_ENDPOINT_URL", None)
    return environment


def example(bench, edit=None, of=EXAMPLE):
    """A copy of an example, with one text in one file replaced."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="example-", dir=bench.dir)) / "example"
    shutil.copytree(of, place)
    if edit:
        name, old, new = edit
        text = (place / name).read_text()
        if text.count(old) != 1:
            raise Wrong(f"{name} has {text.count(old)} times {old!r}; the row needs it exactly once")
        (place / name).write_text(text.replace(old, new))
    return place


def lines_pointed_at(output):
    """(file, line) of every source line that findings show."""
    found, file = set(), None
    for text in output.splitlines():
        place = re.search(r"(?:-->|:::) (.+?):(\d+):\d+\s*$", text)
        if place:
            file = place.group(1)
            found.add((file, int(place.group(2))))
        shown = re.match(r"\s*(\d+) \|", text)
        if shown and file:
            found.add((file, int(shown.group(1))))
    return found


def points_at(output, place, wanted):
    """Demands that the output points at these lines; a line is named by a text that only it has."""
    pointed = lines_pointed_at(output)
    for name, part in wanted:
        lines = (place / name).read_text().splitlines(keepends=True)
        numbers = [number for number, line in enumerate(lines, 1) if part in line]
        if not numbers:
            raise Wrong(f"{name} has no line with {part!r}")
        if not any(file.endswith(name) and line in numbers for file, line in pointed):
            shown = ", ".join(f"{file}:{line}" for file, line in sorted(pointed)) or "nothing"
            raise Wrong(f"wanted a finger on {name}:{numbers[0]} ({part.strip()}); it points at {shown}\n{output}")


def nothing_left(bench, before):
    """Demands that no process and no temporary file of ours is left. What was told to end may take a moment."""
    left = lambda: (processes(str(bench.temporary)), temporary_files(bench))
    until(left, lambda now: now == ({}, before))


def temporary_files(bench):
    return sorted(path.name for path in bench.temporary.iterdir())


def refusal(row):
    def run(bench):
        place, before = example(bench, row.get("edit")), temporary_files(bench)
        command = [bench.landfall, "rehearse", "example", *row.get("flags", [])]
        said = bench.run(*command, cwd=place.parent, env=rehearsing(bench), expect=row.get("exit", 1))
        output = said.stdout + said.stderr
        contains(output, row["says"])
        lacks(output, ["the crossing works", "panicked", *row.get("never", [])])
        points_at(output, place, row.get("places", []))
        nothing_left(bench, before)

    return run


for each in table("refusals.toml", "refusal"):
    add(__name__, f"refused: {each['name']}", refusal(each))


def bad(row):
    def run(bench):
        place, before = example(bench, row.get("edit")), temporary_files(bench)
        (place.parent / "empty").mkdir()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            names = {"example": "example", "empty": "empty", "port": str(taken.getsockname()[1])}
            command = [bench.landfall, *[word.format(**names) for word in row["command"]]]
            done = bench.run(*command, cwd=place.parent, env=rehearsing(bench), expect=None)
        output = done.stdout + done.stderr
        same(done.returncode, 2, f"exit code of\n{output.rstrip()}\n")
        contains(output, [part.replace("{port}", names["port"]).replace("{empty}", "empty") for part in row["says"]])
        lacks(output, ["panicked", "the crossing works"])
        findings = re.findall(r"^error\[", output, re.MULTILINE)
        errors = re.findall(r"^error: ", done.stderr, re.MULTILINE)
        same(len(findings) or len(errors), 1, f"number of messages in\n{output}\n")
        points_at(output, place, row.get("places", []))
        nothing_left(bench, before)

    return run


for each in table("bad_input.toml", "bad"):
    add(__name__, f"bad input: {each['name']}", bad(each))


@check("the example works: exit code 0, the role that was taken, the digest that was pushed")
def _(bench):
    before = temporary_files(bench)
    said = bench.run(bench.landfall, "rehearse", "examples/github-ecr", cwd=ROOT, env=rehearsing(bench))
    contains(
        said.stdout,
        [
            "the crossing works",
            "arn:aws:iam::123456789012:role/github-oidc-role",
            "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/web",
            "sts:AssumeRoleWithWebIdentity",
            "ecr:PutImage",
            "latest",
        ],
    )
    same(bool(re.search(r"sha256:[0-9a-f]{64}", said.stdout)), True, "there is a digest")
    nothing_left(bench, before)


@check("JSON: one object a line, each step with its decisions, the image at the end, and the same digest every time")
def _(bench):
    def rehearse():
        command = [bench.landfall, "rehearse", "examples/github-ecr", "--format", "json"]
        lines = bench.run(*command, cwd=ROOT, env=rehearsing(bench)).stdout.splitlines()
        return [json.loads(line) for line in lines]

    events = rehearse()
    same((events[0]["event"], events[-1]["event"]), ("ready", "ended"), "first and last event")
    same((events[-1]["success"], events[-1]["refused"]), (True, 0), "success and refused calls")
    steps = {event["step"]: event for event in events if event["event"] == "step-ended"}
    actions = [decision["action"] for decision in steps["Push"]["decisions"]]
    same(actions[-1], "ecr:PutImage", "last decision of the step `Push`")
    [image] = events[-1]["images"]
    [again] = rehearse()[-1]["images"]
    same(again["digest"], image["digest"], "digest of the second rehearsal")


@check("nobody's secrets are shown: neither the session's secret nor the registry's password is in the output")
def _(bench):
    leak = "env | sort; cat ~/.docker/config.json || true"
    place = example(bench, ["templates/.github/workflows/aws-ecr-deploy.yml", "mkdir -p image/srv\n", f"{leak}\n          mkdir -p image/srv\n"])
    said = bench.run(bench.landfall, "rehearse", "example", cwd=place.parent, env=rehearsing(bench))
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        shown = re.findall(rf"{name}=(.*)", said.stdout)
        same(shown, ["***"], f"{name} in the output")


@check("a rehearsal keeps its hands off: the user's Docker login and the repository are as before")
def _(bench):
    docker = bench.home / ".docker"
    docker.mkdir(exist_ok=True)
    (docker / "config.json").write_text('{"auths": {"example.com": {"auth": "dXNlcjpwYXNz"}}}\n')
    place = example(bench)
    files = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    bench.run(bench.landfall, "rehearse", "example", cwd=place.parent, env=rehearsing(bench))
    same((docker / "config.json").read_text(), '{"auths": {"example.com": {"auth": "dXNlcjpwYXNz"}}}\n', "Docker's file")
    same({path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == files, True, "files are unchanged")
    shutil.rmtree(docker)


@check("a step that fails by itself fails the rehearsal, and the steps after it don't run")
def _(bench):
    place = example(bench, ["templates/.github/workflows/aws-ecr-deploy.yml", "cp -R site/. image/srv/", "exit 7"])
    said = bench.run(bench.landfall, "rehearse", "example", cwd=place.parent, env=rehearsing(bench), expect=1)
    contains(said.stdout, ["Process completed with exit code 7.", "Push (skipped)"])
    lacks(said.stdout, ["ecr:PutImage"])


def stopped_by(name):
    def run(bench):
        mark = f"{time.monotonic_ns() % 10**9}.5"
        old = "mkdir -p image/srv\n"
        new = f"sleep {mark}\n          {old}"
        place = example(bench, ["templates/.github/workflows/aws-ecr-deploy.yml", old, new])
        before = temporary_files(bench)
        command = [bench.landfall, "rehearse", "example", "--format", "json"]
        with bench.start(*command, cwd=place.parent, env=rehearsing(bench)) as running:
            # Until the step's own process is there.
            began = until(lambda: (running.process.poll(), len(processes(f"sleep {mark}"))), lambda now: now != (None, 0))
            same(began, (None, 1), "exit code, and processes of the step")
            running.process.send_signal(getattr(signal, name))
            running.process.wait(SERVER_SECONDS_MAX)
        wait_until_gone(f"sleep {mark}")
        nothing_left(bench, before)

    return run


def wait_until_gone(part):
    """A process that was told to end may take a moment."""
    deadline = time.monotonic() + SERVER_SECONDS_MAX
    while processes(part):
        if time.monotonic() > deadline:
            left = processes(part)
            for number in left:
                os.kill(number, signal.SIGKILL)
            raise Wrong(f"still running, and ended by this check: {left}")
        time.sleep(0.02)


for each in ("SIGINT", "SIGTERM"):
    add(__name__, f"{each} in the middle of a step ends the step's processes as well", stopped_by(each))


@check("`landfall serve` stops when it is asked to, with exit code 0, and takes its images along")
def _(bench):
    from harness import Server

    before = temporary_files(bench)
    server = Server(bench, "--infra", str(EXAMPLE / "infra"))
    same(server.stop(), 0, "exit code")
    same(temporary_files(bench), before, "temporary files that are left")


# Brings loopback up and runs the rest of the words: in a network namespace that has nothing else.
ONLY_LOOPBACK = "ip link set lo up && exec \"$@\""


@check("nothing leaves the machine: it works in a network namespace with loopback alone and no route")
def _(bench):
    unshare, before = program("unshare"), temporary_files(bench)
    program("ip")
    alone = [unshare, "--net", "sh", "-c", ONLY_LOOPBACK, "sh"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        alone.insert(1, "--map-root-user")
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        raise Skip("this user may not make a network namespace")
    same(bench.run(*alone, "ip", "route", "show", "table", "main").stdout, "", "routes in the namespace")
    links = bench.run(*alone, "ip", "-brief", "link").stdout.splitlines()
    same([line.split()[0] for line in links], ["lo"], "interfaces in the namespace")
    for words in (["examples/github-ecr"], ["examples/static-keys"]):
        said = bench.run(*alone, bench.landfall, "rehearse", *words, cwd=ROOT, env=rehearsing(bench))
        contains(said.stdout, ["the crossing works", "ecr:PutImage"])
    nothing_left(bench, before)


@check("an action from a folder: JavaScript on GitHub's own @actions/core takes inputs, sets outputs, keeps state")
def _(bench):
    import javascript

    packages, place = javascript.packages(HERE / "javascript"), example(bench)
    action = place / "notify"
    action.mkdir()
    (action / "action.yml").write_text(
        "name: Notify\n"
        "inputs: { who-to: { required: true }, loud: { default: 'false' } }\n"
        "runs: { using: node20, main: index.mjs, post: index.mjs }\n"
    )
    (action / "index.mjs").write_text(
        "import * as core from '@actions/core';\n"
        "if (core.getState('told')) { core.info(`after ${core.getState('told')}`); }\n"
        "else {\n"
        "  core.saveState('told', core.getInput('who-to', { required: true }));\n"
        "  core.setOutput('told', `${core.getInput('who-to')} ${core.getBooleanInput('loud')}`);\n"
        "  core.exportVariable('NOTIFIED', 'line one\\nline two');\n"
        "  core.setSecret('swordfish');\n"
        "  core.info('the word is swordfish');\n"
        "  const token = await core.getIDToken('sts.amazonaws.com');\n"
        "  core.notice(`a token of ${token.split('.').length} parts`);\n"
        "  await core.summary.addHeading('Notified').write();\n"
        "}\n"
    )
    (action / "node_modules").symlink_to(packages / "node_modules")
    workflow = place / "service/.github/workflows/notify.yml"
    workflow.write_text(
        "on: push\n"
        "permissions: { id-token: write }\n"
        "jobs:\n"
        "  notify:\n"
        "    runs-on: ubuntu-latest\n"
        "    steps:\n"
        "      - { id: it, uses: acme/notify@v1, with: { who-to: the team, loud: true } }\n"
        "      - run: echo \"told ${{ steps.it.outputs.told }}, $(echo \"$NOTIFIED\" | wc -l) lines\"\n"
    )
    command = [bench.landfall, "rehearse", workflow, "--action", f"acme/notify@v1={action}"]
    said = bench.run(*command, cwd=place.parent, env=rehearsing(bench))
    contains(
        said.stdout,
        ["told the team true, 2 lines", "the word is ***", "after the team", "a token of 3 parts", "<h1>Notified</h1>"],
    )
    lacks(said.stdout, ["swordfish"])
