"""Signatures and anchors of texts in one pass: both are made of the hashes of the words, which cost as much as either."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.anchors import Hashes, choose_anchors, run_words, with_room
from lifecycle.curation.block_words import READ, WRITTEN
from lifecycle.curation.buffers import Bytes, Integers, longest_of
from lifecycle.curation.compiled import compiled
from lifecycle.curation.minhash import AT_ONCE, Signatures, drawn_functions, no_signatures, sign_words
from lifecycle.curation.words import Points, character_tables
from lifecycle.curation.words_in_bytes import hash_words
from lifecycle.recipe.corpora import MinHashConfig, OverlapConfig


def sign_and_anchor(
    buffer: Bytes, offsets: Integers, minhash: MinHashConfig, overlap: OverlapConfig
) -> tuple[Signatures, Hashes, Integers]:
    """What `signatures_of` and `anchors_of` give for the same texts."""
    signatures = no_signatures(offsets.size - 1, minhash)
    scale, shift = drawn_functions(minhash)
    sizes = overlap.words, overlap.han_characters, run_words(overlap)
    hashes, counts = _both(buffer, offsets, *character_tables(), minhash.shingle, scale, shift, *sizes, signatures)
    return signatures, hashes, counts


@compiled
def _both(
    buffer: Bytes,
    offsets: Integers,
    classes: NDArray[np.uint8],
    lower: Points,
    shingle: int,
    scale: Hashes,
    shift: Hashes,
    words: int,
    han: int,
    run: int,
    signatures: Signatures,
) -> tuple[Hashes, Integers]:
    counts, longest = np.zeros(offsets.size - 1, np.int64), longest_of(offsets) + WRITTEN
    found, alone = np.empty(longest, np.uint64), np.empty(longest, np.bool_)
    tail = np.empty(READ, np.uint8)
    scratch, least = np.empty(longest + AT_ONCE - 1, np.uint64), np.empty(scale.size, np.uint64)
    chosen, ends = np.empty(1024, np.uint64), np.empty(1024, np.uint32)
    total = 0
    for i in range(counts.size):
        count = hash_words(buffer, offsets[i], offsets[i + 1], classes, lower, found, alone, tail)
        sign_words(found, count, scratch, shingle, scale, shift, least, signatures[i])
        chosen = with_room(chosen, total, count)
        counts[i], ends = choose_anchors(found, alone, count, words, han, run, scratch, ends, chosen[total:])
        total += counts[i]
    return chosen[:total].copy(), counts
