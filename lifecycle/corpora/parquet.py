"""Parquet files, read by row groups."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.corpora.records import Damage, Records, make_document
from lifecycle.corpora.snapshot import source_files
from lifecycle.errors import DataError
from lifecycle.recipe.corpora import ParquetSource

BATCH_ROWS = 2_000


def read(source: ParquetSource) -> Records:
    """One document a row. Rows without text are damage under `empty_text`, a file that is not Parquet or is cut short
    under `unreadable_file`.

    Raises:
        DataError: a file has no column of the name in `text_field`, or it does not hold strings.
    """
    for path, name in source_files(source):
        yield from _read_file(source, path, name)


def _read_file(source: ParquetSource, path: Path, name: str) -> Records:
    row = 0
    wanted = [field for field in (source.text_field, source.id_field, source.url_field) if field]
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(source, path, file.schema_arrow, wanted)
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
                for values in batch.to_pylist():
                    locator = f"{name}:row {row}"
                    row += 1
                    text = values[source.text_field]
                    if text is None or not text.strip():
                        yield Damage("empty_text", locator, "")
                        continue
                    identifier = values.get(source.id_field) if source.id_field else None
                    url = values.get(source.url_field) if source.url_field else None
                    yield make_document(
                        source.name,
                        source.language,
                        locator,
                        text,
                        id=None if identifier is None else str(identifier),
                        url=None if url is None else str(url),
                        meta={"file": name},
                    )
    except (pa.ArrowException, OSError) as error:
        yield Damage("unreadable_file", f"{name}:row {row}", f"{path}: {error}")


def _check_columns(source: ParquetSource, path: Path, schema: pa.Schema, wanted: list[str]) -> None:
    for field in wanted:
        if field not in schema.names:
            raise DataError(f"source {source.name}: {path} has no column {field!r}; it has {schema.names}")
    kind = schema.field(source.text_field).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(f"source {source.name}: column {source.text_field!r} of {path} holds {kind}, not text")
