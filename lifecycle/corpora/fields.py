"""The text of a JSON record, found by the name or path that the recipe gives."""

from collections.abc import Sequence
from typing import Any

from lifecycle.corpora.encoded_text import EncodedText
from lifecycle.corpora.records import MAX_EXCERPT, Damage, make_document
from lifecycle.recipe.corpora import SourceBase


class _Missing:
    pass


MISSING = _Missing()


def find(value: Any, path: str) -> Any:
    """What stands at a dotted path, or MISSING; a list on the way gives the list of what stands at the rest in each item.

    A key that holds the dots itself comes first.
    """
    if isinstance(value, list):
        found = [item for item in (find(item, path) for item in value) if item is not MISSING]
        return found if found else MISSING
    if not isinstance(value, dict):
        return MISSING
    if path in value:
        return value[path]
    head, dot, rest = path.partition(".")
    return find(value[head], rest) if dot and head in value else MISSING


def strings(value: Any) -> list[str] | None:
    """A string, or strings in lists of any depth, in order; None where something else is among them."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        return None
    inner = [strings(item) for item in value]
    return None if None in inner else [text for texts in inner if texts for text in texts]


def record_document(
    source: SourceBase,
    row: Any,
    locator: str,
    raw: bytes,
    *,
    text_field: str | Sequence[str],
    id_field: str | None,
    url_field: str | None,
    group: str | None = None,
) -> Any:
    """The document of one JSON record, or its damage: `not_an_object`, `missing_text_field`, `text_not_a_string`,
    `empty_text`. A list of strings is joined by newlines.
    """

    def damage(rule: str) -> Damage:
        return Damage(rule, locator, raw[:MAX_EXCERPT].decode("utf-8", "replace"))

    if not isinstance(row, dict):
        return damage("not_an_object")
    names = [text_field] if isinstance(text_field, str) else text_field
    value = _first(row, names)
    if value is MISSING:
        wanted = " or ".join(map(repr, names))
        return Damage("missing_text_field", locator, f"no field {wanted}; there are {', '.join(_paths(row))}"[:MAX_EXCERPT])
    text = _text(value)
    if text is None:
        return damage("text_not_a_string")
    if not text or text.isspace():
        return damage("empty_text")
    return make_document(
        source.name,
        source.language,
        locator,
        text,
        id=_one(row, id_field),
        url=_one(row, url_field),
        group=group,
        meta={"file": locator.rpartition(":")[0]},
    )


def _first(row: dict[str, Any], names: Sequence[str]) -> Any:
    for name in names:
        if (found := find(row, name)) is not MISSING:
            return found
    return MISSING


def _text(value: Any) -> str | EncodedText | None:
    if isinstance(value, EncodedText):
        return value
    found = strings(value)
    return None if found is None else "\n".join(found)


def _paths(row: dict[str, Any]) -> list[str]:
    """The fields of a record as the recipe would name them, one level deep into objects."""
    return [f"{key}.{below}" for key, value in row.items() for below in (value if isinstance(value, dict) else ())] + [
        key for key, value in row.items() if not isinstance(value, dict)
    ]


def _one(row: dict[str, Any], field: str | None) -> str | None:
    value = find(row, field) if field else None
    return None if value is None or value is MISSING else str(value)
