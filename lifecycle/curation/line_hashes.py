"""Hashes of lines for compiled code: eight bytes of UTF-8 at a time, which also find the end of the line."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import inner
from lifecycle.curation.eight_bytes import bytes_like, continuations, eight_bytes, lowest_bit

Bytes = NDArray[np.uint8]

_NEWLINE = 10
_SEED = np.uint64(0xCBF29CE484222325)


@inner
def hash_bytes(buffer: Bytes, begin: int, end: int) -> np.uint64:
    """A hash of some bytes, eight at a time; `mix` it before taking a part of it."""
    value = _SEED
    position = begin
    while position + 8 <= end:
        value = _hash_eight(value, eight_bytes(buffer, position))
        position += 8
    if position < end:
        word = np.uint64(0)
        for last in range(position, end):
            word |= np.uint64(buffer[last]) << np.uint64(8 * (last - position))
        value = _hash_eight(value, word)
    return value + np.uint64(end - begin)


@inner
def hash_line(buffer: Bytes, begin: int, end: int) -> tuple[np.uint64, np.int64 | int, np.int64 | int]:
    """The hash of what stands before the next newline, as `hash_bytes`, where that is, and how many characters it has."""
    value = _SEED
    continued = 0
    position = begin
    while position + 8 <= end:
        word = eight_bytes(buffer, position)
        found = bytes_like(word, _NEWLINE)
        if found:
            before = lowest_bit(found) >> 3
            if before:
                word &= (np.uint64(1) << np.uint64(8 * before)) - np.uint64(1)
                value = _hash_eight(value, word)
                continued += continuations(word)
                position += before
            return value + np.uint64(position - begin), position, position - begin - continued
        value = _hash_eight(value, word)
        continued += continuations(word)
        position += 8
    word = np.uint64(0)
    last = position
    while last < end and buffer[last] != _NEWLINE:
        word |= np.uint64(buffer[last]) << np.uint64(8 * (last - position))
        last += 1
    if last > position:
        value = _hash_eight(value, word)
        continued += continuations(word)
    return value + np.uint64(last - begin), last, last - begin - continued


@inner
def _hash_eight(value: np.uint64, word: np.uint64) -> np.uint64:
    """The hash `value` with eight more bytes (multiply and shift)."""
    value = (value ^ word) * np.uint64(0x9E3779B97F4A7C15)
    return value ^ (value >> np.uint64(32))
