"""Which training documents may quote which held-out texts: those that share an anchor with one.

The anchors of a unit are kept by its content, those of the training side and those of the held-out side; what a run costs
beside new text is one look at each anchor.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from lifecycle.corpora.documents import open_shard
from lifecycle.corpora.row_groups import row_groups
from lifecycle.corpora.units import Unit, rows_of, unit_of
from lifecycle.curation.anchors import Hashes, among, anchors_of
from lifecycle.curation.buffers import buffers_of
from lifecycle.curation.contamination import HELDOUT, Overlaps
from lifecycle.curation.passages import PassageIndex
from lifecycle.digests import digest_json
from lifecycle.parallel import Executor, ordered_map
from lifecycle.recipe.corpora import OverlapConfig
from lifecycle.results import result

VERSION = 2
"""Raised when the same text has other anchors, or other files hold them."""
HASHES, OWNERS, DIGESTS = "anchors.npy", "documents.npy", "digests.npy"


@dataclass(frozen=True)
class Quoted:
    """Held-out texts that the documents of a unit may quote, where they lie."""

    places: tuple[tuple[Unit, tuple[int, ...]], ...]
    digest: str
    """Of their ids and texts."""
    config: OverlapConfig

    def identity(self) -> str:
        """What of it decides what is found."""
        return f"{self.digest} {self.config.model_dump_json()}"

    def overlaps(self) -> Overlaps:
        """What finds their passages, with nothing found yet; one passage of a document is enough."""
        rows = [row for unit, places in self.places for _, row in rows_of(unit, places, ["id", "text"])]
        index = PassageIndex((row["text"] for row in rows), self.config)
        return Overlaps(index, [(HELDOUT, row["id"]) for row in rows], hits_per_document=1)


class HeldAnchors:
    """The anchors of all held-out texts, sorted, and which texts have each."""

    def __init__(
        self, shards: Iterable[Path], config: OverlapConfig, cache: Path, workers: int, executor: Executor = "local"
    ) -> None:
        self._config, self._cache = config, cache
        self._units = [_whole(shard) for shard in shards]
        hashes, owners, digests = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], [np.empty((0, 2), np.uint64)]
        first = 0
        for unit, entry in zip(self._units, unit_anchors(self._units, config, cache, workers, executor), strict=True):
            hashes.append(np.load(entry / HASHES))
            owners.append(np.load(entry / OWNERS).astype(np.int64) + first)
            digests.append(_unit_digests(cache, unit))
            first += unit.rows
        every = np.concatenate(hashes)
        order = np.argsort(every, kind="stable")
        self._hashes, self._owners, self._digests = every[order], np.concatenate(owners)[order], np.concatenate(digests)
        self._distinct = np.unique(self._hashes)
        self._firsts = np.cumsum([0, *(unit.rows for unit in self._units)])

    def quoted_by(self, entry: Path, stays: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Quoted | None]:
        """The documents of a unit that may quote held-out texts, of those that stay, and these texts.

        Args:
            entry: the anchors of the unit (`unit_anchors`).
            stays: shape (documents of the unit,).
        """
        hashes = np.load(entry / HASHES)
        shared = np.flatnonzero(among(hashes, self._distinct))
        owners = np.load(entry / OWNERS, mmap_mode="r")[shared]
        shared, owners = shared[stays[owners]], owners[stays[owners]]
        if not owners.size:
            return np.empty(0, np.int64), None
        return np.unique(owners).astype(np.int64), self._with(np.unique(hashes[shared]))

    def _with(self, hashes: Hashes) -> Quoted:
        """The held-out texts that have one of these anchors."""
        begins, ends = (np.searchsorted(self._hashes, hashes, side) for side in ("left", "right"))
        counts = ends - begins
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        numbers = np.unique(self._owners[np.repeat(begins, counts) + within])
        unit_of_each = np.searchsorted(self._firsts, numbers, side="right") - 1
        places = tuple(
            (self._units[unit], tuple((numbers[unit_of_each == unit] - self._firsts[unit]).tolist()))
            for unit in np.unique(unit_of_each).tolist()
        )
        return Quoted(places, digest_json(self._digests[numbers].tolist()), self._config)


def unit_anchors(
    units: Sequence[Unit], config: OverlapConfig, cache: Path, workers: int, executor: Executor = "local"
) -> Iterable[Path]:
    """An entry for each unit: anchors uint64, sorted, and the number of the document of each within the unit uint32."""
    return ordered_map(partial(_unit_anchors, config, cache), units, workers, executor)


def _whole(shard: Path) -> Unit:
    with open_shard(shard) as file:
        return unit_of(row_groups(file, shard))


def _unit_anchors(config: OverlapConfig, cache: Path, unit: Unit) -> Path:
    def make(directory: Path) -> None:
        hashes, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
        with open_shard(unit.path) as file:
            for number in range(unit.first, unit.last):
                column = file.read_row_group(number, columns=["text"])["text"]
                found, many = anchors_of(*buffers_of(column), config)
                hashes, counts = np.concatenate([hashes, found]), np.concatenate([counts, many])
        order = np.argsort(hashes, kind="stable")
        np.save(directory / HASHES, hashes[order])
        np.save(directory / OWNERS, np.repeat(np.arange(counts.size, dtype=np.uint32), counts)[order])

    return result(cache, unit.key(f"anchors {VERSION} {config.model_dump_json()}"), make)[0]


def _unit_digests(cache: Path, unit: Unit) -> NDArray[np.uint64]:
    """A digest of the id and text of each document, shape (documents, 2)."""

    def make(directory: Path) -> None:
        rows = rows_of(unit, range(unit.rows), ["id", "text"])
        digests = b"".join(xxhash.xxh3_128_digest(f"{row['id']}\n{row['text']}".encode()) for _, row in rows)
        np.save(directory / DIGESTS, np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2))

    return np.load(result(cache, unit.key(f"digests {VERSION}"), make)[0] / DIGESTS)
