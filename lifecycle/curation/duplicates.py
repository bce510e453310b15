"""Which documents of a corpus say what another one says, and which of them stays."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lifecycle.corpora.documents import iter_documents
from lifecycle.curation.minhash import clusters, signatures
from lifecycle.parallel import chunks, ordered_map
from lifecycle.recipe.corpora import MinHashConfig

TEXTS_PER_TASK = 4000
DIGEST_BYTES = 16


@dataclass(frozen=True)
class Index:
    """What is known of every document without its text, in reading order."""

    ids: list[str]
    sources: list[str]
    lengths: list[int]
    digests: list[bytes]
    signature: NDArray[np.uint32]


@dataclass(frozen=True)
class Duplicate:
    """A dropped document: position of the one kept in its place, and the rule that found them alike."""

    kept: int
    rule: str


def text_digest(text: str) -> bytes:
    """What two exact duplicates share: the text itself, nothing folded."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=DIGEST_BYTES).digest()


def index_documents(cleaned: Mapping[str, Path], config: MinHashConfig, workers: int) -> Index:
    """Digests and signatures of all documents, sources in the order of `cleaned`, in one pass."""
    ids: list[str] = []
    sources: list[str] = []
    lengths: list[int] = []
    digests: list[bytes] = []
    parts = [np.empty((0, config.bands * config.rows), dtype=np.uint32)]

    def texts() -> Iterator[str]:
        for source, directory in cleaned.items():
            for document in iter_documents(directory, ["id", "text"]):
                ids.append(document["id"])
                sources.append(source)
                lengths.append(len(document["text"]))
                yield document["text"]

    for batch_digests, batch in ordered_map(partial(_fingerprints, config), chunks(texts(), TEXTS_PER_TASK), workers):
        digests += batch_digests
        parts.append(batch)
    return Index(ids, sources, lengths, digests, np.concatenate(parts))


def _fingerprints(config: MinHashConfig, texts: list[str]) -> tuple[list[bytes], NDArray[np.uint32]]:
    return [text_digest(text) for text in texts], signatures(texts, config)


def find_duplicates(index: Index, config: MinHashConfig) -> dict[int, Duplicate]:
    """Every document to drop, by position: first exact copies, then all but the best of each near-duplicate cluster.

    The best is the longest; of equally long ones that of the source whose name sorts first, then of the smallest id.
    What stays is therefore the same whatever the order of the documents. `kept` is always a document that stays.
    """
    by_preference = sorted(range(len(index.ids)), key=lambda i: (-index.lengths[i], index.sources[i], index.ids[i]))
    originals: dict[bytes, int] = {}
    for position in by_preference:
        originals.setdefault(index.digests[position], position)
    unique = np.array([p for p in by_preference if originals[index.digests[p]] == p], dtype=np.int64)
    # In the order of preference, the smallest index of a cluster is its best document.
    best = unique[clusters(np.ascontiguousarray(index.signature[unique]), config)]
    keeper = dict(zip(unique.tolist(), best.tolist(), strict=True))
    dropped: dict[int, Duplicate] = {}
    for position in range(len(index.ids)):
        original = originals[index.digests[position]]
        if original != position:
            dropped[position] = Duplicate(keeper[original], "exact_duplicate")
        elif keeper[position] != position:
            dropped[position] = Duplicate(keeper[position], "near_duplicate")
    return dropped
