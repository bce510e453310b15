"""Tables as text: CSV, TSV and their relatives."""

import csv
import io
import sys
from collections.abc import Iterator

from lifecycle.corpora.decoded import decoded_parts
from lifecycle.corpora.encodings import ESCAPED
from lifecycle.corpora.paths import Files
from lifecycle.corpora.records import MAX_EXCERPT, Damage, Notes, Records, make_document
from lifecycle.errors import DataError
from lifecycle.recipe.corpora import CsvSource

csv.field_size_limit(sys.maxsize)  # the standard 128 KiB is less than one article


def read(source: CsvSource, notes: Notes, files: Files | None = None) -> Records:
    """One document a row, in the order of the files; the first row names the columns unless the recipe does.

    Damage: that of `decoded_parts`; for a row `wrong_field_count`, `invalid_bytes` and `empty_text`; `invalid_csv` once for
    every line of a record that breaks the quoting (an open quote takes all lines after it).

    Raises:
        DataError: the columns of a file do not hold the fields that the recipe names.
    """
    for item in decoded_parts(source, notes, files):
        if isinstance(item, Damage):
            yield item
        else:
            yield from _read_file(source, *item)


def _read_file(source: CsvSource, name: str, text: str) -> Records:
    columns = source.columns
    for line, row in csv_rows(text, source.delimiter, source.quotes):
        locator = f"{name}:{line}"
        if isinstance(row, csv.Error):
            yield Damage("invalid_csv", locator, str(row))
        elif columns is None:
            columns = tuple(row)
            _check_columns(source, name, columns)
        elif len(row) != len(columns):
            yield Damage("wrong_field_count", locator, f"{len(row)} fields, not {len(columns)}: {row}"[:MAX_EXCERPT])
        else:
            yield _document(source, name, locator, dict(zip(columns, row, strict=True)))


def csv_rows(text: str, delimiter: str = ",", quotes: bool = True) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """The number of its first line and the fields of each record that is not blank, or the error for each line lost."""
    quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    while True:
        start = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            for line in range(start, max(rows.line_num, start) + 1):
                yield line, error
            continue
        if row:
            yield start, row


def _document(source: CsvSource, name: str, locator: str, row: dict[str, str]):
    text = row[source.text_field]
    broken = ESCAPED.search(text)
    if broken:
        return Damage("invalid_bytes", locator, text[max(0, broken.start() - 40) :][:MAX_EXCERPT])
    if not text.strip():
        return Damage("empty_text", locator, str(row)[:MAX_EXCERPT])
    return make_document(
        source.name,
        source.language,
        locator,
        text,
        id=row[source.id_field] if source.id_field else None,
        url=row[source.url_field] if source.url_field else None,
        meta={"file": name},
    )


def _check_columns(source: CsvSource, name: str, columns: tuple[str, ...]) -> None:
    for field in (source.text_field, source.id_field, source.url_field):
        if field and field not in columns:
            raise DataError(
                f"source {source.name}: {name} has no column {field!r}; its first line gives {list(columns)[:20]}. Name the "
                "`columns` in the recipe where the file has no header, and check `delimiter`."
            )
