"""Rows that cost a model's time, kept by the digest of what they answer: files of Parquet, each written whole."""

import logging
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

logger = logging.getLogger(__name__)

KEY = "key"


class KeptRows:
    """Rows of one schema by their column `key`; the directory's name must say everything else that decides them.

    Several processes may add at once: a file never changes, and of equal keys any rows serve.
    """

    def __init__(self, directory: Path, schema: pa.Schema) -> None:
        self._directory, self._schema = directory, schema
        directory.mkdir(parents=True, exist_ok=True)

    def read(self) -> dict[str, list[dict[str, Any]]]:
        """Every row by its key, the rows of a key in the order in which they were added."""
        found: dict[str, list[dict[str, Any]]] = {}
        for path in sorted(self._directory.glob("*.parquet")):
            rows: dict[str, list[dict[str, Any]]] = {}
            for row in self._rows(path):
                rows.setdefault(row[KEY], []).append(row)
            found |= rows
        return found

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep all rows of one or more keys; a reader sees them all or none of them."""
        name = uuid.uuid4().hex
        temporary = self._directory / f".{name}.tmp"
        pq.write_table(pa.Table.from_pylist(list(rows), schema=self._schema), temporary, compression="zstd")
        os.replace(temporary, self._directory / f"{name}.parquet")

    def _rows(self, path: Path) -> list[dict[str, Any]]:
        try:
            table = pq.read_table(path)
            if table.schema != self._schema:
                raise ValueError("another schema")
            return table.to_pylist()
        except (OSError, pa.ArrowException, ValueError) as error:
            logger.warning("%s: damaged, so that its rows are made again: %s", path, error)
            path.unlink(missing_ok=True)
            return []
