"""The words of a text in UTF-8 as hashes in order: what signatures and anchors are made of."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.block_classes import NONE, TOP, classes_of
from lifecycle.curation.block_words import place_in_order, readable, run_of, store_han, store_ideographs
from lifecycle.curation.byte_masks import BLOCK, ONE
from lifecycle.curation.compiled import inner
from lifecycle.curation.eight_bytes import EIGHT, bits_set, eight_bytes, lowest_bit, up_to_eight_bytes
from lifecycle.curation.utf8 import decode
from lifecycle.curation.words import (
    DIGIT,
    LETTER,
    PRIME,
    SEED,
    Points,
    character_class,
    enter_letters,
    mix,
    run_size,
)

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint64]


@inner
def hash_words(
    buffer: Bytes,
    begin: int,
    end: int,
    classes: NDArray[np.uint8],
    lower: Points,
    hashes: Hashes,
    alone: NDArray[np.bool_],
    tail: Bytes,
) -> int:
    """Write the hashes of `find_words` to `hashes`; `alone` tells which are characters that are words.

    Args:
        hashes, alone: `end - begin` places, and `WRITTEN` more.
        tail: `READ` bytes.

    Returns:
        number of words.
    """
    count = 0
    begun = run_before = NONE
    for position in range(begin, end, BLOCK):
        source, at = readable(buffer, position, tail)
        block = classes_of(source, at, buffer, position, end, classes, begun, run_before, NONE, NONE)
        runs = block.run & block.leads & ~(block.run << ONE | run_before)
        starts = runs | block.han | block.ideographs
        store_han(source, at, block, starts, count, hashes, alone)
        store_ideographs(buffer, position, end, block, starts, count, hashes, alone)
        while runs:
            place = lowest_bit(runs)
            index = place_in_order(starts, runs, count)
            size, short = run_of(block, place)
            runs &= runs - ONE
            if short:
                hashes[index] = _hash_letters(source, at + place, size)
            else:
                hashes[index] = _hash_run(buffer, position + place, end, classes, lower)
            alone[index] = False
        count += bits_set(starts)
        begun, run_before = block.beyond, block.run >> TOP
    for i in range(count):  # by itself, so that many are mixed at once
        hashes[i] = mix((SEED ^ hashes[i]) * PRIME if alone[i] else hashes[i])
    return count


@inner
def _hash_letters(source: Bytes, at: int, size: int) -> np.uint64:
    value = SEED
    while size > EIGHT:
        value = enter_letters(value, eight_bytes(source, at), EIGHT)
        at += EIGHT
        size -= EIGHT
    return enter_letters(value, eight_bytes(source, at), size)


@inner
def _hash_run(buffer: Bytes, position: int, end: int, classes: NDArray[np.uint8], lower: Points) -> np.uint64:
    """The hash, not mixed, of the letters and digits of any script from `position` on."""
    value = SEED
    while position < end:
        word = up_to_eight_bytes(buffer, position, end)
        size = run_size(word)
        if size:
            value = enter_letters(value, word, size)
            position += size
            continue
        point, width = decode(buffer, position, end)
        if character_class(classes, point) not in (LETTER, DIGIT):
            break
        value = (value ^ np.uint64(lower[point])) * PRIME
        position += width
    return value
