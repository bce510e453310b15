"""`statistics/`: the counts of every document that a source had, and what was decided, without any text.

One row for each document read, in reading order: `id`, `lang`, `decision` (`kept`, or the rule that dropped the document),
the columns of `lifecycle.curation.columns`, and `asked_letters` and `foreign_letters` (`language.mixed_language`; zero where
the recipe does not ask), all counted on the repaired text. Thresholds are tried out on it.
Where the recipe has a quality model, `quality_score` and `quality_limit` follow: score, and threshold of the language.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.curation.columns import COLUMNS
from lifecycle.errors import DataError

DIRECTORY = "statistics"
TEXT_COLUMNS = ("id", "lang", "decision")
LANGUAGE_COLUMNS = ("asked_letters", "foreign_letters")
COUNTS = (*COLUMNS, *LANGUAGE_COLUMNS)
MODEL_COLUMNS = ("quality_score", "quality_limit")
SCHEMA = pa.schema([(name, pa.string()) for name in TEXT_COLUMNS] + [(name, pa.int64()) for name in COUNTS])


def part_name(number: int) -> str:
    """Where the rows of the unit of this number are, below the directory of the cleaned source."""
    return f"{DIRECTORY}/{number:05d}.parquet"


class SidecarWriter:
    """Writes one part of the sidecar batch by batch; use as a context manager."""

    def __init__(self, path: Path, scored: bool = False) -> None:
        model = [pa.field(name, pa.float64()) for name in MODEL_COLUMNS] if scored else []
        self._schema = pa.schema([*SCHEMA, *model])
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> "SidecarWriter":
        return self

    def __exit__(self, *_: Any) -> None:
        self._writer.close()

    def add(
        self,
        ids: Sequence[str],
        languages: Sequence[str],
        decided: Sequence[str],
        counts: NDArray[np.int64],
        judged: NDArray[np.float64] | None = None,
    ) -> None:
        """Append documents; `counts` has shape (documents, counts), `judged` (documents, 2): score and limit of each."""
        arrays = [pa.array(each, pa.string()) for each in (ids, languages, decided)]
        arrays += [pa.array(counts[:, place]) for place in range(len(COUNTS))]
        if judged is not None:
            arrays += [pa.array(judged[:, place]) for place in range(len(MODEL_COLUMNS))]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))


def read_sidecar(directory: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The sidecar of a cleaned source, all columns or some.

    Raises:
        DataError: there is none, or it is not one.
    """
    path = directory / DIRECTORY
    try:
        return pq.read_table(path, columns=list(columns) if columns else None)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: not a readable sidecar: {error}; make cleaned_corpora again") from error


def counts_of(table: pa.Table) -> dict[str, NDArray[np.int64]]:
    """The count columns of a sidecar table, each of shape (documents,)."""
    return {name: table[name].to_numpy() for name in table.column_names if name not in TEXT_COLUMNS}
