"""Near-duplicate detection: MinHash signatures over word shingles, banding, and connected components.

Broder (1997), "On the resemblance and containment of documents"; banding after Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3: two documents of Jaccard similarity s meet in a band with probability 1 - (1 - s^rows)^bands.
"""

from collections.abc import Iterable

import numba
import numpy as np

from lifecycle.curation.words import character_tables, code_points, find_words
from lifecycle.recipe.corpora import MinHashConfig

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def threshold(config: MinHashConfig) -> float:
    """Similarity at which the probability curve is steepest, about (1/bands)^(1/rows): less is not a duplicate."""
    return (1 / config.bands) ** (1 / config.rows)


def signatures(texts: Iterable[str], config: MinHashConfig) -> np.ndarray:
    """MinHash signatures of the texts: uint32 of shape (texts, bands x rows)."""
    rng = np.random.default_rng(config.seed)
    size = config.bands * config.rows
    scale = rng.integers(1, 2**63, size=size, dtype=np.uint64) | np.uint64(1)
    shift = rng.integers(0, 2**63, size=size, dtype=np.uint64)
    classes, lower = character_tables()
    rows = []
    for text in texts:
        hashes, _, _ = find_words(code_points(text), classes, lower)
        rows.append(_signature(hashes, config.shingle, scale, shift))
    return np.stack(rows) if rows else np.empty((0, size), dtype=np.uint32)


@numba.njit(cache=True, nogil=True)
def _signature(hashes: np.ndarray, shingle: int, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A text of fewer words than a shingle is one shingle by itself."""
    result = np.full(scale.size, np.uint32(0xFFFFFFFF), dtype=np.uint32)
    for start in range(max(1, hashes.size - shingle + 1)):
        value = np.uint64(0)
        for index in range(start, min(start + shingle, hashes.size)):
            value = (value ^ hashes[index]) * MULTIPLIER
            value ^= value >> np.uint64(32)
        for slot in range(scale.size):
            mixed = np.uint32((value * scale[slot] + shift[slot]) >> np.uint64(32))
            if mixed < result[slot]:
                result[slot] = mixed
    return result


def clusters(signature: np.ndarray, config: MinHashConfig) -> np.ndarray:
    """For each text the smallest index of its cluster: int64 of shape (texts,).

    Texts that agree in all rows of a band are candidates; they are joined when their whole signatures agree in at least
    the share given by `threshold`, an unbiased estimate of their Jaccard similarity.
    """
    parents = np.arange(signature.shape[0], dtype=np.int64)
    least = threshold(config)
    for band in range(config.bands):
        part = np.ascontiguousarray(signature[:, band * config.rows : (band + 1) * config.rows])
        keys = part.view(np.dtype((np.void, part.dtype.itemsize * config.rows))).ravel()
        order = np.argsort(keys, kind="stable")
        same = keys[order][1:] == keys[order][:-1]
        _join(parents, order, same, signature, least)
    return _roots(parents)


@numba.njit(cache=True)
def _root(parents: np.ndarray, node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@numba.njit(cache=True)
def _join(parents: np.ndarray, order: np.ndarray, same: np.ndarray, signature: np.ndarray, least: float) -> None:
    """Join each text with an earlier text of its bucket that it agrees with, trying at most 50 of them."""
    first = 0
    for position in range(order.size):
        if position and not same[position - 1]:
            first = position
        for other in range(max(first, position - 50), position):
            a, b = order[position], order[other]
            root_a, root_b = _root(parents, a), _root(parents, b)
            if root_a == root_b:
                continue
            equal = 0
            for slot in range(signature.shape[1]):
                equal += signature[a, slot] == signature[b, slot]
            if equal >= least * signature.shape[1]:
                parents[max(root_a, root_b)] = min(root_a, root_b)


@numba.njit(cache=True)
def _roots(parents: np.ndarray) -> np.ndarray:
    return np.array([_root(parents, node) for node in range(parents.size)], dtype=np.int64)
