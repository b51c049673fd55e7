"""AWS's own models, as botocore has them: which operations there are, and what their answers look like."""

import json

from harness import Wrong

# Members that AWS sends and its model doesn't have.
BEYOND_THE_MODEL = {"imageManifestSize", "resetOnHealthyTask", "thresholdConfiguration"}
KINDS = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "double": (int, float),
    "timestamp": (int, float),
    "list": list,
    "structure": dict,
    "map": dict,
    "blob": str,
}
# Every operation that was answered through a client of `aws.client`, as (service, operation).
ANSWERED = set()
# How many checks were run before the one that runs.
RAN = []


def conforms(shape, value, place):
    """Refuses an answer that is not as AWS's model has it: unknown members, wrong types, missing ones."""
    if not isinstance(value, KINDS[shape.type_name]):
        raise Wrong(f"{place} is {value!r}, and should be a {shape.type_name}")
    if shape.type_name == "structure":
        unknown = set(value) - set(shape.members) - BEYOND_THE_MODEL
        if unknown:
            raise Wrong(f"{place} has {', '.join(sorted(unknown))}, which AWS's model does not")
        missing = set(shape.required_members) - set(value)
        if missing:
            raise Wrong(f"{place} lacks {', '.join(sorted(missing))}")
        for name, member in value.items():
            if name in shape.members:
                conforms(shape.members[name], member, f"{place}.{name}")
    elif shape.type_name == "map":
        for name, member in value.items():
            conforms(shape.value, member, f"{place}.{name}")
    elif shape.type_name == "list":
        for index, member in enumerate(value):
            conforms(shape.member, member, f"{place}[{index}]")
    elif getattr(shape, "enum", None) and value not in shape.enum:
        raise Wrong(f"{place} is {value!r}, and should be one of {shape.enum}")


def watch(client):
    """Holds every answer of a client to the model, if the service speaks JSON, and notes its operation."""
    service = client.meta.service_model.service_name

    def look(operation_model, response_dict, **_):
        if response_dict["status_code"] >= 300:
            return
        ANSWERED.add((service, operation_model.name))
        if "json" in client.meta.service_model.resolved_protocol and operation_model.output_shape:
            body = json.loads(response_dict["body"] or b"{}")
            conforms(operation_model.output_shape, body, f"{service} {operation_model.name}")

    client.meta.events.register("before-parse", look)
    return client
