"""What deduplication knows of each row group of a document shard, computed once per content and configuration.

An entry is a function of the text column's bytes, the MinHash configuration and `VERSION` alone, so that it serves every
recipe and every run. `DocumentWriter` cuts row groups by document id: a document added anywhere changes the row group that
it falls into, and no other.
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.curation.minhash import signatures
from lifecycle.digests import digest_json
from lifecycle.parallel import ordered_map
from lifecycle.recipe.base import identity
from lifecycle.recipe.corpora import MinHashConfig

logger = logging.getLogger(__name__)

VERSION = 1
"""Raised when the same text gives another digest or signature."""
DIGEST_BYTES = 16
SEAL_BYTES = 32


@dataclass(frozen=True)
class Fingerprints:
    """Of the texts of one row group, in order: lengths in characters int64 [texts], digests uint8 [texts, 16] and MinHash
    signatures uint32 [texts, places]."""

    lengths: NDArray[np.int64]
    digests: NDArray[np.uint8]
    signature: NDArray[np.uint32]


def text_digest(text: str) -> bytes:
    """What two exact duplicates share: the text itself, nothing folded."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=DIGEST_BYTES).digest()


def shard_fingerprints(
    shards: Iterable[Path], config: MinHashConfig, cache: Path | None, workers: int
) -> Iterator[tuple[Path, int, Fingerprints, bool]]:
    """The fingerprints of every row group of `shards`, in order: shard, row group, fingerprints, and whether cached.

    Args:
        cache: a directory of entries, made and filled here; None computes everything.
    """

    def groups() -> Iterator[tuple[Path, int]]:
        for path in shards:
            with pq.ParquetFile(path) as file:
                count = file.num_row_groups
            yield from ((path, group) for group in range(count))

    yield from ordered_map(partial(_row_group, config, cache), groups(), workers)


def _row_group(config: MinHashConfig, cache: Path | None, place: tuple[Path, int]) -> tuple[Path, int, Fingerprints, bool]:
    path, group = place
    entry = cache / _key(path, group, config) if cache else None
    found = _load(entry, config.bands * config.rows) if entry else None
    if found:
        return path, group, found, True
    with pq.ParquetFile(path) as file:
        texts = file.read_row_group(group, columns=["text"]).column("text").to_pylist()
    made = Fingerprints(
        np.array([len(text) for text in texts], dtype=np.int64),
        np.frombuffer(b"".join(text_digest(text) for text in texts), dtype=np.uint8).reshape(-1, DIGEST_BYTES),
        signatures(texts, config),
    )
    if entry:
        _save(entry, made)
    return path, group, made, False


def _key(path: Path, group: int, config: MinHashConfig) -> str:
    """Digest of the compressed text column of one row group, of how it is read, and of what is computed from it."""
    with pq.ParquetFile(path) as file:
        column = file.schema_arrow.get_field_index("text")
        chunk = file.metadata.row_group(group).column(column)
        begin = chunk.data_page_offset if chunk.dictionary_page_offset is None else chunk.dictionary_page_offset
        rows, how = file.metadata.row_group(group).num_rows, [chunk.compression, list(chunk.encodings), chunk.num_values]
    with path.open("rb") as raw:
        raw.seek(begin)
        content = hashlib.sha256(raw.read(chunk.total_compressed_size)).hexdigest()
    key = digest_json({"version": VERSION, "minhash": identity(config), "text": content, "rows": rows, "how": how})
    return f"{key[:2]}/{key}"


def _save(path: Path, made: Fingerprints) -> None:
    payload = made.lengths.tobytes() + made.digests.tobytes() + np.ascontiguousarray(made.signature).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(hashlib.sha256(payload).digest() + payload)
    os.replace(temporary, path)


def _load(path: Path, places: int) -> Fingerprints | None:
    """The entry, or None where there is none or where it is not what was written."""
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    payload = memoryview(stored)[SEAL_BYTES:]
    row = 8 + DIGEST_BYTES + 4 * places
    if len(payload) % row or hashlib.sha256(payload).digest() != stored[:SEAL_BYTES]:
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
