"""What deduplication knows of each row group of a document shard, computed once per content and configuration.

An entry is a function of the bytes of the row group, the MinHash configuration and `VERSION` alone, so that it serves every
recipe and every run. `DocumentWriter` cuts row groups by document id: a document added anywhere changes the row group that
it falls into, and no other.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from lifecycle.corpora.row_groups import RowGroup
from lifecycle.curation.anchor_cache import Anchored, anchor_entry, keep_anchors
from lifecycle.curation.buffers import Bytes, Integers, lengths_of
from lifecycle.curation.minhash import signatures_of
from lifecycle.curation.put_aside import texts_putting_aside
from lifecycle.curation.sealed import entry_of, load, save
from lifecycle.curation.sign_and_anchor import sign_and_anchor
from lifecycle.digests import digest_json
from lifecycle.recipe.base import identity
from lifecycle.recipe.corpora import MinHashConfig, OverlapConfig

VERSION = 2
"""Raised when the same text gives another digest or signature."""
DIGEST_BYTES = 16


@dataclass(frozen=True)
class Fingerprints:
    """Of the texts of one row group, in order: lengths in characters int64 [texts], digests uint8 [texts, 16] and MinHash
    signatures uint32 [texts, places]."""

    lengths: NDArray[np.int64]
    digests: NDArray[np.uint8]
    signature: NDArray[np.uint32]


def text_digest(text: bytes | memoryview) -> bytes:
    """What two exact duplicates share: the text itself in UTF-8, nothing folded."""
    return xxhash.xxh3_128_digest(text)


def _digests(buffer: Bytes, offsets: Integers) -> NDArray[np.uint8]:
    data, places = buffer.data, offsets.tolist()
    digests = b"".join(text_digest(data[begin:end]) for begin, end in pairwise(places))
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, DIGEST_BYTES)


def fingerprints_of(
    config: MinHashConfig,
    overlap: OverlapConfig | None,
    cache: Path,
    group: RowGroup,
    aside: Path,
    held: NDArray[np.bool_],
) -> tuple[Fingerprints, bool]:
    """The fingerprints of one row group, and whether they were cached.

    Args:
        overlap: anchors of this kind are made and kept, too, where the texts are read for the fingerprints; None: none are.
        cache: a directory of entries, made and filled here.
        aside: where documents that are `held` are put aside when the texts are read (`put_aside`).
    """
    entry = entry_of(cache, f"{VERSION} {digest_json(identity(config))} {group.layout} {group.content}")
    found = _load(entry, config.bands * config.rows)
    if found:
        return found, True
    buffer, offsets = texts_putting_aside(aside, group, held)
    anchors = anchor_entry(overlap, cache, group) if overlap else None
    if overlap and anchors and not anchors.exists():
        signature, hashes, counts = sign_and_anchor(buffer, offsets, config, overlap)
        keep_anchors(anchors, Anchored(hashes, counts))
    else:
        signature = signatures_of(buffer, offsets, config)
    made = Fingerprints(lengths_of(buffer, offsets), _digests(buffer, offsets), signature)
    save(entry, b"".join(part.tobytes() for part in (made.lengths, made.digests, made.signature)))
    return made, False


def _load(path: Path, places: int) -> Fingerprints | None:
    payload = load(path)
    if payload is None:
        return None
    rows = payload.size // (8 + DIGEST_BYTES + 4 * places)
    split = rows * 8, rows * (8 + DIGEST_BYTES)
    return Fingerprints(
        payload[: split[0]].view(np.int64),
        payload[split[0] : split[1]].reshape(rows, DIGEST_BYTES),
        payload[split[1] :].view(np.uint32).reshape(rows, places),
    )
