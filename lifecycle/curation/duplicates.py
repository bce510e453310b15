"""Which documents of a corpus say what another one says, and which of them stays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.corpora.documents import shards
from lifecycle.curation.minhash import settle
from lifecycle.curation.signature_cache import Fingerprints, RowGroup, fingerprints, row_groups
from lifecycle.curation.signature_cache import text_digest as text_digest  # read by the cleaning stage too
from lifecycle.recipe.corpora import MinHashConfig

AGAINST = "against"
"""Stands for the source of documents that are only compared with."""


@dataclass(frozen=True)
class Index:
    """What is known of every document without its text, in reading order; those only compared with come last."""

    ids: list[str]
    sources: list[str]
    groups: list[str]
    lengths: NDArray[np.int64]
    digests: list[bytes]
    signature: NDArray[np.uint32]
    cached: int
    """Documents whose signatures were not computed anew."""

    @property
    def own(self) -> int:
        """Documents of the corpus itself."""
        return len(self.sources) - self.sources.count(AGAINST)


@dataclass(frozen=True)
class Duplicate:
    """A dropped document: position of the one kept in its place, the rule, and their estimated Jaccard similarity."""

    kept: int
    rule: str
    similarity: float


def index_documents(
    cleaned: Mapping[str, Path], against: Sequence[Path], config: MinHashConfig, cache: Path | None, workers: int
) -> Index:
    """Digests and signatures of all documents, sources in the order of `cleaned`, in one pass.

    Args:
        against: document shards that the corpus is only compared with.
        cache: directory of signatures by content (see `signature_cache`), or None.
    """
    source_of = {path: source for source, directory in cleaned.items() for path in shards(directory)}
    source_of |= dict.fromkeys(against, AGAINST)
    ids: list[str] = []
    sources: list[str] = []
    groups: list[str] = []
    places: list[RowGroup] = []
    for path, source in source_of.items():
        with pq.ParquetFile(path) as file:
            names = file.read(columns=["id", "group"])
            places += row_groups(file, path)
        ids += names.column("id").to_pylist()
        groups += names.column("group").to_pylist()
        sources += [source] * len(names)
    parts = [_nothing(config)]
    reused = 0
    for part, cached in fingerprints(places, config, cache, workers):
        parts.append(part)
        reused += len(part.lengths) * cached
    digests = np.concatenate([part.digests for part in parts])
    return Index(
        ids,
        sources,
        groups,
        np.concatenate([part.lengths for part in parts]),
        [row.tobytes() for row in digests],
        np.concatenate([part.signature for part in parts]),
        reused,
    )


def _nothing(config: MinHashConfig) -> Fingerprints:
    places = config.bands * config.rows
    return Fingerprints(np.empty(0, np.int64), np.empty((0, 16), np.uint8), np.empty((0, places), np.uint32))


def find_duplicates(index: Index, config: MinHashConfig) -> dict[int, Duplicate]:
    """Every document to drop, by position: exact copies, then those that resemble a better document that stays.

    The best is one that is only compared with (`against`), then the longest; of equally long ones that of the source whose
    name sorts first, then of the smallest id. What stays is therefore the same whatever the order of the documents. `kept`
    is always a document that stays, and the two are alike themselves, not through a chain of others.
    """
    own, lengths = index.own, index.lengths.tolist()
    by_preference = sorted(range(len(index.ids)), key=lambda i: (i < own, -lengths[i], index.sources[i], index.ids[i]))
    originals: dict[bytes, int] = {}
    for position in by_preference:
        originals.setdefault(index.digests[position], position)
    unique = np.array([p for p in by_preference if originals[index.digests[p]] == p], dtype=np.int64)
    pinned = int((unique >= own).sum())
    best, similarity = settle(np.ascontiguousarray(index.signature[unique]), config, pinned)
    keeper = dict(zip(unique.tolist(), zip(unique[best].tolist(), similarity.tolist(), strict=True), strict=True))
    dropped: dict[int, Duplicate] = {}
    for position in range(own):
        original = originals[index.digests[position]]
        kept, alike = keeper[original]
        if kept == position:
            continue
        rule = "exact_duplicate" if original != position else "near_duplicate"
        dropped[position] = Duplicate(kept, rule if kept < own else f"{rule}_{AGAINST}", round(alike, 4))
    return dropped
