"""Windows of words that are as long as a passage (`passages`): their hashes, where they are, and how far two texts agree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.block_words import READ, WRITTEN
from lifecycle.curation.compiled import compiled, inner
from lifecycle.curation.sorted_hashes import Hashes, place_of
from lifecycle.curation.words import (
    DIGIT,
    IDEOGRAPH,
    TABLED,
    Bytes,
    Points,
    character_class,
    character_tables,
    code_points,
    find_words,
    mix,
)
from lifecycle.curation.words_in_bytes import hash_words
from lifecycle.recipe.corpora import OverlapConfig

Windows = tuple[Hashes, NDArray[np.int64], NDArray[np.int64]]

BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Words:
    """A text as code points, and where its words begin and end in it: some 40 bytes for a word of five letters."""

    points: Points
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


def windows_of(text: str, config: OverlapConfig) -> tuple[Windows, Words]:
    """Each passage's hash, the number of its first word and of the word after it, shape (passages,); and the words."""
    classes, lower = character_tables()
    points = code_points(text)
    *windows, begins, ends = _windows(points, classes, lower, config.words, config.han_characters)
    return tuple(windows), Words(points, begins, ends)


def folded_words(text: str) -> list[str]:
    """The words of a text as `find_words` hashes them: in lower case, by the same table."""
    words = words_of(text)
    _, lower = character_tables()
    points = np.where(words.points < TABLED, lower[np.minimum(words.points, TABLED - 1)], words.points)
    folded = points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    return [folded[begin:end] for begin, end in zip(words.begins.tolist(), words.ends.tolist(), strict=True)]


def words_of(text: str) -> Words:
    """The words of a text as `find_words` finds them."""
    points = code_points(text)
    _, begins, ends = find_words(points, *character_tables())
    return Words(points, begins, ends)


@compiled
def agreeing(
    lower: Points,
    points: Points,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    start: int,
    their_points: Points,
    their_begins: NDArray[np.int64],
    their_ends: NDArray[np.int64],
    there: int,
) -> int:
    """How many words two texts have in common from these words on, without regard to case."""
    length = 0
    most = min(begins.size - start, their_begins.size - there)
    while length < most:
        begin, their_begin = begins[start + length], their_begins[there + length]
        size = ends[start + length] - begin
        if their_ends[there + length] - their_begin != size:
            break
        same = True
        for place in range(size):
            one, other = points[begin + place], their_points[their_begin + place]
            if (lower[one] if one < lower.size else one) != (lower[other] if other < lower.size else other):
                same = False
                break
        if not same:
            break
        length += 1
    return length


@inner
def grown(alone: NDArray[np.bool_], count: int, end: int, filled: int, words: int, han: int) -> tuple[int, int]:
    """Where the window that has reached `end` of `count` words ends once it is as long as a passage, and how full it is.

    It is full at `words * han`, of which each character that is a word takes `words` and any other word `han`.
    """
    while filled < words * han and end < count:
        filled += words if alone[end] else han
        end += 1
    return end, filled


@compiled
def _sums(found: Hashes, count: int, longest: int) -> tuple[Hashes, Hashes]:
    """Hashes of the first words up to each, shape (count + 1,), and the powers of `BASE` that take some of them out, up to
    `longest` words."""
    prefix = np.zeros(count + 1, dtype=np.uint64)
    for i in range(count):
        prefix[i + 1] = prefix[i] * BASE + found[i]
    power = np.ones(longest + 1, dtype=np.uint64)
    for i in range(1, power.size):
        power[i] = power[i - 1] * BASE
    return prefix, power


@compiled
def _windows(
    points: Points, classes: NDArray[np.uint8], lower: Points, words: int, han: int
) -> tuple[Hashes, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Each passage's hash, the number of its first word and of the word after it, shape (passages,); and where each word
    begins and ends, shape (words,)."""
    found, begins, stops = find_words(points, classes, lower)
    count = found.size
    prefix, power = _sums(found, count, max(words, han))
    numbers = np.zeros(count + 1, dtype=np.int64)
    alone = np.empty(count, dtype=np.bool_)
    for i in range(count):
        kind = character_class(classes, int(points[begins[i]]))
        numbers[i + 1] = numbers[i] + (kind == DIGIT)
        alone[i] = kind == IDEOGRAPH
    hashes = np.empty(count, dtype=np.uint64)
    starts = np.empty(count, dtype=np.int64)
    ends = np.empty(count, dtype=np.int64)
    end, filled, kept = 0, 0, 0
    for start in range(count):
        end, filled = grown(alone, count, end, filled, words, han)
        if filled < words * han:
            break
        if 2 * (numbers[end] - numbers[start]) <= end - start:
            hashes[kept] = mix(prefix[end] - prefix[start] * power[end - start])
            starts[kept] = start
            ends[kept] = end
            kept += 1
        filled -= words if alone[start] else han
    return hashes[:kept], starts[:kept], ends[:kept], begins, stops


@compiled
def first_known(
    data: Bytes,
    classes: NDArray[np.uint8],
    lower: Points,
    words: int,
    han: int,
    known: Hashes,
    bits: Hashes,
    shift: np.uint64,
) -> tuple[int, int, int]:
    """The first window of a text in UTF-8 whose hash is known: the number of its first word, of the word after it, and the
    place of its hash; -1 for all where there is none.

    Windows that are mostly numbers are looked up, too: they are no passages of any text, so that none is known.
    """
    room = data.size + WRITTEN
    found, alone = np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.bool_)
    count = hash_words(data, 0, data.size, classes, lower, found, alone, np.empty(READ, np.uint8))
    prefix, power = _sums(found, count, max(words, han))
    end, filled = 0, 0
    for start in range(count):
        end, filled = grown(alone, count, end, filled, words, han)
        if filled < words * han:
            break
        entry = place_of(mix(prefix[end] - prefix[start] * power[end - start]), known, bits, shift)
        if entry >= 0:
            return start, end, entry
        filled -= words if alone[start] else han
    return -1, -1, -1
