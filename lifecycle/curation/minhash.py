"""MinHash signatures over word shingles, and what two of them say about their texts.

Broder (1997), "On the resemblance and containment of documents"; banding after Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3: two documents of Jaccard similarity s meet in a band with probability 1 - (1 - s^rows)^bands.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.block_words import READ, WRITTEN
from lifecycle.curation.buffers import Bytes, Integers, encoded, longest_of
from lifecycle.curation.compiled import compiled, inner
from lifecycle.curation.words import Points, character_tables, mix
from lifecycle.curation.words_in_bytes import hash_words
from lifecycle.recipe.corpora import MinHashConfig

Signatures = NDArray[np.uint32]
Hashes = NDArray[np.uint64]

EMPTY = np.uint32(0xFFFFFFFF)
"""Every place of the signature of a text without words; it resembles no other."""
AT_ONCE = 4
"""Shingles of which the hashes are compared at once: so often `_least_hashes` looks at each place of a signature less."""


def threshold(config: MinHashConfig) -> float:
    """Similarity at which the probability curve is steepest, about (1/bands)^(1/rows): less is not a duplicate."""
    return (1 / config.bands) ** (1 / config.rows)


def least_agreeing(config: MinHashConfig) -> int:
    """Places in which two signatures agree at least where their texts are duplicates."""
    return int(np.ceil(threshold(config) * config.bands * config.rows))


def signatures(texts: Sequence[str], config: MinHashConfig) -> Signatures:
    """MinHash signatures of the texts, shape (texts, bands x rows)."""
    return signatures_of(*encoded(texts), config)


def signatures_of(buffer: Bytes, offsets: Integers, config: MinHashConfig) -> Signatures:
    """The same of a column of texts (`buffers_of`).

    Words are compared without regard to case. A text of fewer words than a shingle is one shingle by itself.
    """
    classes, lower = character_tables()
    result = no_signatures(offsets.size - 1, config)
    _sign(buffer, offsets, classes, lower, config.shingle, *drawn_functions(config), result)
    return result


def no_signatures(texts: int, config: MinHashConfig) -> Signatures:
    """Those of so many texts without words, to be filled."""
    return np.full((texts, config.bands * config.rows), EMPTY, dtype=np.uint32)


def drawn_functions(config: MinHashConfig) -> tuple[Hashes, Hashes]:
    """The factor, odd, and the summand of the hash function of each place of a signature."""
    drawn = np.random.Generator(np.random.PCG64(config.seed)).integers(
        0, 2**64, size=(2, config.bands * config.rows), dtype=np.uint64
    )
    return drawn[0] | np.uint64(1), drawn[1]


@compiled
def _sign(
    buffer: Bytes,
    offsets: Integers,
    classes: NDArray[np.uint8],
    lower: Points,
    shingle: int,
    scale: Hashes,
    shift: Hashes,
    result: Signatures,
) -> None:
    """Fill each row of `result` with the least hash of all shingles under h(x) = (a·x + b mod 2^64) >> 32 with odd a
    (multiply-shift, Dietzfelbinger et al. 1997)."""
    longest = longest_of(offsets) + WRITTEN
    words, alone = np.empty(longest, np.uint64), np.empty(longest, np.bool_)
    tail = np.empty(READ, np.uint8)
    shingles, least = np.empty(longest + AT_ONCE - 1, np.uint64), np.empty(scale.size, np.uint64)
    for i in range(result.shape[0]):
        count = hash_words(buffer, offsets[i], offsets[i + 1], classes, lower, words, alone, tail)
        sign_words(words, count, shingles, shingle, scale, shift, least, result[i])


@compiled
def sign_words(
    words: Hashes,
    count: int,
    shingles: Hashes,
    shingle: int,
    scale: Hashes,
    shift: Hashes,
    least: Hashes,
    signature: Signatures,
) -> None:
    """Fill `signature` with the least hashes of the shingles of a text of `count` hashed words; of none it is left as it is.

    Args:
        shingles: room for `AT_ONCE` - 1 more numbers than there are words.
        least: room for as many numbers as the signature has.
    """
    width = min(shingle, count)
    number = count - width + 1 if count else 0
    shingles[:number] = 0
    for index in range(width):
        for start in range(number):
            shingles[start] = mix(shingles[start] + words[start + index])
    if number:
        shingles[number : number + AT_ONCE - 1] = shingles[number - 1]
        _least_hashes(shingles, number, scale, shift, least)
        signature[:] = least >> np.uint64(32)


@inner
def _least_hashes(shingles: Hashes, number: int, scale: Hashes, shift: Hashes, least: Hashes) -> None:
    """Fill `least` with the least a·x + b of all shingles; what comes up to `AT_ONCE` - 1 places behind them counts, too."""
    least[:] = np.uint64(0xFFFFFFFFFFFFFFFF)
    for start in range(0, number, AT_ONCE):
        one, two, three, four = shingles[start], shingles[start + 1], shingles[start + 2], shingles[start + 3]
        for slot in range(scale.size):
            a, b = scale[slot], shift[slot]
            first, second = min(a * one + b, a * two + b), min(a * three + b, a * four + b)
            least[slot] = min(least[slot], min(first, second))


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
