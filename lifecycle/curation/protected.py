"""Texts that no document may quote, those of evaluation files: on disk, for workers to index."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.corpora.arrow import rows_table
from lifecycle.curation.contamination import Overlaps
from lifecycle.curation.passages import PassageIndex
from lifecycle.recipe.corpora import OverlapConfig

SCHEMA = pa.schema([("file", pa.string()), ("item", pa.string()), ("text", pa.string())])


@dataclass(frozen=True)
class Protected:
    """Texts that no document may quote, on disk: each worker indexes them once."""

    path: Path
    digest: str
    config: OverlapConfig
    hits_per_document: int

    def identity(self) -> str:
        """What of it decides what is found."""
        return f"{self.digest} {self.config.model_dump_json()}"

    def overlaps(self) -> Overlaps:
        """What finds their passages, with nothing found yet."""
        index, labels = _index(self.path, self.digest, self.config.words, self.config.han_characters)
        return Overlaps(index, labels, self.hits_per_document)


def protect(path: Path, texts: Sequence[tuple[str, str, str]], digest: str, config: OverlapConfig, hits: int) -> Protected:
    """Write texts, given as file, item and text, for `Protected`."""
    rows = [dict(zip(SCHEMA.names, each, strict=True)) for each in texts]
    pq.write_table(rows_table(rows, SCHEMA), path)
    return Protected(path, digest, config, hits)


@lru_cache(maxsize=2)
def _index(path: Path, digest: str, words: int, han: int) -> tuple[PassageIndex, list[tuple[str, str]]]:
    config = OverlapConfig(words=words, han_characters=han)
    rows = pq.read_table(path, schema=SCHEMA).to_pylist()
    return PassageIndex((row["text"] for row in rows), config), [(row["file"], row["item"]) for row in rows]
