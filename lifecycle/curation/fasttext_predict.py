"""What a fastText model (Joulin et al. 2017) says of many texts at once: the prediction of its engine, compiled.

The engine looks every n-gram of characters up in chained hash tables and puts its vector together from codes, 70 ns for each
n-gram. Here both lie ready in tables. Sums are made in the same order and precision, so that labels and scores are the same.
"""

from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.buffers import Bytes, Integers
from lifecycle.curation.compiled import compiled, inner
from lifecycle.curation.eight_bytes import bits_set
from lifecycle.curation.fasttext_file import OFFSET, Tables, hash_of, hashed

BEGIN, END = ord("<"), ord(">")
"""Stand around a word whose n-grams are taken."""
LITTLE = 1e-5
"""Added to probabilities before their logarithm is taken."""
Floats = NDArray[np.float32]


@compiled
def predict(buffer: Bytes, begins: Integers, ends: Integers, model: Tables, labels: Integers, scores: Floats) -> None:
    """Fill the number of the likeliest label and its probability for each range of bytes, one line each, shapes (texts,)."""
    longest = 0
    for i in range(begins.size):
        longest = max(longest, ends[i] - begins[i])
    word = np.empty(longest + 2, np.uint8)
    hidden = np.empty(model.vectors.shape[1], np.float32)
    nodes, sums = np.empty(model.children.shape[0], np.int32), np.empty(model.children.shape[0], np.float32)
    for i in range(begins.size):
        count = _add_line(buffer, begins[i], ends[i], model, word, hidden)
        share = np.float32(1.0 / count)
        for place in range(hidden.size):
            hidden[place] *= share
        labels[i], scores[i] = _likeliest(model, hidden, nodes, sums)


@inner
def _add_line(buffer: Bytes, begin: int, end: int, model: Tables, word: Bytes, hidden: Floats) -> int:
    """Add the vectors of the words that the dictionary has, of all n-grams of all words, and of the line's end to nothing;
    returns their number."""
    words, places, slots, buckets, known, rows, vectors = model[:7]
    hidden[:] = 0
    count = 1
    position = begin
    while position < end:
        if _is_blank(buffer[position]):
            position += 1
            continue
        first = position
        while position < end and not _is_blank(buffer[position]):
            position += 1
        number = _number(buffer, first, position, words, places, slots)
        if number >= 0:
            _add(hidden, vectors, number)
            count += 1
        size = position - first
        word[0], word[size + 1] = BEGIN, END
        for place in range(size):
            word[place + 1] = buffer[first + place]
        count += _add_ngrams(word, size + 2, np.uint32(buckets), known, rows, vectors, model.shortest, model.longest, hidden)
    _add(hidden, vectors, model.end_of_line)
    return count


@inner
def _is_blank(byte: np.uint8) -> Any:
    return byte == 32 or 9 <= byte <= 13 or byte == 0


@inner
def _number(buffer: Bytes, begin: int, end: int, words: Bytes, places: Integers, slots: NDArray[np.int32]) -> int:
    """Of the word in a range of bytes; -1 for one that the dictionary does not have."""
    slot = np.int64(hash_of(buffer, begin, end)) & (slots.size - 1)
    while slots[slot] >= 0:
        start, stop = places[slots[slot]], places[slots[slot] + 1]
        same = stop - start == end - begin
        while same and start < stop:
            same = words[stop - 1] == buffer[begin + stop - 1 - start]
            stop -= 1
        if same:
            return slots[slot]
        slot = (slot + 1) & (slots.size - 1)
    return -1


@inner
def _add_ngrams(
    word: Bytes,
    size: int,
    buckets: np.uint32,
    known: NDArray[np.uint64],
    rows: Integers,
    vectors: Floats,
    shortest: int,
    longest: int,
    hidden: Floats,
) -> int:
    """Add the vectors of all n-grams of a word that the model knows; returns their number."""
    count = 0
    for first in range(size):
        if word[first] & 0xC0 == 0x80:
            continue
        value = OFFSET
        place = first
        for characters in range(1, longest + 1):
            if place == size:
                break
            value = hashed(value, word[place])
            place += 1
            while place < size and word[place] & 0xC0 == 0x80:
                value = hashed(value, word[place])
                place += 1
            bucket = value % buckets
            here = np.uint64(1) << np.uint64(bucket & 63)
            if characters >= shortest and known[bucket >> 6] & here:
                before = known[bucket >> 6] & (here - np.uint64(1))
                _add(hidden, vectors, rows[bucket >> 6] + bits_set(before))
                count += 1
    return count


@inner
def _add(hidden: Floats, vectors: Floats, row: int) -> None:
    for place in range(hidden.size):
        hidden[place] += vectors[row, place]


@inner
def _likeliest(model: Tables, hidden: Floats, nodes: NDArray[np.int32], sums: Floats) -> tuple[int, np.float32]:
    """The leaf of the greatest probability, and that; `nodes` and `sums` are room for what is still to be visited."""
    labels = (model.children.shape[0] + 1) // 2
    best, best_sum = -1, np.float32(-np.inf)
    nodes[0], sums[0] = model.children.shape[0] - 1, 0
    waiting = 1
    while waiting:
        waiting -= 1
        node, total = nodes[waiting], sums[waiting]
        if total < best_sum or total < _log(np.float32(0)):
            continue
        left, right = model.children[node]
        if left < 0:
            best, best_sum = node, total
            continue
        product = np.float32(0)
        for place in range(hidden.size):
            product += model.outputs[node - labels, place] * hidden[place]
        share = np.float32(1.0 / np.float64(np.float32(1) + exp(-product)))
        nodes[waiting], sums[waiting] = right, total + _log(share)
        nodes[waiting + 1], sums[waiting + 1] = left, total + _log(np.float32(1.0 - np.float64(share)))
        waiting += 2
    return best, np.float32(exp(best_sum))


@inner
def _log(value: np.float32) -> np.float32:
    return np.float32(log(np.float64(value) + LITTLE))
