"""JSON files that hold records in one array."""

from typing import Any

import orjson

from lifecycle.corpora.decoded import decoded_parts
from lifecycle.corpora.fields import MISSING, find, record_document
from lifecycle.corpora.paths import Files
from lifecycle.corpora.records import MAX_EXCERPT, Damage, Notes, Records
from lifecycle.recipe.corpora import JsonSource


def read(source: JsonSource, notes: Notes, files: Files | None = None) -> Records:
    """One document a record, in the order of the files; the file is decoded as text files are.

    The records of one file are held out one by one. Damage: that of `decoded_parts`, `invalid_json` and
    `no_list_of_records` for a whole file, and for one record that of `record_document`.
    """
    for item in decoded_parts(source, notes, files):
        if isinstance(item, Damage):
            yield item
        else:
            yield from _read_file(source, *item)


def _read_file(source: JsonSource, name: str, text: str) -> Records:
    data = text.encode("utf-8", "surrogatepass")
    try:
        value = orjson.loads(data)
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


def _record(source: JsonSource, row: Any, locator: str) -> Any:
    raw = orjson.dumps(row)[:MAX_EXCERPT]
    return record_document(
        source, row, locator, raw, text_field=source.text_field, id_field=source.id_field, url_field=source.url_field
    )
