"""JSON lines, plain or compressed."""

from pathlib import Path
from typing import Any

import orjson

from lifecycle.corpora.paths import DECOMPRESSION_ERRORS, open_bytes
from lifecycle.corpora.records import MAX_EXCERPT, Damage, Records, make_document
from lifecycle.corpora.snapshot import source_files
from lifecycle.recipe.corpora import JsonlSource


def read(source: JsonlSource) -> Records:
    """One document a line. Lines that are not one are damage under `invalid_json`, `not_an_object`,
    `missing_text_field`, `text_not_a_string` or `empty_text`; a file that stops decompressing under `truncated_file`.
    """
    for path, name in source_files(source):
        yield from _read_file(source, path, name)


def _read_file(source: JsonlSource, path: Path, name: str) -> Records:
    number = 0
    try:
        with open_bytes(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _record(source, name, number, line.removeprefix(b"\xef\xbb\xbf"))
    except DECOMPRESSION_ERRORS as error:
        yield Damage("truncated_file", f"{name}:{number + 1}", f"{path}: {error}")


def _record(source: JsonlSource, name: str, number: int, line: bytes) -> Any:
    locator = f"{name}:{number}"

    def damage(rule: str) -> Damage:
        return Damage(rule, locator, line[:MAX_EXCERPT].decode("utf-8", "replace"))

    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return damage("invalid_json")
    if not isinstance(row, dict):
        return damage("not_an_object")
    if source.text_field not in row:
        return damage("missing_text_field")
    text = row[source.text_field]
    if not isinstance(text, str):
        return damage("text_not_a_string")
    if not text.strip():
        return damage("empty_text")
    return make_document(
        source.name,
        source.language,
        locator,
        text,
        id=_string(row, source.id_field),
        url=_string(row, source.url_field),
        meta={"file": name},
    )


def _string(row: dict[str, Any], field: str | None) -> str | None:
    value = row.get(field) if field else None
    return None if value is None else str(value)
