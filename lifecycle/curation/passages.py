"""Long passages that two texts share: found by hash, believed only after the words themselves were compared.

A passage is a window of 13 words (Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C) or of 30 Han
characters. One rule holds for mixed text: every Han character (kana and hangul too: whatever `words.py` takes for a word
of its own) is 1/30 of a passage and every other word 1/13, and a passage ends with the word that completes it. Case,
punctuation and white space do not count. A window of which more than half are numbers is no passage: tables and counting
("1, 2, 3, …") agree everywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import compiled
from lifecycle.curation.sorted_hashes import Hashes, SortedHashes, place_of
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
    hash_words,
    mix,
)
from lifecycle.recipe.corpora import OverlapConfig

Windows = tuple[Hashes, NDArray[np.int64], NDArray[np.int64]]

BASE = np.uint64(0x9E3779B97F4A7C15)
SPELLED_TEXTS = 256
"""Indexed texts whose words are kept ready for comparison."""


@dataclass(frozen=True)
class Shared:
    """One passage, as long as both texts agree; places are characters, begin and end."""

    text: int
    """Number of the indexed text."""
    here: tuple[int, int]
    there: tuple[int, int]


@dataclass(frozen=True)
class Passages:
    """A text, the hash of each of its passages and the number of the word that it begins with; shape (passages,)."""

    text: str
    hashes: Hashes
    starts: NDArray[np.uint32]

    @classmethod
    def of(cls, text: str, config: OverlapConfig) -> "Passages":
        """The passages of a text."""
        (hashes, starts, _), _ = windows_of(text, config)
        return cls(text, hashes, starts.astype(np.uint32))


@dataclass(frozen=True)
class Words:
    """A text as code points, and where its words begin and end in it: some 40 bytes for a word of five letters."""

    points: Points
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


class PassageIndex:
    """All passages of some texts: arrays of 18 bytes a passage beside the texts themselves, 40 while they are sorted.

    Attributes:
        texts: the indexed texts, in the order given.
        passages: different passages in them.
        silent: texts too short to hold one passage; they can never be found.
    """

    def __init__(self, texts: Iterable[str | Passages], config: OverlapConfig) -> None:
        self.texts: list[str] = []
        self._config = config
        parts: list[Hashes] = [np.empty(0, dtype=np.uint64)]
        starts: list[NDArray[np.uint32]] = [np.empty(0, dtype=np.uint32)]
        for text in texts:
            found = Passages.of(text, config) if isinstance(text, str) else text
            self.texts.append(found.text)
            parts.append(found.hashes)
            starts.append(found.starts)
        sizes = [part.size for part in parts[1:]]
        self.silent = sizes.count(0)
        hashes = np.concatenate(parts)
        del parts
        distinct, first = _first_of_each(hashes)
        self._hashes = SortedHashes(distinct)
        self._numbers = np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes)[first]
        self._starts = np.concatenate(starts)[first]
        self.passages = int(distinct.size)
        self._words_of = lru_cache(maxsize=SPELLED_TEXTS)(lambda number: words_of(self.texts[number]))

    def find(self, text: str, most: int | None = None) -> list[Shared]:
        """The passages of `text` that an indexed text holds too, in order; none lies within another of the list.

        Args:
            most: so many of them are enough; None looks for all.
        """
        (hashes, starts, ends), words = windows_of(text, self._config)
        hits, entries = self._hashes.among(hashes)
        return self._verified(words, starts[hits], ends[hits], entries, most)

    def first(self, text: str) -> Shared | None:
        """The first of them."""
        config, data = self._config, np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
        start, end, entry = _first_known(data, *character_tables(), config.words, config.han_characters, *self._hashes.parts)
        if entry < 0:
            return None
        found = self._verified(words_of(text), np.array([start]), np.array([end]), np.array([entry]), 1)
        if not found:  # another passage of that hash, once in 2^64 times
            found = self.find(text, 1)
        return found[0] if found else None

    def _verified(
        self,
        mine: Words,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        entries: NDArray[np.int64],
        most: int | None,
    ) -> list[Shared]:
        """What is shared indeed of the windows whose hash is that of an entry."""
        _, lower = character_tables()
        shared: list[Shared] = []
        covered = 0
        for start, end, entry in zip(starts.tolist(), ends.tolist(), entries.tolist(), strict=True):
            if end <= covered:
                continue
            number, there = int(self._numbers[entry]), int(self._starts[entry])
            theirs = self._words_of(number)
            places = mine.points, mine.begins, mine.ends, start, theirs.points, theirs.begins, theirs.ends, there
            length = _agreeing(lower, *places)
            if length < end - start:
                continue  # two different passages of one hash
            covered = start + length
            shared.append(
                Shared(
                    number,
                    (int(mine.begins[start]), int(mine.ends[covered - 1])),
                    (int(theirs.begins[there]), int(theirs.ends[there + length - 1])),
                )
            )
            if len(shared) == most:
                break
        return shared


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


def _first_of_each(hashes: Hashes) -> tuple[Hashes, NDArray[np.int64]]:
    """The different hashes, sorted, and the first place of each: the first text that holds a passage stands for all of them.

    `numpy.unique` gives the same by a stable sort, which takes several times as long.
    """
    order = np.argsort(hashes)
    ordered = hashes[order]
    begins = np.flatnonzero(np.concatenate([np.ones(min(1, ordered.size), dtype=bool), ordered[1:] != ordered[:-1]]))
    return ordered[begins], np.minimum.reduceat(order, begins) if begins.size else begins


@compiled
def _agreeing(
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


@compiled
def _windows(
    points: Points, classes: NDArray[np.uint8], lower: Points, words: int, han: int
) -> tuple[Hashes, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Each passage's hash, the number of its first word and of the word after it, shape (passages,); and where each word
    begins and ends, shape (words,)."""
    found, begins, stops = find_words(points, classes, lower)
    count = found.size
    prefix = np.zeros(count + 1, dtype=np.uint64)
    numbers = np.zeros(count + 1, dtype=np.int64)
    weight = np.empty(count, dtype=np.int64)
    for i in range(count):
        kind = character_class(classes, int(points[begins[i]]))
        prefix[i + 1] = prefix[i] * BASE + found[i]
        numbers[i + 1] = numbers[i] + (kind == DIGIT)
        weight[i] = words if kind == IDEOGRAPH else han
    power = np.ones(max(words, han) + 1, dtype=np.uint64)
    for i in range(1, power.size):
        power[i] = power[i - 1] * BASE
    hashes = np.empty(count, dtype=np.uint64)
    starts = np.empty(count, dtype=np.int64)
    ends = np.empty(count, dtype=np.int64)
    end, filled, kept = 0, 0, 0
    for start in range(count):
        while filled < words * han and end < count:
            filled += weight[end]
            end += 1
        if filled < words * han:
            break
        if 2 * (numbers[end] - numbers[start]) <= end - start:
            hashes[kept] = mix(prefix[end] - prefix[start] * power[end - start])
            starts[kept] = start
            ends[kept] = end
            kept += 1
        filled -= weight[start]
    return hashes[:kept], starts[:kept], ends[:kept], begins, stops


@compiled
def _first_known(
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
    found, alone = np.empty(data.size, dtype=np.uint64), np.empty(data.size, dtype=np.bool_)
    count = hash_words(data, 0, data.size, classes, lower, found, alone)
    prefix = np.zeros(count + 1, dtype=np.uint64)
    for i in range(count):
        prefix[i + 1] = prefix[i] * BASE + found[i]
    power = np.ones(max(words, han) + 1, dtype=np.uint64)
    for i in range(1, power.size):
        power[i] = power[i - 1] * BASE
    end, filled = 0, 0
    for start in range(count):
        while filled < words * han and end < count:
            filled += words if alone[end] else han
            end += 1
        if filled < words * han:
            break
        entry = place_of(mix(prefix[end] - prefix[start] * power[end - start]), known, bits, shift)
        if entry >= 0:
            return start, end, entry
        filled -= words if alone[start] else han
    return -1, -1, -1
