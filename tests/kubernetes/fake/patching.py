"""The patch formats: JSON merge patch (RFC 7386), strategic merge patch, JSON patch (RFC 6902)."""

import copy
from typing import Any

from tests.kubernetes.fake.answers import Object, bad_request

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "conditions": "type",
    "ownerReferences": "uid",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
}
"""Lists of maps that a strategic merge patch joins by a key; other lists are replaced."""
SETS = {"finalizers"}


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, maps are merged, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic(target: Any, patch: Any, key: str = "") -> Any:
    """As `merge`, but known lists of maps are merged by their key, with `$patch: delete` and `$patch: replace`."""
    if isinstance(patch, list) and key in MERGE_KEYS and isinstance(target, list):
        return _lists(target, patch, MERGE_KEYS[key])
    if isinstance(patch, list) and key in SETS and isinstance(target, list):
        return [*target, *(item for item in patch if item not in target)]
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if name.startswith("$setElementOrder/") or name == "$retainKeys":
            continue
        if name.startswith("$deleteFromPrimitiveList/"):
            plain = name.partition("/")[2]
            result[plain] = [item for item in result.get(plain, []) if item not in value]
        elif value is None:
            result.pop(name, None)
        else:
            result[name] = strategic(result.get(name), value, name)
    return result


def _lists(target: list[Object], patch: list[Object], key: str) -> list[Object]:
    result = list(target)
    for item in patch:
        place = next((i for i, old in enumerate(result) if old.get(key) == item.get(key)), None)
        if item.get("$patch") == "delete":
            result = [old for old in result if old.get(key) != item.get(key)]
        elif place is None:
            result.append(copy.deepcopy(item))
        else:
            result[place] = strategic(result[place], item)
    return result


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902.

    Raises:
        ApiError: 400, an operation that cannot be read or applied.
    """
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    result = copy.deepcopy(target)
    for operation in operations:
        try:
            result = _apply(result, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise bad_request(
                f"the server rejected our request due to an error in our request: {operation}: {error}"
            ) from None
    return result


def _apply(document: Any, operation: Object) -> Any:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    holder = document
    for part in parts[:-1]:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    last = parts[-1]
    index: Any = (len(holder) if last == "-" else int(last)) if isinstance(holder, list) else last
    match operation["op"]:
        case "add" if isinstance(holder, list):
            holder.insert(index, operation["value"])
        case "add":
            holder[index] = operation["value"]
        case "replace":
            holder[index]
            holder[index] = operation["value"]
        case "remove":
            del holder[index]
        case "test":
            if holder[index] != operation["value"]:
                raise ValueError("test failed")
        case other:
            raise ValueError(f"operation {other} is not supported")
    return document
