"""A few hashes that stand for the passages of a text: two texts that share a passage share one of them.

Winnowing (Schleimer, Wilkerson and Aiken 2003): of the short runs of words within each passage, the one with the smallest
hash. Which it is depends on the passage alone, so both texts choose the same. They are a tenth of the text's size, and tell
which documents need to be compared with protected texts at all.
"""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.block_words import READ, WRITTEN
from lifecycle.curation.buffers import Bytes, Integers, encoded, longest_of
from lifecycle.curation.compiled import compiled, inner
from lifecycle.curation.windows import BASE, grown
from lifecycle.curation.words import Points, character_tables, mix
from lifecycle.curation.words_in_bytes import hash_words
from lifecycle.recipe.corpora import OverlapConfig

Hashes = NDArray[np.uint64]
Places = NDArray[np.uint32]


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
    counts, longest = np.zeros(offsets.size - 1, np.int64), longest_of(offsets) + WRITTEN
    found, alone = np.empty(longest, np.uint64), np.empty(longest, np.bool_)
    tail = np.empty(READ, np.uint8)
    runs = np.empty(longest, np.uint64)
    chosen, ends = np.empty(1024, np.uint64), np.empty(1024, np.uint32)
    total = 0
    for i in range(counts.size):
        count = hash_words(buffer, offsets[i], offsets[i + 1], classes, lower, found, alone, tail)
        chosen = with_room(chosen, total, count)
        counts[i], ends = choose_anchors(found, alone, count, words, han, run, runs, ends, chosen[total:])
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
    runs: Hashes,
    ends: Places,
    chosen: Hashes,
) -> tuple[int, Places]:
    """Write the anchors of a text of `count` hashed words, sorted and each once, to `chosen`; returns how many, and `ends`.

    Args:
        found, alone: what `hash_words` wrote; `found` is written over.
        runs: room for as many numbers as there are words.
        ends: room for sorting; where it is too little, more is returned.
    """
    if count < run:
        return 0, ends
    power = np.uint64(1)
    for _ in range(run):
        power *= BASE
    _hash_runs(found, count, run, power, runs)
    kept = _smallest(runs, alone, count, words, han, run, chosen)
    if not kept:
        return 0, ends
    if ends.size < 4 * kept + 1:
        ends = np.empty(8 * kept + 1, np.uint32)
    return _distinct(chosen[:kept], found, ends), ends


@inner
def _hash_runs(found: Hashes, count: int, run: int, power: np.uint64, runs: Hashes) -> None:
    """Write a hash of each run of the first `count` words to `runs`; `power`, BASE^run, takes out the word before it."""
    value = np.uint64(0)
    for word in range(run):
        value = value * BASE + found[word]
    runs[0] = value
    for start in range(1, count - run + 1):
        value = value * BASE + (found[start + run - 1] - found[start - 1] * power)
        runs[start] = value
    for start in range(count - run + 1):  # by itself, so that many are mixed at once
        runs[start] = mix(runs[start])


@inner
def _smallest(runs: Hashes, alone: NDArray[np.bool_], count: int, words: int, han: int, run: int, chosen: Hashes) -> int:
    """Write the smallest run of each passage to `chosen`, once where the next passage has the same; returns how many."""
    entered = kept = end = filled = 0
    place, least = -1, np.uint64(0)
    for start in range(count):
        end, filled = grown(alone, count, end, filled, words, han)
        if filled < words * han:
            break
        if place < start:  # the smallest one is no longer within: look through the passage anew
            place, least, entered = start, runs[start], start + 1
        while entered <= end - run:
            smaller = runs[entered] <= least
            place = entered if smaller else place
            least = runs[entered] if smaller else least
            entered += 1
        chosen[kept] = least
        kept += kept == 0 or chosen[kept - 1] != least
        filled -= words if alone[start] else han
    return kept


@inner
def _distinct(chosen: Hashes, spare: Hashes, ends: Places) -> int:
    """Sort `chosen`, with each value once at its beginning; returns how many there are.

    Hashes lie evenly below the largest: their leading bits bring each next to its place, and it moves on from there.

    Args:
        spare: as many places as `chosen`, at least.
        ends: four times as many, and one.
    """
    _by_leading_bits(chosen, spare, ends)
    distinct = 0
    for value in spare[: chosen.size]:
        place = distinct
        while place > 0 and chosen[place - 1] > value:
            place -= 1
        if place > 0 and chosen[place - 1] == value:
            continue
        for behind in range(distinct, place, -1):
            chosen[behind] = chosen[behind - 1]
        chosen[place] = value
        distinct += 1
    return distinct


@inner
def _by_leading_bits(values: Hashes, ordered: Hashes, ends: Places) -> None:
    """Write values to `ordered` in the order of their leading bits, of which there are some four times as many kinds."""
    largest = np.uint64(0)
    for value in values:
        largest = max(largest, value)
    shift = np.uint64(0)
    while largest >> shift >= np.uint64(4 * values.size):
        shift += np.uint64(1)
    kinds = np.int64(largest >> shift) + 1
    ends[: kinds + 1] = 0
    for value in values:
        ends[(value >> shift) + np.uint64(1)] += 1
    for kind in range(kinds):
        ends[kind + 1] += ends[kind]
    for value in values:
        kind = value >> shift
        ordered[ends[kind]] = value
        ends[kind] += 1
