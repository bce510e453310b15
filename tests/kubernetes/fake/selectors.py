"""Label and field selectors."""

import re
from collections.abc import Callable
from typing import Any

from tests.kubernetes.fake.answers import Object, bad_request
from tests.kubernetes.fake.resources import Resource

Match = Callable[[Object], bool]

_IN = re.compile(r"^\s*(\S+)\s+(in|notin)\s+\(([^)]*)\)\s*$")
_EQUAL = re.compile(r"^\s*([^=!\s]+)\s*(==|=|!=)\s*([^=!\s]*)\s*$")


def selected(resource: Resource, labels: str, fields: str) -> Match:
    """What the two selectors of a request pick.

    Raises:
        ApiError: 400, a selector that cannot be read or a field that this kind does not support.
    """
    terms = [_label_term(term) for term in _split(labels)] + [_field_term(resource, term) for term in _split(fields)]
    return lambda item: all(term(item) for term in terms)


def _split(text: str) -> list[str]:
    """The terms of a selector: commas inside parentheses belong to a set."""
    return [term for term in re.split(r",(?![^(]*\))", text) if term.strip()]


def _label_term(term: str) -> Match:
    if found := _IN.match(term):
        key, word, listed = found[1], found[2], {value.strip() for value in found[3].split(",")}
        return lambda item: (_labels(item).get(key) in listed) == (word == "in")
    if found := _EQUAL.match(term):
        key, sign, value = found[1], found[2], found[3]
        return lambda item: (_labels(item).get(key) == value) == (sign != "!=")
    name = term.strip()
    if not re.fullmatch(r"!?\s*[A-Za-z0-9./_-]+", name):
        raise bad_request(f"unable to parse requirement: {term}")
    if name.startswith("!"):
        return lambda item: name[1:].strip() not in _labels(item)
    return lambda item: name in _labels(item)


def _field_term(resource: Resource, term: str) -> Match:
    found = _EQUAL.match(term)
    if not found:
        raise bad_request(f"invalid field selector: {term}")
    path, sign, value = found[1], found[2], found[3]
    if path not in ("metadata.name", "metadata.namespace", *resource.fields):
        raise bad_request(f"field label not supported: {path}")
    return lambda item: (_field(item, path) == value) == (sign != "!=")


def _labels(item: Object) -> dict[str, str]:
    return item["metadata"].get("labels") or {}


def _field(item: Object, path: str) -> str:
    value: Any = item
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)
