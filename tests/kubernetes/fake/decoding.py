"""From bytes to an object: what the server refuses as unreadable, before any rule is applied."""

import functools
import json
from dataclasses import dataclass
from typing import Any

import jsonschema
from kubernetes_validate import utils as schemas
from referencing import Registry
from referencing import Resource as Schema

from tests.kubernetes.fake.answers import Cause, Object, bad_request, required
from tests.kubernetes.fake.quantities import quantity
from tests.kubernetes.fake.resources import Resource, of_kind

VERSION = "1.32"
_FOLDER = f"kubernetes-json-schema/v{VERSION}.0-local-strict"
DEFAULTED = {("onPodConditions", "status")}
"""Required by the schema, but the server fills it in."""
_SCHEME = 'in scheme "pkg/api/legacyscheme/scheme.go:30"'
_GO_TYPES = {"integer": "int32", "boolean": "bool", "number": "float64", "array": "[]string", "object": "map[string]string"}
_GO_STRUCTS = {
    "containers": "Container",
    "initContainers": "Container",
    "volumes": "Volume",
    "volumeMounts": "VolumeMount",
    "env": "EnvVar",
    "metadata": "ObjectMeta",
    "template": "PodTemplateSpec",
    "resources": "ResourceRequirements",
}


@dataclass(frozen=True)
class Decoded:
    """A readable object: what the client should be warned of, and which required fields it lacks."""

    item: Object
    warnings: list[str]
    missing: list[Cause]


def decode(resource: Resource, body: bytes, validation: str) -> Decoded:
    """Read a body for a resource; `validation` is Strict, Warn or Ignore, as in the query `fieldValidation`.

    Raises:
        ApiError: 400, with the server's reason.
    """
    item = _parse(resource, body)
    _check_kind(resource, item)
    what = f'{item["kind"]} in version "{resource.version}" cannot be handled as a {resource.kind}'
    unknown: list[str] = []
    missing: list[Cause] = []
    for error in _validator(resource).iter_errors(item):
        path = list(error.absolute_path)
        if error.validator == "type":
            raise bad_request(f"{what}: {_type_error(resource, path, error)}")
        if error.validator == "additionalProperties":
            extra = sorted(set(error.instance) - set(error.schema["properties"]))
            unknown += [dotted([*path, name]) for name in extra]
            for name in extra:
                del error.instance[name]
        elif error.validator == "required":
            lacking = [n for n in error.validator_value if n not in error.instance and (*path[-2:-1], n) not in DEFAULTED]
            missing += [required(dotted([*path, name])) for name in lacking]
    _check_quantities(what, item, "")
    told = [f'unknown field "{path}"' for path in unknown]
    if told and validation == "Strict":
        raise bad_request(f"{what}: strict decoding error: {', '.join(told)}")
    return Decoded(item, told if validation == "Warn" else [], missing)


def dotted(path: list[Any]) -> str:
    """`spec.containers[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _parse(resource: Resource, body: bytes) -> Object:
    text = body.decode("utf-8", "replace")
    try:
        item = json.loads(text)
    except ValueError as error:
        cut = isinstance(error, json.JSONDecodeError) and error.pos >= len(text.rstrip())
        why = "unexpected end of JSON input" if cut else f"invalid character at {getattr(error, 'pos', 0)}"
        raise bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): couldn't get version/kind; "
            f"json parse error: {why} ({text})"
        ) from None
    if not isinstance(item, dict):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): couldn't get version/kind"
        )
    item.setdefault("kind", resource.kind)
    item.setdefault("apiVersion", resource.api_version)
    return item


def _check_kind(resource: Resource, item: Object) -> None:
    kind, api_version = item["kind"], item["apiVersion"]
    if (kind, api_version) == (resource.kind, resource.api_version):
        return
    version = api_version.rpartition("/")[2]
    what = f'{kind} in version "{version}" cannot be handled as a {resource.kind}'
    if of_kind(api_version, kind) is None:
        raise bad_request(f'{what}: no kind "{kind}" is registered for version "{api_version}" {_SCHEME}')
    group = resource.group or "core"
    raise bad_request(f"{what}: converting ({version}.{kind}) to ({group}.{resource.kind}): unknown conversion")


@functools.cache
def _validator(resource: Resource) -> jsonschema.Draft202012Validator:
    """The strict schema of kubernetes-validate; all mistakes are wanted, its own function stops at the first."""
    stem = f"{resource.kind.lower()}-{resource.group.partition('.')[0]}-{resource.version}".replace("--", "-")
    own = schemas.schema_contents(f"{_FOLDER}/{stem}.json", VERSION)
    shared = schemas.schema_contents(f"{_FOLDER}/_definitions.json", VERSION)
    registry = Schema.from_contents(shared) @ (Schema.from_contents(own) @ Registry())
    return jsonschema.Draft202012Validator(own, registry=registry)


def _type_error(resource: Resource, path: list[Any], error: jsonschema.ValidationError) -> str:
    """The message of Go's JSON decoder."""
    names = [part for part in path if not isinstance(part, int)]
    allowed: Any = error.validator_value
    wanted = next(name for name in (allowed if isinstance(allowed, list) else [allowed]) if name != "null")
    holders = [_GO_STRUCTS[name] for name in names[:-1] if name in _GO_STRUCTS]
    struct = holders[-1] if holders else f"{resource.kind}Spec"
    if names[-1:] and names[-2:-1] in (["labels"], ["annotations"], ["nodeSelector"]):
        names = names[:-1]
    value = error.instance
    kind = "bool" if isinstance(value, bool) else {dict: "object", list: "array", str: "string"}.get(type(value), "number")
    target = _GO_TYPES.get(wanted, wanted)
    return f"json: cannot unmarshal {kind} into Go struct field {struct}.{'.'.join(names)} of type {target}"


def _check_quantities(what: str, value: Any, name: str) -> None:
    """Resource amounts, wherever they stand."""
    if isinstance(value, list):
        for entry in value:
            _check_quantities(what, entry, name)
    elif isinstance(value, dict):
        amounts = value if name in ("limits", "requests", "hard", "capacity", "allocatable") else {}
        amounts = amounts | ({"sizeLimit": value["sizeLimit"]} if value.get("sizeLimit") is not None else {})
        for amount in amounts.values():
            try:
                quantity(amount)
            except ValueError as error:
                raise bad_request(f"{what}: {error}") from None
        for key, entry in value.items():
            if key not in ("labels", "annotations", "data"):
                _check_quantities(what, entry, key)
