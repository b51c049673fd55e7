"""Programs that come as Go modules: built once, in a folder of the user's cache, from the module proxy."""

import os
import pathlib
import re
import subprocess

from harness import Skip, Wrong, program

# Longest time in which a program has to be built, in seconds.
BUILD_SECONDS_MAX = 900
# The oldest Go that fetches the Go that a module asks for by itself.
GO_FETCHES = (1, 21)


def built(package, version, go_min):
    """The program of a package in this version, built if it isn't there yet with Go `go_min` or later."""
    name = package.rpartition("/")[2]
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "landfall-tests")
    place = cache / f"{name}-{version}"
    if not (place / name).is_file():
        place.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"GOBIN": str(place), "GOFLAGS": "", "CGO_ENABLED": "0"}
        command = [go(name, go_min), "install", f"{package}@{version}"]
        limits = {"timeout": BUILD_SECONDS_MAX, "capture_output": True, "text": True}
        done = subprocess.run(command, cwd=place, env=environment, **limits)
        if done.returncode:
            raise Wrong(f"{' '.join(command)}\n{done.stderr}")
    return place / name


def go(name, go_min):
    """A Go that builds it."""
    found = program("go")
    said = subprocess.run([found, "version"], capture_output=True, text=True).stdout
    version = re.search(r"go(\d+)\.(\d+)", said)
    if not version or (int(version[1]), int(version[2])) < min(go_min, GO_FETCHES):
        raise Skip(f"Go {'.'.join(map(str, go_min))} is needed to build {name}; there is {said.strip()}")
    return found
