#!/usr/bin/env python3
"""Writes ecr.json, ecr-public.json, ecs.json, iam.json and logs.json in crates/landfall-serve/data: what the input of each
operation that the server has may be.

    .venv/bin/python tools/input_shapes.py

The authority is the API model that comes with botocore (Apache-2.0), in the version that is installed.
Only names, types, limits and patterns are taken over; a second run changes nothing.
"""

import json
import pathlib
import re

import botocore
import botocore.loaders

CRATE = pathlib.Path(__file__).resolve().parent.parent / "crates/landfall-serve"
DATA = CRATE / "data"


def operations_of(service):
    """The operations that the server has of a service, by its own table."""
    table = (CRATE / "src/authz/operations.rs").read_text()
    return set(re.findall(r"\w+", re.search(rf'"{service}": ((?:\w+,?\s*)+);', table).group(1)))


def written(model, names):
    """The inputs of these operations, and the shapes that they are made of."""
    shapes, waiting, operations = {}, [], {}
    for name, operation in sorted(model["operations"].items()):
        if name not in names or "input" not in operation:
            continue
        operations[name] = operation["input"]["shape"]
        waiting.append(operation["input"]["shape"])
    while waiting:
        name = waiting.pop()
        if name in shapes:
            continue
        shape = model["shapes"][name]
        kind = {"long": "integer", "double": "number", "float": "number"}.get(shape["type"], shape["type"])
        entry = {"type": kind}
        for limit in ("min", "max", "pattern", "enum"):
            if limit in shape:
                entry[limit] = shape[limit]
        if kind == "structure":
            entry["members"] = {member: of["shape"] for member, of in shape["members"].items()}
            entry["required"] = shape.get("required", [])
            waiting.extend(entry["members"].values())
        if kind == "list":
            entry["member"] = shape["member"]["shape"]
            waiting.append(entry["member"])
        if kind == "map":
            entry["key"], entry["member"] = shape["key"]["shape"], shape["value"]["shape"]
            waiting.extend([entry["key"], entry["member"]])
        shapes[name] = entry
    return {"botocore": botocore.__version__, "operations": operations, "shapes": dict(sorted(shapes.items()))}


def main():
    loader = botocore.loaders.Loader()
    DATA.mkdir(exist_ok=True)
    for service in ("ecr", "ecr-public", "ecs", "iam", "logs"):
        model = loader.load_service_model(service, "service-2")
        text = json.dumps(written(model, operations_of(service)), indent=1) + "\n"
        (DATA / f"{service}.json").write_text(text)


if __name__ == "__main__":
    main()
