"""JSON files that hold records in one array."""

import json
from typing import Any, NoReturn

import orjson

from lifecycle.corpora.decoded import decoded_parts
from lifecycle.corpora.fields import MISSING, find, record_document
from lifecycle.corpora.paths import Files
from lifecycle.corpora.records import MAX_EXCERPT, Damage, Notes, Records
from lifecycle.recipe.corpora import JsonSource


def read(source: JsonSource, notes: Notes, files: Files | None = None) -> Records:
    """One document a record, in the order of the files; the file is decoded as text files are.

    The records of one file are held out one by one. Damage: that of `decoded_parts`, `invalid_json` and
    `no_list_of_records` for a whole file, and for one record that of `record_document`, and `invalid_json` where a string of
    it has half of a surrogate pair.
    """
    for item in decoded_parts(source, notes, files):
        if isinstance(item, Damage):
            yield item
        else:
            yield from _read_file(source, *item)


def _read_file(source: JsonSource, name: str, text: str) -> Records:
    try:
        value = _value(text)
    except orjson.JSONDecodeError as error:
        yield Damage(
            "invalid_json", f"{name}:{error.lineno}", f"{error.msg}: {text[max(0, error.pos - 40) :][:MAX_EXCERPT]}"
        )
        return
    records = find(value, source.records_field) if source.records_field else value
    if isinstance(records, dict):
        records = [records]
    if records is MISSING or not isinstance(records, list):
        yield Damage("no_list_of_records", name, text[:MAX_EXCERPT])
        return
    for number, row in enumerate(records, 1):
        yield _record(source, row, f"{name}:{number}")


def _value(text: str) -> Any:
    """What the text says; raises orjson's error.

    For half of one surrogate pair orjson refuses the whole file. The standard library leaves it in its string, where
    `_record` meets it; what else it is lenient about is refused here.
    """
    try:
        return orjson.loads(text.encode("utf-8", "surrogatepass"))
    except orjson.JSONDecodeError:
        try:
            return json.loads(text, parse_int=_integer, parse_constant=_refuse)
        except (ValueError, RecursionError):
            pass
        raise


def _integer(digits: str) -> int | float:
    """As orjson: beyond 64 bits a number is a float."""
    value = int(digits)
    return value if -(2**63) <= value < 2**64 else float(digits)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _record(source: JsonSource, row: Any, locator: str) -> Any:
    try:
        raw = orjson.dumps(row)[:MAX_EXCERPT]
    except orjson.JSONEncodeError:
        return Damage("invalid_json", locator, json.dumps(row)[:MAX_EXCERPT])
    return record_document(
        source, row, locator, raw, text_field=source.text_field, id_field=source.id_field, url_field=source.url_field
    )
