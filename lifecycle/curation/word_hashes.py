"""Hashes by which the statistics know words again, without regard to case: eight letters at a time where all are ASCII."""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import inner
from lifecycle.curation.eight_bytes import EIGHT, ONES, byte_at, eight_bytes, up_to_eight_bytes
from lifecycle.curation.marks import CLASS
from lifecycle.curation.utf8 import decode
from lifecycle.curation.words import DIGIT, LETTER, PRIME, SEED, first_bytes, mix, run_size

Bytes = NDArray[np.uint8]
Marks = NDArray[np.uint32]

_LOWER_CASE = ONES * np.uint64(0x20)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@inner
def enter_eight(value: np.uint64, letters: np.uint64) -> np.uint64:
    """The hash `value` (at first `SEED`) with up to eight more ASCII letters in lower case and digits, zeros behind them."""
    value = (value ^ letters) * _FACTOR
    return value ^ value >> np.uint64(32)


@inner
def hash_letters(source: Bytes, at: int, size: int) -> np.uint64:
    """The hash of so many ASCII letters and digits, behind which seven bytes more can be read."""
    value = SEED
    while size > EIGHT:
        value = enter_eight(value, eight_bytes(source, at) | _LOWER_CASE)
        at += EIGHT
        size -= EIGHT
    return enter_eight(value, (eight_bytes(source, at) | _LOWER_CASE) & first_bytes(size))


@inner
def hash_run(buffer: Bytes, position: int, end: int, marks: Marks, lower: Marks) -> tuple[np.uint64, int]:
    """The hash of the letters and digits of any script from `position` on, and how many these are."""
    value, length, size = SEED, 0, EIGHT
    while size == EIGHT:
        word = up_to_eight_bytes(buffer, position + length, end)
        size = run_size(word)
        if size:
            value = enter_eight(value, (word | _LOWER_CASE) & first_bytes(size))
        length += size
    behind = position + length
    if behind < end and byte_at(buffer, behind) >= 0x80 and _in_run(decode(buffer, behind, end)[0], marks):
        return _hash_characters(buffer, position, end, marks, lower)
    return value, length


@inner
def _hash_characters(buffer: Bytes, position: int, end: int, marks: Marks, lower: Marks) -> tuple[np.uint64, int]:
    """The same, one by one.

    What is ASCII in lower case (a Kelvin sign is k) has the hash of ASCII; other words have one of FNV-1a.
    """
    value = short = SEED
    letters, length, ascii = np.uint64(0), 0, True
    while position < end:
        point, width = decode(buffer, position, end)
        if not _in_run(point, marks):
            break
        folded = np.uint64(lower[point])
        ascii = ascii and folded < 0x80
        value = (value ^ folded) * PRIME
        letters |= folded << np.uint64(8 * (length % EIGHT))
        length += 1
        position += width
        if length % EIGHT == 0:
            short, letters = enter_eight(short, letters), np.uint64(0)
    if ascii:
        return (enter_eight(short, letters) if letters else short), length
    return mix(value), length


@inner
def _in_run(point: int | np.int64, marks: Marks) -> bool:
    kind = marks[point] & np.uint32(CLASS) if point < marks.size else np.uint32(0)
    return kind in (LETTER, DIGIT)
