"""What a login and a refusal cost, beside the aws CLI: wall time and peak memory, against the binary's own `serve`.

    python3 tools/login_bench.py --landfall target/release/landfall [--aws .venv/bin/aws] [--runs 15]

Prints a table of medians. The bars: a login in at most 30 ms and 20 MB, a refusal in less than a second.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
ACCOUNT, REGION = "123456789012", "ap-northeast-2"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/github-oidc-role"


def measured(command, env, codes):
    """Seconds and peak kilobytes of one run."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    process.returncode = code
    if code not in codes:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {code}")
    return took, usage.ru_maxrss


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landfall", required=True, metavar="FILE")
    parser.add_argument("--aws", default=shutil.which("aws"), metavar="FILE", help="the aws CLI; without it there is no comparison")
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()
    landfall = str(pathlib.Path(arguments.landfall).resolve())
    place = pathlib.Path(tempfile.mkdtemp(prefix="landfall-bench-"))
    env = {"PATH": os.environ["PATH"], "HOME": str(place), "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    serve = [landfall, "serve", "--addr", "127.0.0.1:0", "--infra", ROOT / "examples/github-ecr/infra", "--format", "json"]
    server = subprocess.Popen(serve, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = json.loads(server.stdout.readline())["url"]
        # Decisions that nobody reads must not fill the pipe.
        subprocess.Popen(["cat"], stdin=server.stdout, stdout=subprocess.DEVNULL)
        env |= {"AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true"}
        for name, repo in ("good", "acme/web"), ("bad", "acme/other"):
            minted = subprocess.run([landfall, "token", "github", "--repo", repo, "--endpoint", url], env=env, capture_output=True, text=True, check=True)
            (place / name).write_text(minted.stdout)
        rows = list(runs(landfall, arguments, place, env))
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(place, ignore_errors=True)
    print(f"{'':44}  {'median':>9}  {'slowest':>9}  {'peak':>8}")
    for title, figures in rows:
        times = [took for took, _ in figures]
        peak = max(peak for _, peak in figures) / 1000
        print(f"{title:44}  {statistics.median(times) * 1000:6.1f} ms  {max(times) * 1000:6.1f} ms  {peak:5.1f} MB")


def runs(landfall, arguments, place, env):
    login = [landfall, "login", "--role", ROLE, "--format", "json", "--web-identity-token-file"]
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    rows = [
        ("landfall login (exchange, and whose it is)", [*login, place / "good"], env, {0}),
        ("landfall login, refused", [*login, place / "bad"], env, {1}),
        ("landfall ecr login", [landfall, "ecr", "login"], env | keys, {0}),
    ]
    if arguments.aws:
        exchange = [arguments.aws, "sts", "assume-role-with-web-identity", "--role-arn", ROLE, "--role-session-name", "bench"]
        for title, name, codes in ("aws sts assume-role-with-web-identity", "good", {0}), ("aws sts …, refused", "bad", {254, 255}):
            rows.append((title, [*exchange, "--web-identity-token", f"file://{place / name}"], env, codes))
        rows.append(("aws ecr get-login-password", [arguments.aws, "ecr", "get-login-password"], env | keys, {0}))
    for title, command, own, codes in rows:
        measured(command, own, codes)
        yield title, [measured(command, own, codes) for _ in range(arguments.runs)]


if __name__ == "__main__":
    main()
