"""JSON lines, plain or compressed."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from lifecycle.corpora.fields import record_document
from lifecycle.corpora.json_rows import RowReader
from lifecycle.corpora.opening import UnreadableError, rule_of
from lifecycle.corpora.parts import Part, parts
from lifecycle.corpora.paths import Files
from lifecycle.corpora.records import MAX_EXCERPT, Damage, Notes, Records
from lifecycle.recipe.corpora import JsonlSource


def read(source: JsonlSource, notes: Notes, files: Files | None = None) -> Records:
    """One document a line. Lines that are not one are damage under `invalid_json`, `too_large`, `not_an_object`,
    `missing_text_field`, `text_not_a_string` or `empty_text`; a file that stops decompressing under `truncated_file`.
    """
    rows = RowReader(source.text_field)
    for part in parts(source, notes, files):
        if isinstance(part, Damage):
            yield part
            continue
        for line in lines(part, source.max_megabytes << 20):
            yield line if isinstance(line, Damage) else _record(source, rows, *line)


def lines(part: Part, limit: int) -> Iterator[tuple[str, bytes] | Damage]:
    """Place (`name:line`) and bytes of each line that is not blank.

    Damage: `too_large` for a line of more than `limit` bytes, `truncated_file` where the part cannot be read further.
    """
    number = 0
    try:
        with part.open() as file:
            while line := file.readline(limit + 1):
                number += 1
                if len(line) > limit:
                    _skip_line(file, limit)
                    yield Damage("too_large", f"{part.name}:{number}", line[:MAX_EXCERPT].decode("utf-8", "replace"))
                elif not line.isspace():
                    yield f"{part.name}:{number}", line.removeprefix(b"\xef\xbb\xbf")
    except UnreadableError as error:
        yield Damage(rule_of(error, "truncated_file"), f"{part.name}:{number + 1}", str(error))


def _skip_line(file: BinaryIO, limit: int) -> None:
    while (rest := file.readline(limit)) and not rest.endswith(b"\n"):
        pass


def _record(source: JsonlSource, rows: RowReader, locator: str, line: bytes) -> Any:
    try:
        row = rows.row(line)
    except orjson.JSONDecodeError:
        return Damage("invalid_json", locator, line[:MAX_EXCERPT].decode("utf-8", "replace"))
    return record_document(
        source, row, locator, line, text_field=source.text_field, id_field=source.id_field, url_field=source.url_field
    )
