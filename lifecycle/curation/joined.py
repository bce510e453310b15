"""Pairs of texts that resemble each other, and which texts all of them join."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lifecycle.curation.banding import Numbers
from lifecycle.curation.compiled import compiled
from lifecycle.curation.sorted_hashes import Hashes, SortedHashes

NO_KEYS = np.empty(0, dtype=np.uint64)
MOST_PAIRS = 40_000_000
"""More are not kept for the next search: they are read and written whole, 24 bytes each."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of texts that join all that resemble each other, shape (pairs, 2), and the key of the bucket in which each was
    found, shape (pairs,)."""

    texts: Numbers
    keys: Hashes

    @classmethod
    def of(cls, parts: Sequence["Pairs"]) -> "Pairs":
        """All pairs of some."""
        texts = [np.empty((0, 2), np.int64), *(part.texts for part in parts)]
        return cls(np.concatenate(texts), np.concatenate([NO_KEYS, *(part.keys for part in parts)]))

    def without(self, keys: Hashes) -> "Pairs":
        """Those that were found in other buckets."""
        gone, _ = SortedHashes(np.sort(keys)).among(self.keys)
        stay = np.ones(self.keys.size, dtype=bool)
        stay[gone] = False
        return Pairs(self.texts[stay], self.keys[stay])


@dataclass(frozen=True)
class Before:
    """A search that looked at some of the texts alone: a file of one bool for each text, as `numpy.save` writes it, whether
    it was among them; and the pairs that were joined. It is of use as long as all of them are looked at."""

    known: Path
    pairs: Pairs


class United:
    """Texts joined by pairs.

    Attributes:
        touched: whether each text is in a pair, shape (texts,).
    """

    def __init__(self, texts: int) -> None:
        self.touched = np.zeros(texts, dtype=bool)
        self._parents = np.arange(texts, dtype=np.int64)
        self._parts: list[Pairs] = []
        self._count = 0

    def add(self, pairs: Pairs) -> None:
        """Join the texts of each pair."""
        self.touched[pairs.texts] = True
        _unite(self._parents, pairs.texts)
        self._count += pairs.keys.size
        if self._count <= MOST_PAIRS:
            self._parts.append(pairs)

    def roots_of(self, texts: Numbers) -> Numbers:
        """For each of some texts the one that stands for all that it is joined with."""
        return _roots(self._parents, texts)

    def pairs(self) -> Pairs | None:
        """All pairs, or None where there are too many to keep."""
        return Pairs.of(self._parts) if self._count <= MOST_PAIRS else None


@compiled
def _unite(parents: Numbers, edges: Numbers) -> None:
    for i in range(edges.shape[0]):
        one, other = root(parents, edges[i, 0]), root(parents, edges[i, 1])
        parents[max(one, other)] = min(one, other)


@compiled
def root(parents: Numbers, node: int) -> int:
    """The text that stands for all that a text is joined with."""
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@compiled
def _roots(parents: Numbers, nodes: Numbers) -> Numbers:
    result = np.empty_like(nodes)
    for place in range(nodes.size):
        result[place] = root(parents, nodes[place])
    return result
