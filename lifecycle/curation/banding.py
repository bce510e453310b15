"""Signatures and band keys on disk, in parts: what the search for near-duplicates shuffles, and no process holds together.

A part is written by one task and read by many. `<stem>.signatures` holds uint32 [texts, places]; `<stem>.bands` the offsets
of each partition int64 [partitions + 1], then in the order of the partitions the keys uint64 [keys], then the rows of their
texts uint32 [keys]. A partition is a range of keys, so that texts with a key in common meet in one of them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.minhash import Hashes, Signatures, band_keys
from lifecycle.recipe.corpora import MinHashConfig

Numbers = NDArray[np.int64]
"""Texts by their number in reading order."""

MAX_KEYS = 8_000_000
"""Keys of a partition at most: a worker holds 40 bytes for each."""
MIN_KEYS = 1_000_000
"""Fewer are not worth a process of their own."""


@dataclass(frozen=True)
class Part:
    """The texts `first` to `first + rows - 1`."""

    stem: Path
    first: int
    rows: int


def partitions_for(texts: int, config: MinHashConfig, workers: int) -> int:
    """How many partitions to make; the result of the search does not depend on it."""
    keys = texts * config.bands
    return max(1, -(-keys // MAX_KEYS), min(workers, keys // MIN_KEYS))


def write_part(part: Part, signature: Signatures, config: MinHashConfig, partitions: int) -> None:
    """Write what later steps read of these texts; a second call with the same arguments leaves the same bytes."""
    keys, rows = band_keys(signature, config)
    offsets = np.array([0, keys.size], dtype=np.int64)
    if partitions > 1:
        target = ((keys >> np.uint64(32)) * np.uint64(partitions) >> np.uint64(32)).astype(np.int64)
        order = np.argsort(target, kind="stable")
        keys, rows = keys[order], rows[order]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(target, minlength=partitions))])
    _write(_signatures(part), signature)
    _write(_bands(part), offsets.astype(np.int64), keys, rows)


def _write(path: Path, *arrays: NDArray) -> None:
    with path.open("wb") as file:  # not `tofile`: on a full disk it raises an error without a number
        for array in arrays:
            file.write(np.ascontiguousarray(array).data)


def _signatures(part: Part) -> Path:
    return part.stem.with_suffix(".signatures")


def _bands(part: Part) -> Path:
    return part.stem.with_suffix(".bands")


@dataclass(frozen=True)
class SignedTexts:
    """All parts, in the order of their texts, and how they were made."""

    parts: tuple[Part, ...]
    config: MinHashConfig
    partitions: int

    @property
    def places(self) -> int:
        """Length of a signature."""
        return self.config.bands * self.config.rows

    def __len__(self) -> int:
        return self.parts[-1].first + self.parts[-1].rows if self.parts else 0

    def keys_of(self, partition: int) -> tuple[Hashes, Numbers]:
        """The keys of one partition, in no order, and the text of each."""
        keys, numbers = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for part in self.parts:
            with _bands(part).open("rb") as file:
                offsets = np.fromfile(file, dtype=np.int64, count=self.partitions + 1)
                begin, count = int(offsets[partition]), int(offsets[partition + 1] - offsets[partition])
                file.seek(offsets.nbytes + 8 * begin)
                keys.append(np.fromfile(file, dtype=np.uint64, count=count))
                file.seek(offsets.nbytes + 8 * int(offsets[-1]) + 4 * begin)
                numbers.append(np.fromfile(file, dtype=np.uint32, count=count).astype(np.int64) + part.first)
        return np.concatenate(keys), np.concatenate(numbers)

    def signatures_of(self, numbers: Numbers) -> Signatures:
        """The signatures of some texts, shape (numbers, places), read from where they lie."""
        result = np.empty((numbers.size, self.places), dtype=np.uint32)
        firsts = np.array([part.first for part in self.parts], dtype=np.int64)
        owners = np.searchsorted(firsts, numbers, side="right") - 1
        order = np.argsort(owners, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(owners[order])) + 1):
            if places.size:
                part = self.parts[owners[places[0]]]
                stored = np.memmap(_signatures(part), np.uint32, mode="r", shape=(part.rows, self.places))
                result[places] = stored[numbers[places] - part.first]
        return result
