"""Programs in Go, of others and of ours: built once, in a folder of the user's cache, from the module proxy."""

import hashlib
import os
import pathlib
import re
import subprocess

from harness import Skip, Wrong, program

# Longest time in which a program has to be built, in seconds.
BUILD_SECONDS_MAX = 900
# The oldest Go that fetches the Go that a module asks for by itself.
GO_FETCHES = (1, 21)
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "landfall-tests")


def built(package, version, go_min):
    """The program of a package in this version, built if it isn't there yet with Go `go_min` or later."""
    name = package.rpartition("/")[2]
    place = CACHE / f"{name}-{version}"
    if not (place / name).is_file():
        place.mkdir(parents=True, exist_ok=True)
        run([go(name, go_min), "install", f"{package}@{version}"], place, GOBIN=str(place))
    return place / name


def built_here(folder, go_min):
    """The program of a folder beside this file, built anew when something in it is another than it was."""
    sources = sorted(path for path in folder.iterdir() if path.suffix in (".go", ".mod", ".sum"))
    changes = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    program = CACHE / f"{folder.name}-{changes}" / folder.name
    if not program.is_file():
        program.parent.mkdir(parents=True, exist_ok=True)
        run([go(folder.name, go_min), "build", "-mod=readonly", "-o", str(program), "."], folder)
    return program


def run(command, folder, **more):
    """Runs Go, which may fetch what it needs."""
    environment = os.environ | {"GOFLAGS": "", "CGO_ENABLED": "0"} | more
    limits = {"timeout": BUILD_SECONDS_MAX, "capture_output": True, "text": True}
    done = subprocess.run(command, cwd=folder, env=environment, **limits)
    if done.returncode:
        raise Wrong(f"{' '.join(command)}\n{done.stderr}")


def go(name, go_min):
    """A Go that builds it."""
    found = program("go")
    said = subprocess.run([found, "version"], capture_output=True, text=True).stdout
    version = re.search(r"go(\d+)\.(\d+)", said)
    if not version or (int(version[1]), int(version[2])) < min(go_min, GO_FETCHES):
        raise Skip(f"Go {'.'.join(map(str, go_min))} is needed to build {name}; there is {said.strip()}")
    return found
