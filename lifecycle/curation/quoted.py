"""Which training documents may quote which held-out texts: those that share an anchor with one.

The anchors of a unit are kept by its content, those of the training side and those of the held-out side; what a run costs
beside new text is one look at each anchor.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import xxhash
from cachetools import LRUCache
from numpy.typing import NDArray

from lifecycle.corpora.documents import open_shard
from lifecycle.corpora.row_groups import row_groups
from lifecycle.corpora.units import Unit, rows_of, unit_of
from lifecycle.curation.anchors import Hashes, among, anchors_of
from lifecycle.curation.buffers import Bytes, Integers, buffers_of
from lifecycle.curation.contamination import HELDOUT, Overlaps
from lifecycle.curation.passages import PassageIndex, Passages
from lifecycle.digests import digest_json
from lifecycle.parallel import Executor, ordered_map
from lifecycle.recipe.corpora import OverlapConfig
from lifecycle.results import result

VERSION = 3
"""Raised when the same text has other anchors, or other files hold them."""
HASHES, OWNERS, DIGESTS = "anchors.npy", "documents.npy", "digests.npy"
READY_BYTES = 1 << 26
"""Held-out texts that a process keeps ready with their passages: neighbouring units quote much the same ones."""


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
        texts = [text for unit, places in self.places for text in _held_texts(unit, places, self.config)]
        index = PassageIndex((text.passages for text in texts), self.config)
        return Overlaps(index, [(HELDOUT, text.id) for text in texts], hits_per_document=1)


@dataclass(frozen=True)
class _HeldText:
    id: str
    passages: Passages

    @property
    def size(self) -> int:
        """Bytes, about: text in two bytes a character, a hash and a place of each passage."""
        return 2 * len(self.passages.text) + 12 * self.passages.hashes.size + 200


_ready: LRUCache[tuple[str, int, OverlapConfig], _HeldText] = LRUCache(READY_BYTES, getsizeof=lambda text: text.size)


def _held_texts(unit: Unit, places: Sequence[int], config: OverlapConfig) -> list[_HeldText]:
    """The texts at some places of a unit, in order."""
    found = {place: text for place in places if (text := _ready.get((unit.content, place, config)))}
    missing = [place for place in places if place not in found]
    for place, row in rows_of(unit, missing, ["id", "text"]) if missing else ():
        found[place] = text = _HeldText(row["id"], Passages.of(row["text"], config))
        _keep_ready((unit.content, place, config), text)
    return [found[place] for place in places]


def _keep_ready(key: tuple[str, int, OverlapConfig], text: _HeldText) -> None:
    if text.size <= READY_BYTES:
        _ready[key] = text


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
            digests.append(np.load(entry / DIGESTS))
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
    """An entry for each unit: anchors uint64, sorted, the number of the document of each within the unit uint32, and digests
    of the ids and texts uint64 (documents, 2)."""
    return ordered_map(partial(_unit_anchors, config, cache), units, workers, executor)


def _whole(shard: Path) -> Unit:
    with open_shard(shard) as file:
        return unit_of(row_groups(file, shard))


def _unit_anchors(config: OverlapConfig, cache: Path, unit: Unit) -> Path:
    def make(directory: Path) -> None:
        hashes, counts, digests = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], []
        with open_shard(unit.path) as file:
            for number in range(unit.first, unit.last):
                table = file.read_row_group(number, columns=["id", "text"])
                buffer, offsets = buffers_of(table["text"])
                found, many = anchors_of(buffer, offsets, config)
                hashes.append(found)
                counts.append(many)
                digests += _digests(table["id"].to_pylist(), buffer, offsets)
        every, owners = np.concatenate(hashes), np.concatenate(counts)
        order = np.argsort(every, kind="stable")
        np.save(directory / HASHES, every[order])
        np.save(directory / OWNERS, np.repeat(np.arange(owners.size, dtype=np.uint32), owners)[order])
        np.save(directory / DIGESTS, np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 2))

    return result(cache, unit.key(f"anchors {VERSION} {config.model_dump_json()}"), make)[0]


def _digests(ids: Sequence[str], buffer: Bytes, offsets: Integers) -> list[bytes]:
    """A digest of the id and text of each document."""
    data, found = buffer.data, []
    for name, (begin, end) in zip(ids, pairwise(offsets.tolist()), strict=True):
        state = xxhash.xxh3_128(f"{name}\n".encode())
        state.update(data[begin:end])
        found.append(state.digest())
    return found
