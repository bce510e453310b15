"""How much text one corpus holds that another does not."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from lifecycle.manifest import read_manifest

TRAIN = "train/"
BATCH_ROWS = 4096


@dataclass(frozen=True)
class Texts:
    """Training documents: the digest of each text (XXH3, 64 bits), its characters and its source."""

    digests: np.ndarray
    """uint64 [documents]."""
    characters: np.ndarray
    """int64 [documents]."""
    sources: np.ndarray
    """str [documents]."""


def new_characters(before: Path, after: Path) -> dict[str, int]:
    """Characters by source of those training documents of the corpus `after` whose text is no document of `before`.

    Files that both hold (their manifests say so) are not read: a corpus holds each text once, so that nothing in the others
    is in them. Where deduplication is within sources only, a copy of such a text counts as new.
    """
    files = [
        {entry.sha256: entry.path for entry in read_manifest(each).files if entry.path.startswith(TRAIN)}
        for each in (before, after)
    ]
    old = _read([before / path for digest, path in files[0].items() if digest not in files[1]])
    now = _read([after / path for digest, path in files[1].items() if digest not in files[0]])
    new = ~np.isin(now.digests, old.digests)
    return {str(source): int(now.characters[new & (now.sources == source)].sum()) for source in np.unique(now.sources[new])}


def _read(files: list[Path]) -> Texts:
    digests, characters, sources = [], [], []
    for batch in _batches(files):
        texts = batch.column("text").to_pylist()
        digests.append(np.array([xxhash.xxh3_64_intdigest(text.encode()) for text in texts], dtype=np.uint64))
        characters.append(np.array([len(text) for text in texts], dtype=np.int64))
        sources.append(np.array(batch.column("source").to_pylist(), dtype=object))
    if not digests:
        return Texts(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, object))
    return Texts(np.concatenate(digests), np.concatenate(characters), np.concatenate(sources))


def _batches(files: list[Path]) -> Iterator[pa.RecordBatch]:
    for path in files:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS, columns=["text", "source"])
