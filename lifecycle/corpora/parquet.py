"""Parquet files, read by row groups."""

import io
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.corpora.opening import UnreadableError, read_whole, rule_of
from lifecycle.corpora.parts import Part, parts
from lifecycle.corpora.paths import Files
from lifecycle.corpora.records import MAX_EXCERPT, Damage, Notes, Records, make_document
from lifecycle.errors import DataError
from lifecycle.recipe.corpora import ParquetSource

BATCH_ROWS = 2_000


def read(source: ParquetSource, notes: Notes, files: Files | None = None) -> Records:
    """One document a row. Damage: `empty_text`, `invalid_utf8` (Parquet does not check its strings), and `unreadable_file`
    for a file that is not Parquet or is cut short.

    Raises:
        DataError: a file has no column of the name in `text_field`, or it does not hold strings.
    """
    for part in parts(source, notes, files):
        if isinstance(part, Damage):
            yield part
        else:
            yield from _read_file(source, part)


def _open(source: ParquetSource, part: Part) -> BinaryIO:
    """The file itself, or an archive member in memory: Parquet is read from its end."""
    if part.location is not None:
        return part.location.open("rb")
    with part.open() as file:
        return io.BytesIO(read_whole(file, source.max_megabytes << 20))


def _read_file(source: ParquetSource, part: Part) -> Records:
    row, name = 0, part.name
    wanted = [field for field in (source.text_field, source.id_field, source.url_field) if field]
    try:
        with _open(source, part) as opened, pq.ParquetFile(opened) as file:
            _check_columns(source, name, file.schema_arrow, wanted)
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
                texts = _texts(batch.column(source.text_field))
                ids = _strings(batch, source.id_field)
                urls = _strings(batch, source.url_field)
                for text, identifier, url in zip(texts, ids, urls, strict=True):
                    locator = f"{name}:row {row}"
                    row += 1
                    if isinstance(text, bytes):
                        yield Damage("invalid_utf8", locator, text[:MAX_EXCERPT].decode("utf-8", "replace"))
                    elif text is None or not text.strip():
                        yield Damage("empty_text", locator, text or "")
                    else:
                        yield make_document(
                            source.name, source.language, locator, text, id=identifier, url=url, meta={"file": name}
                        )
    except (pa.ArrowException, OSError) as error:
        rule = rule_of(error, "unreadable_file") if isinstance(error, UnreadableError) else "unreadable_file"
        yield Damage(rule, f"{name}:row {row}", str(error))


def _texts(column: pa.Array) -> Iterator[str | bytes | None]:
    """The values of a string column; those that are not UTF-8, which Parquet does not check, as bytes."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    for value in column.cast(pa.large_binary()).to_pylist():
        try:
            yield value if value is None else value.decode("utf-8")
        except UnicodeDecodeError:
            yield value


def _strings(batch: pa.RecordBatch, field: str | None) -> list[str | None]:
    """A column of any type as strings, or nulls where the recipe names none."""
    if field is None:
        return [None] * batch.num_rows
    return [None if value is None else str(value) for value in batch.column(field).to_pylist()]


def _check_columns(source: ParquetSource, file: str, schema: pa.Schema, wanted: list[str]) -> None:
    for field in wanted:
        if field not in schema.names:
            raise DataError(f"source {source.name}: {file} has no column {field!r}; it has {schema.names}")
    kind = schema.field(source.text_field).type
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)):
        raise DataError(f"source {source.name}: column {source.text_field!r} of {file} holds {kind}, not text")
