"""MinHash signatures over word shingles, and what two of them say about their texts.

Broder (1997), "On the resemblance and containment of documents"; banding after Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3: two documents of Jaccard similarity s meet in a band with probability 1 - (1 - s^rows)^bands.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import compiled
from lifecycle.curation.words import Points, character_tables, code_points, find_words, mix
from lifecycle.recipe.corpora import MinHashConfig

Signatures = NDArray[np.uint32]
Hashes = NDArray[np.uint64]

EMPTY = np.uint32(0xFFFFFFFF)
"""Every place of the signature of a text without words; it resembles no other."""


def threshold(config: MinHashConfig) -> float:
    """Similarity at which the probability curve is steepest, about (1/bands)^(1/rows): less is not a duplicate."""
    return (1 / config.bands) ** (1 / config.rows)


def least_agreeing(config: MinHashConfig) -> int:
    """Places in which two signatures agree at least where their texts are duplicates."""
    return int(np.ceil(threshold(config) * config.bands * config.rows))


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


@compiled
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


def band_keys(signature: Signatures, config: MinHashConfig) -> tuple[Hashes, NDArray[np.uint32]]:
    """A key for each band of each text that has words, and the row of that text in `signature`; both of shape (keys,).

    Two texts have a key in common where they agree in all rows of a band.
    """
    rows = np.flatnonzero((signature != EMPTY).any(axis=1)).astype(np.uint32)
    keys = np.empty((rows.size, config.bands), dtype=np.uint64)
    _band_keys(signature, rows, config.rows, keys)
    return keys.ravel(), np.repeat(rows, config.bands)


@compiled
def _band_keys(signature: Signatures, rows: NDArray[np.uint32], width: int, keys: NDArray[np.uint64]) -> None:
    for i in range(rows.size):
        for band in range(keys.shape[1]):
            key = mix(np.uint64(band))  # the same values in two bands are no common key
            for slot in range(band * width, (band + 1) * width):
                key = mix(key + np.uint64(signature[rows[i], slot]) + np.uint64(0x9E3779B97F4A7C15))
            keys[i, band] = key


@compiled
def agreeing(one: NDArray[np.uint32], two: NDArray[np.uint32]) -> int:
    """Places in which two signatures agree."""
    count = 0
    for slot in range(one.size):
        count += one[slot] == two[slot]
    return count
