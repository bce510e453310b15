"""The lines that end in a block, and what the one has so far that goes on in the next block."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.block_classes import NONE
from lifecycle.curation.byte_masks import ONE
from lifecycle.curation.compiled import inner
from lifecycle.curation.eight_bytes import bits_set, lowest_bit
from lifecycle.curation.lines import finish_line

Bytes = NDArray[np.uint8]
Marks = NDArray[np.uint32]

_NEWLINE, _RETURN = 10, 13


class Line(NamedTuple):
    """What a line has up to some byte."""

    begin: int
    words: int
    sentences: int | np.int64
    parts: int
    """Words between white space."""
    citations: np.uint64
    """Not 0 where one may be in it, as `hints`."""
    hints: np.uint64


class Found(NamedTuple):
    """Bits of a block: where words begin, sentences end, something comes behind white space, citations or phrases may be."""

    words: np.uint64
    sentences: np.uint64
    parts: np.uint64
    citations: np.uint64
    hints: np.uint64


@inner
def end_lines(
    buffer: Bytes,
    begin: int,
    position: int,
    breaks: np.uint64,
    found: Found,
    line: Line,
    wide: bool,
    marks: Marks,
    spare: Bytes,
    row: NDArray[np.int64],
) -> Line:
    """Count the lines that end at the `breaks` of the block at `position`; returns the one that goes on.

    Args:
        begin: where the document begins.
        line: the one that goes on from the block before.
        spare: as many bytes as the document has.
    """
    while breaks:
        up_to = breaks ^ (breaks - ONE)
        stop = position + lowest_bit(breaks)
        breaks &= breaks - ONE
        if buffer[stop] != _NEWLINE or stop == begin or buffer[stop - 1] != _RETURN:
            _end(buffer, _more(line, found, up_to), stop, wide, marks, spare, row)
        found = _masked(found, ~up_to)
        line = Line(stop + (1 if buffer[stop] < 0x80 else 2 if buffer[stop] < 0xE0 else 3), 0, 0, 0, NONE, NONE)
    return _more(line, found, ~NONE)


@inner
def end_last_line(
    buffer: Bytes, end: int, material: np.uint64, line: Line, wide: bool, marks: Marks, spare: Bytes, row: NDArray[np.int64]
) -> None:
    """Count the line without a break that the document ends with, if it does; `material` is 1 where a sentence goes on."""
    if line.begin < end:
        line = Line(line.begin, line.words, line.sentences + np.int64(material), line.parts, line.citations, line.hints)
        _end(buffer, line, end, wide, marks, spare, row)


@inner
def _end(buffer: Bytes, line: Line, end: int, wide: bool, marks: Marks, spare: Bytes, row: NDArray[np.int64]) -> None:
    finish_line(
        buffer,
        line.begin,
        end,
        line.words,
        wide,
        marks,
        spare,
        row,
        line.sentences,
        line.parts,
        line.citations != 0,
        line.hints != 0,
    )


@inner
def _more(line: Line, found: Found, within: np.uint64) -> Line:
    return Line(
        line.begin,
        line.words + bits_set(found.words & within),
        line.sentences + bits_set(found.sentences & within),
        line.parts + bits_set(found.parts & within),
        line.citations | found.citations & within,
        line.hints | found.hints & within,
    )


@inner
def _masked(found: Found, within: np.uint64) -> Found:
    return Found(
        found.words & within,
        found.sentences & within,
        found.parts & within,
        found.citations & within,
        found.hints & within,
    )
