"""What a language model is shown of a text: its first words, without what is in no language (URLs, code, signs, digits)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import compiled
from lifecycle.curation.marks import ALPHABETIC, CLASS, mark_tables
from lifecycle.curation.marks import HAN as HAN_MARK
from lifecycle.curation.utf8 import decode

CHARACTERS = 1500
"""Of the sample; it is taken from the first `2 * CHARACTERS` characters of the text."""
KANA = (0x3040, 0x30FF)
SPACE, TICK, NEWLINE, H = ord(" "), ord("`"), ord("\n"), ord("h")
SCHEMES = tuple(np.frombuffer(scheme, dtype=np.uint8) for scheme in (b"http://", b"https://"))


@dataclass(frozen=True)
class Sample:
    """Words with one space between them, and the letters among them."""

    words: str
    letters: int
    han: int
    kana: int


def sample(text: str) -> Sample:
    """The sample of a text's beginning."""
    data = np.frombuffer(text[: CHARACTERS * 2].encode("utf-8", "surrogatepass"), dtype=np.uint8)
    out = np.empty(data.size + 1, dtype=np.uint8)
    size, letters, han, kana = _take(data, mark_tables()[0], SCHEMES[0], SCHEMES[1], out)
    return Sample(out[:size].tobytes().decode(), letters, han, kana)


@compiled
def _take(
    data: NDArray[np.uint8],
    marks: NDArray[np.uint32],
    plain: NDArray[np.uint8],
    secure: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> tuple[int, ...]:
    """Copy letters, combining marks and apostrophes into `out`, each run of anything else as one space.

    Returns:
        bytes of `out`, letters, Han characters, kana.
    """
    size = letters = han = kana = taken = 0
    position, end = 0, data.size
    gap = False
    while position < end and taken < CHARACTERS:
        taken += 1
        lead = data[position]
        if lead == H and (_begins(data, position, plain) or _begins(data, position, secure)):
            position = _past_url(data, marks, position)
            gap = True
            continue
        if lead == TICK:
            position = _past_code(data, position)
            gap = True
            continue
        point, width = decode(data, position, end)
        mark = marks[point] if point < marks.size else np.uint32(0)
        kind = mark & CLASS
        if kind == 1 or kind == 4 or point == 0x27 or point == 0x2019:
            if gap and size:
                out[size] = SPACE
                size += 1
            gap = False
            for byte in range(width):
                out[size + byte] = data[position + byte]
            size += width
            letters += mark & ALPHABETIC != 0
            han += mark & HAN_MARK != 0
            kana += KANA[0] <= point <= KANA[1]
        else:
            gap = True
        position += width
    return size, letters, han, int(kana)


@compiled
def _begins(data: NDArray[np.uint8], position: int, scheme: NDArray[np.uint8]) -> bool:
    if position + scheme.size > data.size:
        return False
    for place in range(scheme.size):  # noqa: SIM110  numba compiles no generators
        if data[position + place] != scheme[place]:
            return False
    return True


@compiled
def _past_url(data: NDArray[np.uint8], marks: NDArray[np.uint32], position: int) -> int:
    """The first byte of white space."""
    while position < data.size:
        point, width = decode(data, position, data.size)
        if point < marks.size and marks[point] & CLASS == 3:
            return position
        position += width
    return position


@compiled
def _past_code(data: NDArray[np.uint8], position: int) -> int:
    """Behind the next back-tick of the line, or behind this one where there is none."""
    for place in range(position + 1, data.size):
        if data[place] == TICK:
            return place + 1
        if data[place] == NEWLINE:
            break
    return position + 1
