#!/usr/bin/env python3
"""Writes crates/landfall-deliver/data/task_definition.json: the members of a task definition as RegisterTaskDefinition
takes it, each with its own members. A member whose keys are the user's (`dockerLabels`) is `null`.

    .venv/bin/python tools/task_definition.py

The authority is the API model that comes with botocore (Apache-2.0), in the version that is installed. Only names are
taken over; a second run changes nothing.
"""

import json
import pathlib

import botocore.loaders

TARGET = pathlib.Path(__file__).resolve().parent.parent / "crates/landfall-deliver/data/task_definition.json"


def members(shapes, name):
    """What a shape has for members: those of its items if it is a list."""
    shape = shapes[name]
    if shape["type"] == "structure":
        return {member: members(shapes, of["shape"]) for member, of in sorted(shape["members"].items())}
    if shape["type"] == "list":
        return members(shapes, shape["member"]["shape"])
    return None if shape["type"] == "map" else {}


def main():
    model = botocore.loaders.Loader().load_service_model("ecs", "service-2")
    shape = model["operations"]["RegisterTaskDefinition"]["input"]["shape"]
    TARGET.write_text(json.dumps(members(model["shapes"], shape), indent=1) + "\n")


if __name__ == "__main__":
    main()
