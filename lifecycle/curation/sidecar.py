"""`statistics/`: the counts of every document that a source had, and what was decided, without any text.

One row for each document read, in reading order: `id`, `lang`, `decision` (`kept`, or the rule that dropped the document),
the columns of `lifecycle.curation.columns`, `asked_letters` and `foreign_letters` (`language.mixed_language`; zero where the
recipe does not ask), `declared_lang`, `found_lang` and `language_score` (`language.verdict`; `lang` is the one found where
its score reaches the threshold, else the declared one), all of the repaired text. Thresholds are tried out on it.
Of each blocklist `blocklist_…_hits` and `blocklist_…_characters` follow (`blocklists.listed`), and where the recipe has a
quality model, `quality_score` and `quality_limit`: score, and threshold of the language.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.corpora.arrow import cast, numbers, strings
from lifecycle.curation.columns import COLUMNS
from lifecycle.errors import DataError

DIRECTORY = "statistics"
TEXT_COLUMNS = ("id", "lang", "decision")
MIXED_COLUMNS = ("asked_letters", "foreign_letters")
BUFFER_BYTES = 1 << 18
MODEL_COLUMNS = ("quality_score", "quality_limit")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in TEXT_COLUMNS]
    + [(name, pa.int64()) for name in (*COLUMNS, *MIXED_COLUMNS)]
    + [("declared_lang", pa.string()), ("found_lang", pa.string()), ("language_score", pa.float64())]
)
"""What every sidecar has."""


def blocklist_columns(category: str) -> tuple[str, str]:
    """The columns of one blocklist: hits, and characters in listed words."""
    return f"blocklist_{category}_hits", f"blocklist_{category}_characters"


def schema_of(blocklists: Sequence[str], scored: bool) -> pa.Schema:
    """The columns where the recipe has blocklists of these categories, and a quality model or none."""
    listed = [(name, pa.int64()) for category in blocklists for name in blocklist_columns(category)]
    model = [(name, pa.float64()) for name in MODEL_COLUMNS] if scored else []
    return pa.schema([*SCHEMA, *(pa.field(*each) for each in (*listed, *model))])


def part_name(number: int) -> str:
    """Where the rows of the unit of this number are, below the directory of the cleaned source."""
    return f"{DIRECTORY}/{number:05d}.parquet"


class SidecarWriter:
    """Writes one part of the sidecar batch by batch; use as a context manager."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        # Arrow writes twice for each page.
        self._file = pa.BufferedOutputStream(pa.OSFile(str(path), "wb"), BUFFER_BYTES)
        # Small groups of many columns: dictionaries, statistics and zstd would cost four times as much, and save no bytes.
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            compression="lz4",
            use_dictionary=["lang", "declared_lang", "found_lang", "decision"],  # pyright: ignore[reportArgumentType]
            write_statistics=False,
        )

    def __enter__(self) -> "SidecarWriter":
        return self

    def __exit__(self, *_: Any) -> None:
        self._writer.close()
        self._file.close()

    def add(
        self, ids: Sequence[str], languages: Sequence[str], decided: Sequence[str], columns: Mapping[str, NDArray[Any]]
    ) -> None:
        """Append documents; every column is of shape (documents,)."""
        arrays = dict(zip(TEXT_COLUMNS, (ids, languages, decided), strict=True)) | dict(columns)
        self._writer.write_table(
            pa.Table.from_arrays([_column(arrays[each.name], each.type) for each in self._schema], schema=self._schema)
        )


def _column(values: NDArray[Any] | Sequence[str], kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        return strings(values.tolist() if isinstance(values, np.ndarray) else values)
    column = numbers(np.asarray(values))
    return column if column.type == kind else cast(column, kind)  # costs as much as the column where there is nothing to do


def read_sidecar(directory: Path) -> pa.Table:
    """The sidecar of a cleaned source.

    Raises:
        DataError: there is none, or it is not one of this version.
    """
    path = directory / DIRECTORY
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: not a readable sidecar: {error}; make cleaned_corpora again") from error
    missing = sorted(set(SCHEMA.names) - set(table.column_names))
    if missing:
        raise DataError(f"{path}: an earlier version wrote it, without {', '.join(missing)}; make cleaned_corpora again")
    return table


def counts_of(table: pa.Table) -> dict[str, NDArray[Any]]:
    """What rules read of a sidecar table, each column of shape (documents,)."""
    names = [name for name in table.column_names if name not in TEXT_COLUMNS]
    return {name: _vector(table[name]) for name in names}


def _vector(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_string(column.type):
        return column.to_numpy(zero_copy_only=False).astype(np.str_)
    return column.to_numpy()
