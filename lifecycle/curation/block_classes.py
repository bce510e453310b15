"""What the characters of sixty-four bytes are, a bit for each byte: ASCII and common Han at once, others one by one."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.byte_masks import ALL, BLOCK, ONE, TWO, bytes_between
from lifecycle.curation.compiled import inner
from lifecycle.curation.eight_bytes import lowest_bit
from lifecycle.curation.marks import ALPHABETIC, BREAK, CLASS, CLOSER, SEPARATOR, WIDE_END
from lifecycle.curation.marks import HAN as HAN_MARK
from lifecycle.curation.utf8 import decode
from lifecycle.curation.words import DIGIT, IDEOGRAPH, SPACE

Bytes = NDArray[np.uint8]
Marks = NDArray[np.uint32]

NONE = np.uint64(0)
TOP = np.uint64(BLOCK - 1)
_DOT, _ELLIPSIS = 0x2E, 0x2026


class Classes(NamedTuple):
    """Bits of the bytes of a block; those of `run`, `spaces` and `separators` are all bytes of such a character, those of
    others the first one."""

    leads: np.uint64
    """Every character begins here; a byte that is not UTF-8 is one."""
    beyond: np.uint64
    """Bytes of the next block that belong to the last character of this one."""
    han: np.uint64
    """The characters of `HAN_FIRST` to `HAN_LAST`."""
    ideographs: np.uint64
    """Others that are words by themselves."""
    rare_han: np.uint64
    """Of these the Han characters."""
    run: np.uint64
    """Letters and digits that words are runs of."""
    digits: np.uint64
    alphabetic: np.uint64
    """Those of `run` and of `ideographs` that `str.isalpha` calls so."""
    beyond_ascii: np.uint64
    """Those of `run` that are not ASCII."""
    spaces: np.uint64
    separators: np.uint64
    breaks: np.uint64
    ends: np.uint64
    wide_ends: np.uint64
    closers: np.uint64
    dots: np.uint64
    ellipses: np.uint64


@inner
def first_bits(number: int) -> np.uint64:
    """So many of the lowest bits, of which there are 64."""
    return ALL >> np.uint64(max(0, BLOCK - number)) if number > 0 else NONE


@inner
def classes_of(
    source: Bytes,
    at: int,
    buffer: Bytes,
    position: int,
    end: int,
    marks: Marks,
    begun: np.uint64,
    run_before: np.uint64,
    space_before: np.uint64,
    separator_before: np.uint64,
) -> Classes:
    """The classes of the `BLOCK` bytes from `position` on, of which those from `end` on are none.

    Args:
        source, at: where the same bytes are, with two more behind them.
        begun: what the block before has for `beyond`.
        run_before, space_before, separator_before: whether the last byte before is one of these, 0 or 1.
    """
    inside = first_bits(end - position)
    second, third = bytes_between(source, at + 1, 0x80, 0xBF), bytes_between(source, at + 2, 0x80, 0xBF)
    han = bytes_between(source, at, 0xE5, 0xE9)
    han |= bytes_between(source, at, 0xE4, 0xE4) & bytes_between(source, at + 1, 0xB8, 0xBF)
    han &= second & third & first_bits(end - position - 2)
    upper = bytes_between(source, at, 0x41, 0x5A)
    lower = bytes_between(source, at, 0x61, 0x7A)
    digits = bytes_between(source, at, 0x30, 0x39) & inside
    alphabetic = (upper | lower) & inside
    run = alphabetic | digits
    breaks = (bytes_between(source, at, 0x0A, 0x0D) | bytes_between(source, at, 0x1C, 0x1E)) & inside
    tabs = bytes_between(source, at, 0x09, 0x09) & inside
    spaces = breaks | tabs | (bytes_between(source, at, 0x1F, 0x20)) & inside
    separators = tabs | bytes_between(source, at, 0x7C, 0x7C) & inside
    dots = bytes_between(source, at, _DOT, _DOT) & inside
    ends = dots | (bytes_between(source, at, 0x21, 0x21) | bytes_between(source, at, 0x3F, 0x3F)) & inside
    closers = bytes_between(source, at, 0x22, 0x22) | bytes_between(source, at, 0x27, 0x27)
    closers |= bytes_between(source, at, 0x29, 0x29) | bytes_between(source, at, 0x5D, 0x5D)
    closers = (closers | bytes_between(source, at, 0x7D, 0x7D)) & inside
    run |= begun * run_before
    spaces |= begun * space_before
    separators |= begun * separator_before
    covered = begun | han << ONE | han << TWO
    beyond = han >> TOP << ONE | han >> TOP | han >> (TOP - ONE) & ONE
    ideographs = rare_han = beyond_ascii = wide_ends = ellipses = NONE
    others = bytes_between(source, at, 0x80, 0xFF) & inside & ~(han | covered)
    while others:
        place = np.uint64(lowest_bit(others))
        point, width = decode(buffer, position + np.int64(place), end)
        mark = marks[point] if point < marks.size else np.uint32(0)
        kind = mark & np.uint32(CLASS)
        bit = ONE << place
        bytes_of_it = (ONE << np.uint64(width)) - ONE
        whole = bytes_of_it << place
        beyond |= bytes_of_it >> ONE >> (TOP - place)
        covered |= whole ^ bit
        others &= ~whole
        separators |= whole if mark & np.uint32(SEPARATOR) else NONE
        if kind == 0:
            wide_ends |= bit if mark & np.uint32(WIDE_END) else NONE
            closers |= bit if mark & np.uint32(CLOSER) else NONE
            ellipses |= bit if point == _ELLIPSIS else NONE
            continue
        alphabetic |= bit if mark & np.uint32(ALPHABETIC) else NONE
        digits |= bit if kind == DIGIT else NONE
        if kind == SPACE:
            spaces |= whole
            breaks |= bit if mark & np.uint32(BREAK) else NONE
        elif kind == IDEOGRAPH:
            ideographs |= bit
            rare_han |= bit if mark & np.uint32(HAN_MARK) else NONE
        else:
            run |= whole
            beyond_ascii |= bit
    return Classes(
        inside & ~covered,
        beyond,
        han,
        ideographs,
        rare_han,
        run,
        digits,
        alphabetic,
        beyond_ascii,
        spaces,
        separators,
        breaks,
        ends,
        wide_ends,
        closers,
        dots,
        ellipses,
    )
