"""What a language model is shown of a text: its first words, without what is in no language (URLs, code, signs, digits)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.buffers import Bytes, Integers, encoded
from lifecycle.curation.compiled import compiled
from lifecycle.curation.eight_bytes import EIGHT, continuations, eight_bytes
from lifecycle.curation.marks import ALPHABETIC, CLASS, mark_tables
from lifecycle.curation.marks import HAN as HAN_MARK
from lifecycle.curation.utf8 import decode

CHARACTERS = 1500
"""Of the sample at most."""
LOOKED_AT = 2 * CHARACTERS
"""Characters of the text from which the sample is taken."""
KANA = (0x3040, 0x30FF)
SPACE, TICK, NEWLINE, H = ord(" "), ord("`"), ord("\n"), ord("h")
SCHEMES = tuple(np.frombuffer(scheme, dtype=np.uint8) for scheme in (b"http://", b"https://"))


@dataclass(frozen=True)
class Sample:
    """Words with one space between them, and the letters among them."""

    bytes: Bytes
    """The words in UTF-8."""
    letters: int
    han: int
    kana: int

    @property
    def words(self) -> str:
        return self.bytes.tobytes().decode()


def sample(text: str) -> Sample:
    """The sample of a text's beginning."""
    return next(samples(*encoded([text[:LOOKED_AT]])))


def samples(buffer: Bytes, offsets: Integers) -> Iterator[Sample]:
    """The samples of all texts of a column (`buffers_of`)."""
    sizes = np.minimum(np.diff(offsets), 4 * CHARACTERS) + 1
    places = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    out = np.empty(places[-1], np.uint8)
    counts = np.empty((sizes.size, 4), np.int64)
    _take_all(buffer, offsets, mark_tables()[0], SCHEMES[0], SCHEMES[1], out, places, counts)
    for place, (size, *found) in zip(places.tolist(), counts.tolist(), strict=False):
        yield Sample(out[place : place + size], *found)


@compiled
def _take_all(
    buffer: Bytes,
    offsets: Integers,
    marks: NDArray[np.uint32],
    plain: Bytes,
    secure: Bytes,
    out: Bytes,
    places: Integers,
    counts: Integers,
) -> None:
    for i in range(offsets.size - 1):
        begin, end = offsets[i], offsets[i]
        characters = 0
        while end + EIGHT <= offsets[i + 1] and characters + EIGHT <= LOOKED_AT:
            characters += EIGHT - continuations(eight_bytes(buffer, end))
            end += EIGHT
        while end < offsets[i + 1]:
            characters += buffer[end] & 0xC0 != 0x80
            if characters > LOOKED_AT:
                break
            end += 1
        found = _take(buffer[begin:end], marks, plain, secure, out[places[i] : places[i + 1]])
        counts[i, 0], counts[i, 1], counts[i, 2], counts[i, 3] = found


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
