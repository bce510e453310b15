"""What a language model is shown of a text: its first words, without what is in no language (URLs, code, signs, digits)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.buffers import Bytes, Integers, encoded
from lifecycle.curation.byte_masks import ALL, BLOCK, LAST, ONE, TWO, bytes_between, copy_block
from lifecycle.curation.compiled import compiled, inner
from lifecycle.curation.eight_bytes import EIGHT, bits_set, continuations, eight_bytes, lowest_bit
from lifecycle.curation.marks import ALPHABETIC, CLASS, mark_tables
from lifecycle.curation.marks import HAN as HAN_MARK
from lifecycle.curation.utf8 import decode

CHARACTERS = 1500
"""Of the sample at most."""
LOOKED_AT = 2 * CHARACTERS
"""Characters of the text from which the sample is taken."""
KANA = (0x3040, 0x30FF)
SPACE, TICK, NEWLINE, H = ord(" "), ord("`"), ord("\n"), ord("h")
SURELY_HAN, A_HAN = (0xE4B8, 0xE8BF), 0x5000
"""The first two bytes in UTF-8 of U+4E00 to U+8FFF, which are all Han, and one of them."""
SCHEMES = tuple(np.frombuffer(scheme, dtype=np.uint8) for scheme in (b"http://", b"https://"))


@dataclass(frozen=True)
class Samples:
    """Of each text of a column words with one space between them, and the letters among them, each of shape (texts,)."""

    buffer: Bytes
    """The words in UTF-8."""
    begins: Integers
    ends: Integers
    characters: Integers
    letters: Integers
    han: Integers
    kana: Integers

    def words(self, number: int) -> str:
        """The sample of one text."""
        return self.buffer[self.begins[number] : self.ends[number]].tobytes().decode()

    def middles(self, some: Integers, characters: int) -> tuple[Integers, Integers]:
        """Where so many characters from the middle of some samples, all longer, begin and end in `buffer`."""
        begins, ends = np.empty_like(some), np.empty_like(some)
        _find_middles(self.buffer, self.begins[some], self.characters[some], characters, begins, ends)
        return begins, ends


def sample(text: str) -> Samples:
    """The sample of one text."""
    return samples(*encoded([text[:LOOKED_AT]]))


def samples(buffer: Bytes, offsets: Integers) -> Samples:
    """The samples of the beginnings of all texts of a column (`buffers_of`)."""
    sizes = np.minimum(np.diff(offsets), 4 * CHARACTERS) + 1
    begins = np.cumsum(sizes) - sizes
    out = np.empty(sizes.sum(), np.uint8)
    counts = np.empty((5, sizes.size), np.int64)
    _take_all(buffer, offsets, mark_tables()[0], SCHEMES[0], SCHEMES[1], out, begins, counts)
    return Samples(out, begins, begins + counts[0], *counts[1:])


@compiled
def _find_middles(
    buffer: Bytes, starts: Integers, lengths: Integers, characters: int, begins: Integers, ends: Integers
) -> None:
    for i in range(starts.size):
        begins[i] = _after(buffer, starts[i], lengths[i] // 2 - characters // 2)
        ends[i] = _after(buffer, begins[i], characters)


@inner
def _after(buffer: Bytes, place: int, characters: int) -> int:
    """Where the character begins that comes so many characters after the one at a place."""
    while characters:
        place += 1
        while place < buffer.size and buffer[place] & 0xC0 == 0x80:
            place += 1
        characters -= 1
    return place


@compiled
def _take_all(
    buffer: Bytes,
    offsets: Integers,
    marks: NDArray[np.uint32],
    plain: Bytes,
    secure: Bytes,
    out: Bytes,
    begins: Integers,
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
        found = _take(buffer[begin:end], marks, plain, secure, out[begins[i] :])
        counts[0, i], counts[1, i], counts[2, i], counts[3, i], counts[4, i] = found


@inner
def _take(
    data: NDArray[np.uint8],
    marks: NDArray[np.uint32],
    plain: NDArray[np.uint8],
    secure: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> tuple[int, ...]:
    """Copy letters, combining marks and apostrophes into `out`, each run of anything else as one space.

    Returns:
        bytes of `out`, characters, letters, Han characters, kana.
    """
    size = characters = letters = han = kana = taken = 0
    position, end = 0, data.size
    gap = False
    while position < end and taken < CHARACTERS:
        if position + BLOCK <= end and size + BLOCK < out.size and taken + BLOCK <= CHARACTERS:
            run, some, of_letters, of_han = _words_run(data, position)
            if run:
                if gap and size:
                    out[size] = SPACE
                    size += 1
                    characters += 1
                gap = False
                copy_block(data, position, out, size)
                position += run
                size += run
                taken += some
                characters += some
                letters += of_letters
                han += of_han
                continue
        taken += 1
        lead = data[position]
        if lead < 0x80:
            point, width, mark = np.int64(lead), 1, marks[lead]
        elif position + 2 < end and SURELY_HAN[0] <= np.int64(lead) << 8 | data[position + 1] <= SURELY_HAN[1]:
            point, width, mark = A_HAN, 3, marks[A_HAN]
        else:
            point, width = decode(data, position, end)
            mark = marks[point] if point < marks.size else np.uint32(0)
        if lead == H and (_begins(data, position, plain) or _begins(data, position, secure)):
            position = _past_url(data, marks, position)
            gap = True
            continue
        if lead == TICK:
            position = _past_code(data, position)
            gap = True
            continue
        kind = mark & CLASS
        if kind == 1 or kind == 4 or point == 0x27 or point == 0x2019:
            if gap and size:
                out[size] = SPACE
                size += 1
                characters += 1
            gap = False
            out[size] = lead
            for byte in range(1, width):
                out[size + byte] = data[position + byte]
            size += width
            characters += 1
            letters += mark & ALPHABETIC != 0
            han += mark & HAN_MARK != 0
            kana += KANA[0] <= point <= KANA[1]
        else:
            gap = True
        position += width
    return size, characters, letters, han, int(kana)


@inner
def _words_run(data: NDArray[np.uint8], position: int) -> tuple[int, int, int, int]:
    """Of the `BLOCK` bytes from `position` on so many as are Han and words of ASCII letters with single blanks between them,
    and the characters, letters and Han characters among these; what may be a URL is not."""
    following = bytes_between(data, position, 0x80, 0xBF)
    han = bytes_between(data, position, 0xE5, 0xE8)
    han |= bytes_between(data, position, 0xE4, 0xE4) & bytes_between(data, position, 0xB8, 0xBF) >> ONE
    han &= following >> ONE & following >> TWO
    ascii = bytes_between(data, position, ord("a"), ord("z")) | bytes_between(data, position, ord("A"), ord("Z"))
    letters = han | ascii
    ends = ascii | han << TWO
    tees = bytes_between(data, position, ord("t"), ord("t"))
    urls = bytes_between(data, position, H, H) & (tees >> ONE | LAST) & (tees >> TWO | LAST)
    blanks = bytes_between(data, position, SPACE, SPACE) & ends << ONE & (letters & ~urls) >> ONE
    size = lowest_bit(~(letters | han << ONE | ends | blanks) | urls)
    within = ALL >> np.uint64(BLOCK - size) if size else np.uint64(0)
    return size, bits_set(within & ~following), bits_set(within & letters), bits_set(within & han)


@inner
def _begins(data: NDArray[np.uint8], position: int, scheme: NDArray[np.uint8]) -> bool:
    if position + scheme.size > data.size:
        return False
    for place in range(scheme.size):  # noqa: SIM110  numba compiles no generators
        if data[position + place] != scheme[place]:
            return False
    return True


@inner
def _past_url(data: NDArray[np.uint8], marks: NDArray[np.uint32], position: int) -> int:
    """The first byte of white space."""
    while position < data.size:
        point, width = decode(data, position, data.size)
        if point < marks.size and marks[point] & CLASS == 3:
            return position
        position += width
    return position


@inner
def _past_code(data: NDArray[np.uint8], position: int) -> int:
    """Behind the next back-tick of the line, or behind this one where there is none."""
    for place in range(position + 1, data.size):
        if data[place] == TICK:
            return place + 1
        if data[place] == NEWLINE:
            break
    return position + 1
