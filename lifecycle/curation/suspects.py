"""Which training documents may quote which part of the held-out side: those that share an anchor with a text of it.

The held-out side is taken in slices of bounded size, so that what is held of its texts is bounded, too, and what is known of
a slice stays known when text is added elsewhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from lifecycle.corpora.documents import open_shard
from lifecycle.corpora.row_groups import RowGroup, row_groups
from lifecycle.corpora.units import Unit, is_cut
from lifecycle.curation.anchor_cache import anchored
from lifecycle.curation.sorted_hashes import Hashes, SortedHashes
from lifecycle.parallel import Executor, ordered_map
from lifecycle.recipe.corpora import OverlapConfig

SLICE_BYTES = 1 << 22
"""Text of a slice, about: an index of its passages takes some 7 bytes for each byte of Chinese."""

Slice = tuple[RowGroup, ...]
"""Neighbouring row groups of the held-out side, of one shard or several."""


def slices_of(shards: Iterable[Path]) -> list[Slice]:
    """The slices of some shards of the store, in order; where one ends depends on the content around it."""
    found: list[Slice] = []
    run: list[RowGroup] = []
    for shard in shards:
        with open_shard(shard) as file:
            groups = row_groups(file, shard)
        for group in groups:
            run.append(group)
            if is_cut(run, SLICE_BYTES):
                found.append(tuple(run))
                run = []
    return [*found, tuple(run)] if run else found


@dataclass(frozen=True)
class HeldAnchors:
    """The different anchors of all slices, and which slices have each, on disk: each worker reads them once."""

    path: Path
    digest: str

    @classmethod
    def of(
        cls, slices: Sequence[Slice], config: OverlapConfig, cache: Path, path: Path, workers: int, executor: Executor
    ) -> "HeldAnchors":
        """Write those of some slices to `path`."""
        one = partial(_anchors_of_slice, config, cache)
        parts = [np.empty(0, np.uint64), *ordered_map(one, slices, workers, executor)]
        every = np.concatenate(parts)
        order = np.argsort(every, kind="stable")
        hashes = every[order]
        owners = np.repeat(np.arange(len(slices)), [part.size for part in parts[1:]])[order]
        begins = np.flatnonzero(np.append(np.ones(min(1, hashes.size), dtype=bool), hashes[1:] != hashes[:-1]))
        np.savez(path, hashes=hashes[begins], begins=np.append(begins, hashes.size), slices=owners)
        return cls(path, xxhash.xxh3_128_hexdigest(hashes.tobytes() + owners.tobytes()))

    def suspects(self, config: OverlapConfig, cache: Path, unit: Unit) -> list[tuple[int, NDArray[np.int64]]]:
        """The slices with which documents of a unit share anchors, and which documents of it do."""
        held, begins, slices = _read(self)
        parts = [anchored(config, cache, group) for group in unit.groups]
        places, entries = held.among(np.concatenate([part.hashes for part in parts]))
        if not places.size:
            return []
        documents = np.searchsorted(np.cumsum(np.concatenate([part.counts for part in parts])), places, side="right")
        many = begins[entries + 1] - begins[entries]
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        pairs = np.unique(slices[np.repeat(begins[entries], many) + within] << 32 | np.repeat(documents, many))
        theirs, firsts = np.unique(pairs >> 32, return_index=True)
        return list(zip(theirs.tolist(), np.split(pairs & 0xFFFFFFFF, firsts[1:]), strict=True))


@lru_cache(maxsize=1)
def _read(anchors: HeldAnchors) -> tuple[SortedHashes, NDArray[np.int64], NDArray[np.int64]]:
    with np.load(anchors.path) as stored:
        return SortedHashes(stored["hashes"]), stored["begins"], stored["slices"]


def _anchors_of_slice(config: OverlapConfig, cache: Path, groups: Slice) -> Hashes:
    return np.unique(np.concatenate([anchored(config, cache, group).hashes for group in groups]))
