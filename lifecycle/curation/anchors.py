"""A few hashes that stand for the passages of a text: two texts that share a passage share one of them.

Winnowing (Schleimer, Wilkerson and Aiken 2003): of the short runs of words within each passage, the one with the smallest
hash. Which it is depends on the passage alone, so both texts choose the same. They are a tenth of the text's size, and tell
which documents need to be compared with protected texts at all.
"""

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.compiled import compiled
from lifecycle.curation.words import IDEOGRAPH, Points, character_class, character_tables, code_points, find_words, mix
from lifecycle.recipe.corpora import OverlapConfig

Hashes = NDArray[np.uint64]

RUN_WORDS = 8
BASE = np.uint64(0x9E3779B97F4A7C15)


def anchors(text: str, config: OverlapConfig) -> Hashes:
    """The anchors of all passages of a text, sorted, each once; none where the text holds no passage."""
    classes, lower = character_tables()
    run = min(RUN_WORDS, config.words, config.han_characters)
    return _anchors(code_points(text), classes, lower, config.words, config.han_characters, run)


def among(hashes: Hashes, wanted: Hashes) -> NDArray[np.bool_]:
    """Which of many hashes are among `wanted`, few, sorted and each once; `numpy.isin` would sort the many at every call."""
    if not wanted.size:
        return np.zeros(hashes.size, dtype=bool)
    places = np.searchsorted(wanted, hashes)
    return wanted[np.minimum(places, wanted.size - 1)] == hashes


@compiled
def _anchors(points: Points, classes: NDArray[np.uint8], lower: Points, words: int, han: int, run: int) -> Hashes:
    found, begins, _ = find_words(points, classes, lower)
    count = found.size
    chosen = np.empty(count, dtype=np.uint64)
    if count < run:
        return chosen[:0]
    power = np.uint64(1)
    for _ in range(run):
        power *= BASE
    prefix = np.zeros(count + 1, dtype=np.uint64)
    weight = np.empty(count, dtype=np.int64)
    for i in range(count):
        prefix[i + 1] = prefix[i] * BASE + found[i]
        weight[i] = words if character_class(classes, int(points[begins[i]])) == IDEOGRAPH else han
    runs = np.empty(count - run + 1, dtype=np.uint64)
    for i in range(runs.size):
        runs[i] = mix(prefix[i + run] - prefix[i] * power)
    # A queue of runs whose hashes rise: its first is the smallest within the passage.
    queue = np.empty(runs.size, dtype=np.int64)
    first = last = entered = kept = 0
    newest = -1
    end = filled = 0
    for start in range(count):
        while filled < words * han and end < count:
            filled += weight[end]
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
        filled -= weight[start]
    chosen[:kept].sort()
    distinct = 0
    for place in range(kept):
        if place == 0 or chosen[place] != chosen[place - 1]:
            chosen[distinct] = chosen[place]
            distinct += 1
    return chosen[:distinct].copy()
