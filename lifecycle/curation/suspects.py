"""Which training documents may quote which part of the held-out side: those that share an anchor with a text of it.

The held-out side is taken in slices of bounded size, so that what is held of its texts is bounded, too, and what is known of
a slice stays known when text is added elsewhere.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

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

SLICE_BYTES = 1 << 23
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
class Suspects:
    """Documents of a unit that may share a passage with a slice, by number in the unit, and of each what it is suspected
    for: the texts of the slice with which it shares an anchor, by number in the slice, and a digest of them."""

    slice: int
    documents: tuple[int, ...]
    reasons: tuple[str, ...]
    texts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class HeldAnchors:
    """The different anchors of all held-out texts, and which texts have each, on disk: each worker reads them once."""

    path: Path
    digest: str

    @classmethod
    def of(
        cls, slices: Sequence[Slice], config: OverlapConfig, cache: Path, path: Path, workers: int, executor: Executor
    ) -> "HeldAnchors":
        """Write those of some slices to `path`."""
        hashes, owners, texts, slice_of = (
            [np.empty(0, np.uint64)],
            [np.empty(0, np.int64)],
            [NO_TEXTS],
            [np.empty(0, np.int64)],
        )
        first = 0
        parts = ordered_map(partial(_anchors_of_slice, config, cache), slices, workers, executor)
        for number, (theirs, having, digests) in enumerate(parts):
            hashes.append(theirs)
            owners.append(having + first)
            texts.append(digests)
            slice_of.append(np.full(len(digests), number))
            first += len(digests)
        every = np.concatenate(hashes)
        order = np.argsort(every, kind="stable")
        every, having, digests = every[order], np.concatenate(owners)[order], np.concatenate(texts)
        begins = np.flatnonzero(np.append(np.ones(min(1, every.size), dtype=bool), every[1:] != every[:-1]))
        found = {"hashes": every[begins], "begins": np.append(begins, every.size), "owners": having, "texts": digests}
        np.savez(path, **found, slices=np.concatenate(slice_of))
        return cls(path, xxhash.xxh3_128_hexdigest(every.tobytes() + having.tobytes() + digests.tobytes()))

    def suspects(self, config: OverlapConfig, cache: Path, item: tuple[Unit, bytes]) -> list[Suspects]:
        """The documents of a unit that share anchors with held-out texts, slice by slice.

        Args:
            item: the unit, and a truth value for each of its documents: whether it is looked at.
        """
        unit, stays = item[0], np.frombuffer(item[1], dtype=bool)
        held = _read(self)
        parts = [anchored(config, cache, group) for group in unit.groups]
        places, entries = held.hashes.among(np.concatenate([part.hashes for part in parts]))
        documents = np.searchsorted(np.cumsum(np.concatenate([part.counts for part in parts])), places, side="right")
        entries, documents = entries[stays[documents]], documents[stays[documents]]
        if not documents.size:
            return []
        many = held.begins[entries + 1] - held.begins[entries]
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        texts = held.owners[np.repeat(held.begins[entries], many) + within]
        texts, documents = np.divmod(np.unique(texts << 32 | np.repeat(documents, many)), 1 << 32)
        return list(_by_slice(held, documents, texts))


def _by_slice(held: "_Held", documents: NDArray[np.int64], texts: NDArray[np.int64]) -> Iterator[Suspects]:
    slices = held.slices[texts]
    order = np.lexsort((documents, slices))  # stable: the texts of each stay in their order
    slices, documents, texts = slices[order], documents[order], texts[order]
    begins = np.flatnonzero(np.append(True, (slices[1:] != slices[:-1]) | (documents[1:] != documents[:-1])))
    digests = held.texts[texts].tobytes()
    ends = [*begins[1:].tolist(), texts.size]
    numbers = (texts - np.searchsorted(held.slices, slices)).tolist()
    slices, documents = slices[begins].tolist(), documents[begins].tolist()
    each = [
        (number, document, xxhash.xxh3_128_hexdigest(digests[16 * begin : 16 * end]), tuple(numbers[begin:end]))
        for number, document, begin, end in zip(slices, documents, begins.tolist(), ends, strict=True)
    ]
    for number, some in groupby(each, key=itemgetter(0)):
        _, of_slice, reasons, theirs = zip(*some, strict=True)
        yield Suspects(number, of_slice, reasons, theirs)


class _Held(NamedTuple):
    hashes: SortedHashes
    begins: NDArray[np.int64]
    """Where the owners of each hash begin, and the end."""
    owners: NDArray[np.int64]
    """Texts by their number on the held-out side."""
    slices: NDArray[np.int64]
    texts: NDArray[np.uint8]
    """Of each text its slice and its digest, shape (texts,) and (texts, 16)."""


@lru_cache(maxsize=1)
def _read(anchors: HeldAnchors) -> _Held:
    with np.load(anchors.path) as stored:
        return _Held(SortedHashes(stored["hashes"]), *(stored[name] for name in ("begins", "owners", "slices", "texts")))


NO_TEXTS = np.empty((0, 16), dtype=np.uint8)


def _anchors_of_slice(
    config: OverlapConfig, cache: Path, groups: Slice
) -> tuple[Hashes, NDArray[np.int64], NDArray[np.uint8]]:
    """Anchors of a slice, the number in it of the text of each, and a digest of each text: of its row group and place."""
    parts = [anchored(config, cache, group) for group in groups]
    counts = np.concatenate([part.counts for part in parts])
    digests = b"".join(
        xxhash.xxh3_128_digest(f"{group.layout} {group.content} {place}".encode())
        for group in groups
        for place in range(group.rows)
    )
    owners = np.repeat(np.arange(counts.size), counts)
    return np.concatenate([part.hashes for part in parts]), owners, np.frombuffer(digests, dtype=np.uint8).reshape(-1, 16)
