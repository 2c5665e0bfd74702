"""Tells what Kubernetes and Compose would refuse, or pass over in silence.

    validate.py kubernetes FROM TO   objects on standard input, against two versions of Kubernetes
    validate.py compose FILE

A field that the schema does not know is a fault: an API server drops it without a word, and with it what was meant.
"""

import importlib
import json
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml
from compose_spec import PyCompose

# What KEDA and the Prometheus operator add to Kubernetes, by its version: the module that has models of it.
CUSTOM = {
    "keda.sh/v1alpha1": "cloudcoil.models.keda.v1alpha1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
}
# Their schemas, once made: it takes seconds to load the models. They go with the tools when those are installed anew.
SCHEMAS = Path(sys.prefix) / "schemas"


def strict(schema):
    """The schema of a model, without unknown fields and without nulls, which a model allows for what is not given."""
    if isinstance(schema, list):
        return [strict(part) for part in schema if part != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    schema = {key: strict(part) for key, part in schema.items() if key != "default"}
    if isinstance(schema.get("properties"), dict):
        schema.setdefault("additionalProperties", False)
    return schema


def custom_schema(thing):
    """The schema of an object that is not Kubernetes' own, or nothing."""
    module = CUSTOM.get(thing["apiVersion"])
    if module is None:
        return None
    file = SCHEMAS / f"{module}.{thing['kind']}.json"
    if not file.exists():
        model = getattr(importlib.import_module(module), thing["kind"])
        SCHEMAS.mkdir(exist_ok=True)
        file.write_text(json.dumps(strict(model.model_json_schema(by_alias=True))))
    return json.loads(file.read_text())


def faults(thing, versions):
    """What is wrong with one object, each with the place."""
    schema = custom_schema(thing)
    if schema:
        # Metadata is Kubernetes' own, and there is no kind with so little else as a config map.
        metadata = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": thing["metadata"]}
        yield from faults(metadata, versions)
        for error in jsonschema.Draft202012Validator(schema).iter_errors({**thing, "metadata": {}}):
            yield f"{error.json_path}: {error.message}"
        return
    for version in versions:
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{'.'.join(map(str, error.path))}: {error.message} (Kubernetes {version})"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"{error.message}: unknown"


def kubernetes(versions):
    things = [thing for thing in yaml.safe_load_all(sys.stdin) if thing]
    if not things:
        return ["no objects at all"]
    return [
        f"{thing['kind']} {thing['metadata']['name']}: {fault}" for thing in things for fault in faults(thing, versions)
    ]


def compose(path):
    try:
        PyCompose.from_yaml(Path(path).read_text()).validate()
    except ValueError as error:
        return [f"{path}: {error}"]
    return []


def main():
    match sys.argv[1:]:
        case ["kubernetes", *versions] if len(versions) == 2:
            found = kubernetes(versions)
        case ["compose", path]:
            found = compose(path)
        case _:
            sys.exit(__doc__)
    for fault in found:
        print(fault, file=sys.stderr)
    sys.exit(1 if found else 0)


main()
