"""What deduplication knows of each row group of a document shard, computed once per content and configuration.

An entry is a function of the bytes of the row group, the MinHash configuration and `VERSION` alone, so that it serves every
recipe and every run. `DocumentWriter` cuts row groups by document id: a document added anywhere changes the row group that
it falls into, and no other.
"""

import hashlib
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from lifecycle.corpora.documents import check_rows, open_shard
from lifecycle.corpora.row_groups import RowGroup
from lifecycle.curation.buffers import Bytes, Integers, buffers_of, lengths_of
from lifecycle.curation.minhash import signatures_of
from lifecycle.digests import digest_json
from lifecycle.recipe.base import identity
from lifecycle.recipe.corpora import MinHashConfig

logger = logging.getLogger(__name__)

VERSION = 1
"""Raised when the same text gives another digest or signature."""
DIGEST_BYTES = 16
SEAL_BYTES = 16


@dataclass(frozen=True)
class Fingerprints:
    """Of the texts of one row group, in order: lengths in characters int64 [texts], digests uint8 [texts, 16] and MinHash
    signatures uint32 [texts, places]."""

    lengths: NDArray[np.int64]
    digests: NDArray[np.uint8]
    signature: NDArray[np.uint32]


def text_digest(text: bytes | memoryview) -> bytes:
    """What two exact duplicates share: the text itself in UTF-8, nothing folded."""
    return hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest()


def _digests(buffer: Bytes, offsets: Integers) -> NDArray[np.uint8]:
    data, places = buffer.data, offsets.tolist()
    digests = b"".join(text_digest(data[begin:end]) for begin, end in pairwise(places))
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, DIGEST_BYTES)


def fingerprints_of(config: MinHashConfig, cache: Path | None, group: RowGroup) -> tuple[Fingerprints, bool]:
    """The fingerprints of one row group, and whether they were cached.

    Args:
        cache: a directory of entries, made and filled here; None computes everything.
    """
    entry = cache / _key(group, digest_json(identity(config))) if cache else None
    found = _load(entry, config.bands * config.rows) if entry else None
    if found:
        return found, True
    with open_shard(group.path) as file:
        column = file.read_row_group(group.number, columns=["text"]).column("text")
        check_rows(len(column), group.rows)
    buffer, offsets = buffers_of(column)
    made = Fingerprints(lengths_of(buffer, offsets), _digests(buffer, offsets), signatures_of(buffer, offsets, config))
    if entry:
        _save(entry, made)
    return made, False


def _key(group: RowGroup, settings: str) -> str:
    """Digest of the content of one row group, of how it is read, and of what is computed from it."""
    key = xxhash.xxh3_128_hexdigest(f"{VERSION} {settings} {group.layout} {group.content}".encode())
    return f"{key[:2]}/{key}"


def _save(path: Path, made: Fingerprints) -> None:
    payload = made.lengths.tobytes() + made.digests.tobytes() + np.ascontiguousarray(made.signature).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(xxhash.xxh3_128_digest(payload) + payload)
    os.replace(temporary, path)


def _load(path: Path, places: int) -> Fingerprints | None:
    """The entry, or None where there is none or where it is not what was written."""
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    payload = memoryview(stored)[SEAL_BYTES:]
    row = 8 + DIGEST_BYTES + 4 * places
    if len(payload) % row or xxhash.xxh3_128_digest(payload) != stored[:SEAL_BYTES]:
        logger.warning("%s: this cached entry is damaged and is computed again", path)
        with suppress(FileNotFoundError):
            path.unlink()
        return None
    rows = len(payload) // row
    split = rows * 8, rows * (8 + DIGEST_BYTES)
    return Fingerprints(
        np.frombuffer(payload[: split[0]], dtype=np.int64),
        np.frombuffer(payload[split[0] : split[1]], dtype=np.uint8).reshape(rows, DIGEST_BYTES),
        np.frombuffer(payload[split[1] :], dtype=np.uint32).reshape(rows, places),
    )
