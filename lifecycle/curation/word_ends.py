"""What is done where a word ends: it is stored, and looked for among the stop words."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import inner

Hashes = NDArray[np.uint64]
Small = NDArray[np.int32]

LONGEST_STOP_WORD = 4
_ONE, _SIX_BITS = np.uint64(1), np.uint64(63)


@inner
def end_word(
    hashed: np.uint64,
    length: int,
    place: np.uint64,
    hashes: Hashes,
    lengths: Small,
    stop_words: Hashes,
    stop_bits: np.uint64,
    found: int,
) -> tuple[int, np.uint64]:
    """Store a word at its place; returns the stop words found so far as bits, and `stop_bits` for the next word.

    Args:
        stop_bits: one bit for the last six bits of the hash of each stop word that was not found yet: one that was found
            need not be looked for again, and most texts have all of them soon.
    """
    hashes[place] = hashed
    lengths[place] = length
    if stop_bits >> (hashed & _SIX_BITS) & _ONE and 1 < length <= LONGEST_STOP_WORD:
        for i in range(stop_words.size):
            if stop_words[i] == hashed:
                found |= 1 << i
                stop_bits = bits_of_stops(stop_words, found)
    return found, stop_bits


@inner
def bits_of_stops(stop_words: Hashes, found: int) -> np.uint64:
    """One bit for the last six bits of the hash of each stop word that is not among those found."""
    bits = np.uint64(0)
    for i in range(stop_words.size):
        if not found >> i & 1:
            bits |= _ONE << (stop_words[i] & _SIX_BITS)
    return bits
