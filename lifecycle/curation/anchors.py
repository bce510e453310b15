"""A few hashes that stand for the passages of a text: two texts that share a passage share one of them.

Winnowing (Schleimer, Wilkerson and Aiken 2003): of the short runs of words within each passage, the one with the smallest
hash. Which it is depends on the passage alone, so both texts choose the same. They are a tenth of the text's size, and tell
which documents need to be compared with protected texts at all.
"""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.buffers import Bytes, Integers, encoded
from lifecycle.curation.compiled import compiled
from lifecycle.curation.words import Points, character_tables, hash_words, mix
from lifecycle.recipe.corpora import OverlapConfig

Hashes = NDArray[np.uint64]

BASE = np.uint64(0x9E3779B97F4A7C15)


def anchors(text: str, config: OverlapConfig) -> Hashes:
    """The anchors of all passages of a text, sorted, each once; none where the text holds no passage."""
    return anchors_of(*encoded([text]), config)[0]


def anchors_of(buffer: Bytes, offsets: Integers, config: OverlapConfig) -> tuple[Hashes, Integers]:
    """The anchors of each text of a column (`buffers_of`), one text after another, and how many each has."""
    classes, lower = character_tables()
    return _anchors(buffer, offsets, classes, lower, config.words, config.han_characters, run_words(config))


def run_words(config: OverlapConfig) -> int:
    """Words of a run: a third of the shortest passage. Longer ones are in common less often where no passage is (of 8 words
    instead of 16, twice to four times as many documents), and more of them stand for a text (a fifth fewer)."""
    return max(1, min(config.words, config.han_characters) // 3)


@compiled
def _anchors(
    buffer: Bytes, offsets: Integers, classes: NDArray[np.uint8], lower: Points, words: int, han: int, run: int
) -> tuple[Hashes, Integers]:
    counts = np.zeros(offsets.size - 1, np.int64)
    longest = 0
    for i in range(counts.size):
        longest = max(longest, offsets[i + 1] - offsets[i])
    found, alone = np.empty(longest, np.uint64), np.empty(longest, np.bool_)
    prefix, runs, queue = np.empty(longest + 1, np.uint64), np.empty(longest + 1, np.uint64), np.empty(longest + 1, np.int64)
    chosen = np.empty(1024, np.uint64)
    total = 0
    for i in range(counts.size):
        count = hash_words(buffer, offsets[i], offsets[i + 1], classes, lower, found, alone)
        chosen = with_room(chosen, total, count)
        counts[i] = choose_anchors(found, alone, count, words, han, run, prefix, runs, queue, chosen[total:])
        total += counts[i]
    return chosen[:total].copy(), counts


@compiled
def with_room(chosen: Hashes, used: int, more: int) -> Hashes:
    """`chosen`, or a larger array that begins with what is used of it."""
    if chosen.size >= used + more:
        return chosen
    larger = np.empty(2 * (used + more), np.uint64)
    larger[:used] = chosen[:used]
    return larger


@compiled
def choose_anchors(
    found: Hashes,
    alone: NDArray[np.bool_],
    count: int,
    words: int,
    han: int,
    run: int,
    prefix: Hashes,
    runs: Hashes,
    queue: Integers,
    chosen: Hashes,
) -> int:
    """Write the anchors of a text of `count` hashed words, sorted and each once, to `chosen`; returns how many.

    Args:
        found, alone: what `hash_words` wrote.
        prefix, runs, queue: room for one number more than there are words.
    """
    if count < run:
        return 0
    power = np.uint64(1)
    for _ in range(run):
        power *= BASE
    prefix[0] = 0
    for word in range(count):
        prefix[word + 1] = prefix[word] * BASE + found[word]
    for start in range(count - run + 1):
        runs[start] = mix(prefix[start + run] - prefix[start] * power)
    kept = _smallest(runs, alone, count, words, han, run, queue, chosen)
    return _distinct(chosen[:kept])


@compiled
def _smallest(
    runs: Hashes, alone: NDArray[np.bool_], count: int, words: int, han: int, run: int, queue: Integers, chosen: Hashes
) -> int:
    """Write the smallest run of each passage to `chosen`, once where the next passage has the same; returns how many."""
    # A queue of runs whose hashes rise: its first is the smallest within the passage.
    first = last = entered = kept = 0
    newest = -1
    end = filled = 0
    for start in range(count):
        while filled < words * han and end < count:
            filled += words if alone[end] else han
            end += 1
        if filled < words * han:
            break
        while entered <= end - run:
            while last > first and runs[queue[last - 1]] > runs[entered]:
                last -= 1
            queue[last] = entered
            last += 1
            entered += 1
        while queue[first] < start:
            first += 1
        if queue[first] != newest:
            newest = queue[first]
            chosen[kept] = runs[newest]
            kept += 1
        filled -= words if alone[start] else han
    return kept


@compiled
def _distinct(chosen: Hashes) -> int:
    """Sort `chosen`, with each value once at its beginning; returns how many there are."""
    chosen.sort()
    distinct = 0
    for place in range(chosen.size):
        if place == 0 or chosen[place] != chosen[place - 1]:
            chosen[distinct] = chosen[place]
            distinct += 1
    return distinct
