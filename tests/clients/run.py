"""Unmodified clients against the `landfall` binary.

    python3 tests/clients/run.py --landfall target/debug/landfall [--only TEXT] [--complete]

Every check is one sentence. Most come from the tables beside this file (*.toml), where a row is a
check. Clients that are not installed are skipped with a reason; with --complete, or in CI, a missing
client is a failure.
"""

import argparse
import os
import signal
import sys
import time
import traceback

# No compiled copies beside the sources.
sys.dont_write_bytecode = True

import harness  # noqa: E402
import shapes  # noqa: E402

# The order in which they run. Each module adds its checks when it is read.
import exchange  # noqa: F401, I001
import refused_tokens  # noqa: F401
import signatures  # noqa: F401
import root_key  # noqa: F401
import sts  # noqa: F401
import own_issuer  # noqa: F401
import images  # noqa: F401
import ecs  # noqa: F401
import codedeploy  # noqa: F401
import remaining  # noqa: F401
import eks  # noqa: F401
import iam  # noqa: F401
import terraform_iam  # noqa: F401
import terraform_ecs  # noqa: F401
import terraform_go  # noqa: F401
import malformed  # noqa: F401
import conformance  # noqa: F401
import javascript  # noqa: F401
import ecr  # noqa: F401
import docker_engine  # noqa: F401
import ecr_public  # noqa: F401
import containers  # noqa: F401
import pod_chains  # noqa: F401
import push  # noqa: F401
import push_faults  # noqa: F401
import credential_helper  # noqa: F401
import own_session  # noqa: F401
import infra_reasons  # noqa: F401
import renewal  # noqa: F401
import own_registry_login  # noqa: F401
import login_faults  # noqa: F401
import own_delivery  # noqa: F401
import issuers  # noqa: F401
import deploy  # noqa: F401
import alarms  # noqa: F401
import cloudwatch_logs  # noqa: F401
import deploy_staged  # noqa: F401
import ecs_docker  # noqa: F401
import ecs_containers  # noqa: F401
import ecs_roles  # noqa: F401
import deploy_docker  # noqa: F401
import infra_again  # noqa: F401
import infra_whole  # noqa: F401
import rehearsals  # noqa: F401
import docker_actions  # noqa: F401
import registry_names  # noqa: F401
import podman_actions  # noqa: F401
import ecs_rehearsals  # noqa: F401
import gitlab  # noqa: F401
import operations  # noqa: F401

# Longest time that one check may take, in seconds: whatever it waits for then never comes.
CHECK_SECONDS_MAX = 3600

# What may be missing in CI: an engine, or a network namespace, because not every machine lets one be had.
OPTIONAL = {
    "docker engine",
    "docker actions",
    "podman actions",
    "ecs docker",
    "ecs docker containers",
    "ecs docker without a bridge containers",
    "ecs podman containers",
    "ecs docker roles",
    "ecs podman roles",
    "deploy docker",
    "pod chains",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landfall", required=True, metavar="FILE", help="the binary")
    parser.add_argument("--only", default="", metavar="TEXT", help="checks whose group or sentence has this text")
    parser.add_argument("--complete", action="store_true", default="CI" in os.environ, help="a missing client is a failure")
    arguments = parser.parse_args()
    if not os.path.isfile(arguments.landfall):
        parser.error(f"{arguments.landfall} is not there; `cargo build -p landfall` makes it")
    # Whoever stops this leaves no server and no engine behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, time_is_up)
    bench = harness.Bench(arguments.landfall)
    try:
        bench.server = harness.Server(bench, "--infra", "examples/github-ecr/infra")
        counts = run(bench, arguments)
    finally:
        bench.close()
    print(f"\n{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] or not sum(counts.values()) else 0


def run(bench, arguments):
    """Runs the checks, prints a line for each, and counts them."""
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    chosen = [check for check in harness.CHECKS if arguments.only in f"{check.group}: {check.title}"]
    for check in chosen:
        began = time.monotonic()
        word, why = outcome(check, bench, arguments.complete)
        shapes.RAN.append(check.title)
        counts[word] += 1
        print(f"{word:4} {check.group}: {check.title} ({time.monotonic() - began:.1f} s)", flush=True)
        for line in why.rstrip().splitlines():
            print(f"       {line}", flush=True)
    return counts


def time_is_up(*_):
    raise harness.Wrong(f"it was not over after {CHECK_SECONDS_MAX} s")


def outcome(check, bench, complete):
    """Runs one check: how it went, and why."""
    signal.alarm(CHECK_SECONDS_MAX)
    try:
        check.run(bench)
    except harness.Skip as reason:
        if complete and check.group not in OPTIONAL:
            return "FAIL", f"{reason}, and here it has to be"
        return "skip", f"skipped: {reason}"
    except AssertionError as reason:
        return "FAIL", str(reason)
    except Exception:
        return "FAIL", traceback.format_exc()
    finally:
        signal.alarm(0)
    return "ok", ""


if __name__ == "__main__":
    sys.exit(main())
