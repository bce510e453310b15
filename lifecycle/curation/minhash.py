"""Near-duplicate detection: MinHash signatures over word shingles, banding, and connected components.

Broder (1997), "On the resemblance and containment of documents"; banding after Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3: two documents of Jaccard similarity s meet in a band with probability 1 - (1 - s^rows)^bands.
"""

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.words import Points, character_tables, code_points, find_words, mix
from lifecycle.recipe.corpora import MinHashConfig

Signatures = NDArray[np.uint32]
Hashes = NDArray[np.uint64]

EMPTY = np.uint32(0xFFFFFFFF)
"""Every place of the signature of a text without words; it resembles no other."""
COMPARED = 1000
"""Texts of one bucket that a text is compared with at most: templates by the million must not cost their square."""


def threshold(config: MinHashConfig) -> float:
    """Similarity at which the probability curve is steepest, about (1/bands)^(1/rows): less is not a duplicate."""
    return (1 / config.bands) ** (1 / config.rows)


def signatures(texts: Sequence[str], config: MinHashConfig) -> Signatures:
    """MinHash signatures of the texts, shape (texts, bands x rows).

    Words are compared without regard to case. A text of fewer words than a shingle is one shingle by itself.
    """
    drawn = np.random.Generator(np.random.PCG64(config.seed)).integers(
        0, 2**64, size=(2, config.bands * config.rows), dtype=np.uint64
    )
    classes, lower = character_tables()
    result = np.full((len(texts), config.bands * config.rows), EMPTY, dtype=np.uint32)
    for row, text in zip(result, texts, strict=True):
        _sign(code_points(text), classes, lower, config.shingle, drawn[0] | np.uint64(1), drawn[1], row)
    return result


@numba.njit(cache=True, nogil=True)
def _sign(
    points: Points,
    classes: NDArray[np.uint8],
    lower: Points,
    shingle: int,
    scale: Hashes,
    shift: Hashes,
    signature: Signatures,
) -> None:
    """Fill `signature` with the least hash of all shingles under h(x) = (a·x + b mod 2^64) >> 32 with odd a
    (multiply-shift, Dietzfelbinger et al. 1997)."""
    words, _, _ = find_words(points, classes, lower)
    if words.size == 0:
        return
    width = min(shingle, words.size)
    for start in range(words.size - width + 1):
        value = np.uint64(0)
        for index in range(start, start + width):
            value = mix(value + words[index])
        for slot in range(scale.size):
            hashed = np.uint32((scale[slot] * value + shift[slot]) >> np.uint64(32))
            if hashed < signature[slot]:
                signature[slot] = hashed


def clusters(signature: Signatures, config: MinHashConfig) -> NDArray[np.int64]:
    """For each text the smallest index of its cluster, shape (texts,).

    Texts that agree in all rows of a band are candidates; they are joined when their whole signatures agree in at least
    the share given by `threshold`, an unbiased estimate of their Jaccard similarity.
    """
    parents = np.arange(signature.shape[0], dtype=np.int64)
    some = np.flatnonzero((signature != EMPTY).any(axis=1))
    least = _least(config)
    for band in range(config.bands):
        keys = _band_keys(signature, some, band * config.rows, (band + 1) * config.rows)
        order = np.argsort(keys, kind="stable")
        _join(parents, some[order], keys[order], signature, least, COMPARED)
    return _roots(parents)


def settle(signature: Signatures, config: MinHashConfig, pinned: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each text, in order of preference, the one that stays in its place, and the similarity estimated to that one.

    Within a cluster each text gives way to the first text that stays and resembles *it*; a text that only a chain of others
    connects to those that stay, stays too. The first `pinned` texts stay whatever they resemble.
    """
    roots = clusters(signature, config)
    order = np.argsort(roots, kind="stable")
    return _settle(order, roots, signature, _least(config), COMPARED, pinned)


def _least(config: MinHashConfig) -> int:
    return int(np.ceil(threshold(config) * config.bands * config.rows))


@numba.njit(cache=True, nogil=True)
def _settle(
    order: NDArray[np.int64], roots: NDArray[np.int64], signature: Signatures, least: int, compared: int, pinned: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    keeper = np.arange(order.size, dtype=np.int64)
    similarity = np.ones(order.size, dtype=np.float64)
    stays = np.empty(order.size, dtype=np.int64)
    staying = 0
    for i in range(order.size):
        text = order[i]
        if i > 0 and roots[text] != roots[order[i - 1]]:
            staying = 0
        found = False
        if text >= pinned:
            for j in range(min(staying, compared)):
                agreeing = _agreeing(signature, text, stays[j])
                if agreeing >= least:
                    keeper[text] = stays[j]
                    similarity[text] = agreeing / signature.shape[1]
                    found = True
                    break
        if not found:
            stays[staying] = text
            staying += 1
    return keeper, similarity


@numba.njit(cache=True, nogil=True)
def _band_keys(signature: Signatures, documents: NDArray[np.int64], first: int, end: int) -> Hashes:
    keys = np.zeros(documents.size, dtype=np.uint64)
    for i in range(documents.size):
        for slot in range(first, end):
            keys[i] = mix(keys[i] + np.uint64(signature[documents[i], slot]) + np.uint64(0x9E3779B97F4A7C15))
    return keys


@numba.njit(cache=True, nogil=True)
def _root(parents: NDArray[np.int64], node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@numba.njit(cache=True, nogil=True)
def _join(
    parents: NDArray[np.int64], documents: NDArray[np.int64], keys: Hashes, signature: Signatures, least: int, compared: int
) -> None:
    """Join each document with those before it in its bucket (equal keys) whose signature agrees in `least` places."""
    first = 0
    for i in range(documents.size):
        if keys[i] != keys[first]:
            first = i
        one = documents[i]
        for j in range(max(first, i - compared), i):
            root, other = _root(parents, one), _root(parents, documents[j])
            if root != other and _agreeing(signature, one, documents[j]) >= least:
                parents[max(root, other)] = min(root, other)


@numba.njit(cache=True, nogil=True)
def _agreeing(signature: Signatures, one: int, two: int) -> int:
    count = 0
    for slot in range(signature.shape[1]):
        count += signature[one, slot] == signature[two, slot]
    return count


@numba.njit(cache=True, nogil=True)
def _roots(parents: NDArray[np.int64]) -> NDArray[np.int64]:
    result = np.empty_like(parents)
    for node in range(parents.size):
        result[node] = _root(parents, node)
    return result
