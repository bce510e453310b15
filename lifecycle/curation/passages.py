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

from lifecycle.curation.sorted_hashes import Hashes, SortedHashes
from lifecycle.curation.windows import Words, agreeing, first_known, windows_of, words_of
from lifecycle.curation.words import character_tables
from lifecycle.recipe.corpora import OverlapConfig

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
        start, end, entry = first_known(data, *character_tables(), config.words, config.han_characters, *self._hashes.parts)
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
            length = agreeing(lower, *places)
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


def _first_of_each(hashes: Hashes) -> tuple[Hashes, NDArray[np.int64]]:
    """The different hashes, sorted, and the first place of each: the first text that holds a passage stands for all of them.

    `numpy.unique` gives the same by a stable sort, which takes several times as long.
    """
    order = np.argsort(hashes)
    ordered = hashes[order]
    begins = np.flatnonzero(np.concatenate([np.ones(min(1, ordered.size), dtype=bool), ordered[1:] != ordered[:-1]]))
    return ordered[begins], np.minimum.reduceat(order, begins) if begins.size else begins
