"""What the quality rules read of a document, computed in one pass over its characters and one over its words."""

from collections import Counter
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.words import (
    DIGIT,
    IDEOGRAPH,
    LETTER,
    SPACE,
    SYMBOL,
    TABLED,
    character_tables,
    code_points,
    find_words,
    mix,
)

MIN_REPEATS = 4
"""A pair of words that occurs less often is not repetition: short texts name their subject two or three times."""


@dataclass(frozen=True)
class Statistics:
    """Figures of one document; shares are between 0 and 1."""

    characters: int
    symbol_share: float
    """Characters that are neither letters, digits nor white space, over all characters."""
    digit_share: float
    """Digits over characters that are not white space."""
    letter_share: float
    """Letters of any script over characters that are not white space."""
    duplicate_line_share: float
    """Characters in every occurrence but the first of a line, over all characters."""
    top_bigram_share: float
    """Characters in the words of the most frequent word pair, over all characters."""


def statistics(text: str) -> Statistics:
    """All statistics of one document, in O(characters) but for a sort of its word pairs."""
    classes, lower = character_tables()
    points = code_points(text)
    counts = np.bincount(classes[np.minimum(points, TABLED - 1)], minlength=5)
    hashes, begins, ends = find_words(points, classes, lower)
    characters = max(1, len(text))
    visible = max(1, len(text) - int(counts[SPACE]))
    return Statistics(
        characters=len(text),
        symbol_share=int(counts[SYMBOL]) / characters,
        digit_share=int(counts[DIGIT]) / visible,
        letter_share=int(counts[LETTER] + counts[IDEOGRAPH]) / visible,
        duplicate_line_share=_repeated_line_characters(text) / characters,
        top_bigram_share=int(_top_bigram_characters(hashes, ends - begins, MIN_REPEATS)) / characters,
    )


def _repeated_line_characters(text: str) -> int:
    lines = Counter(line for line in (line.strip() for line in text.split("\n")) if line)
    return sum(len(line) * (count - 1) for line, count in lines.items() if count > 1)


@numba.njit(cache=True, nogil=True)
def _top_bigram_characters(hashes: NDArray[np.uint64], lengths: NDArray[np.int64], min_repeats: int) -> int:
    """Characters of the words that some pair covers, each word once, for the pair that covers most of them."""
    if hashes.size <= min_repeats:
        return 0
    pairs = np.empty(hashes.size - 1, dtype=np.uint64)
    for i in range(pairs.size):
        pairs[i] = mix(hashes[i] * np.uint64(31) + hashes[i + 1])
    order = np.argsort(pairs, kind="mergesort")
    best = 0
    first = 0
    for i in range(1, order.size + 1):
        if i < order.size and pairs[order[i]] == pairs[order[first]]:
            continue
        if i - first >= min_repeats:
            covered = 0
            unused = 0
            for position in order[first:i]:
                for word in range(max(position, unused), position + 2):
                    covered += lengths[word]
                unused = position + 2
            best = max(best, covered)
        first = i
    return best
