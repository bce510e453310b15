"""Reads a quantised model of fastText (`.ftz`, version 12) into tables that compiled code looks things up in.

The layout is that of `FastText::loadModel` of fastText 0.9.2: arguments, dictionary, quantised vectors of words and n-grams,
vectors of the inner nodes of the tree of labels.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lifecycle.curation.buffers import Bytes, Integers
from lifecycle.curation.compiled import compiled
from lifecycle.errors import DataError

MAGIC, VERSION = 793712314, 12
SUPERVISED, HIERARCHICAL = 3, 1
CENTROIDS = 256
LABEL, END_OF_LINE = b"__label__", b"</s>"
ENDLESS = 10**15
"""Stands for the count of a node that has no children yet."""
OFFSET, PRIME, SIGN = np.uint32(2166136261), np.uint32(16777619), np.uint32(0xFFFFFF00)
"""Of the hash function, FNV-1a of 32 bits, to which a byte of 0x80 and above is a negative number."""


class Tables(NamedTuple):
    """A model as compiled code reads it; a word's number is its row in `vectors`."""

    words: Bytes
    """The words of the dictionary, one after the other, in UTF-8."""
    places: Integers
    """Where each begins, shape (words + 1,)."""
    slots: NDArray[np.int32]
    """The number of each word by its hash, or behind it, up to the next -1."""
    buckets: int
    """The hash of an n-gram modulo this number is its bucket."""
    known: NDArray[np.uint64]
    """A bit for each bucket, which is set where it has a vector."""
    rows: NDArray[np.int64]
    """Of each integer of `known` the row of its first bit that is set; the others' rows follow."""
    vectors: NDArray[np.float32]
    end_of_line: int
    """The number of the word that stands for the end of a line."""
    outputs: NDArray[np.float32]
    """Vectors of the inner nodes of the tree, shape (labels, dimensions)."""
    children: NDArray[np.int32]
    """Of each node its left and its right child; -1 for those of the leaves, which come first, a leaf a label."""
    shortest: int
    """Characters of an n-gram."""
    longest: int


def read_model(path: Path) -> tuple[list[str], Tables]:
    """The labels of a model, without their prefix, and the rest of it.

    Raises:
        DataError: the file is no quantised, pruned, supervised model with hierarchical softmax and dense outputs.
    """
    reader = _Reader(path)
    if reader.integers(2) != [MAGIC, VERSION]:
        raise DataError(f"{path}: no fastText model of version {VERSION}")
    dimensions, _, _, _, _, word_ngrams, loss, kind, buckets, shortest, longest, _ = reader.integers(12)
    reader.one("<f8")
    if (kind, loss, word_ngrams) != (SUPERVISED, HIERARCHICAL, 1) or shortest < 2:
        raise DataError(f"{path}: only supervised models with hierarchical softmax and n-grams of characters are read")
    entries, words, _ = reader.integers(3)
    _, kept = reader.many("<i8", 2).tolist()
    spelled, counts = reader.dictionary(entries)
    used, rows = reader.many("<i4", 2 * max(kept, 0)).reshape(-1, 2).T
    if kept <= 0 or not reader.one("?"):
        raise DataError(f"{path}: only models whose n-grams are pruned and whose vectors are quantised are read")
    vectors = reader.quantised(np.concatenate([np.arange(words), words + rows[np.argsort(used)]]))
    if reader.one("?"):
        raise DataError(f"{path}: the outputs of this model are quantised")
    outputs = reader.many("<f4", int(np.prod(reader.many("<i8", 2)))).reshape(-1, dimensions)
    letters, places = _joined(spelled[:words])
    end_of_line, slots = spelled.index(END_OF_LINE), _word_slots(letters, places)
    known, firsts = _by_bucket(used, buckets)
    tree = _tree(counts[words:])
    tables = Tables(
        letters, places, slots, buckets, known, words + firsts, vectors, end_of_line, outputs, tree, shortest, longest
    )
    return [label.removeprefix(LABEL).decode() for label in spelled[words:]], tables


class _Reader:
    """The file from a place on."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.place = 0

    def many(self, kind: str, count: int) -> NDArray[Any]:
        values = np.frombuffer(self.data, kind, count, self.place)
        self.place += values.nbytes
        return values

    def one(self, kind: str) -> Any:
        return self.many(kind, 1).item()

    def integers(self, count: int) -> list[int]:
        return self.many("<i4", count).tolist()

    def dictionary(self, entries: int) -> tuple[list[bytes], list[int]]:
        """Every word and label, and how often each was seen: words first."""
        spelled, counts = [], []
        for _ in range(entries):
            end = self.data.index(0, self.place)
            spelled.append(self.data[self.place : end])
            counts.append(int.from_bytes(self.data[end + 1 : end + 9], "little"))
            self.place = end + 10  # the last byte tells words from labels
        return spelled, counts

    def quantised(self, some: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows of a matrix by product quantisation, put together as the engine does for each n-gram."""
        with_norms = self.one("?")
        rows, _ = self.many("<i8", 2).tolist()
        matrix = self._of_codes(self.many("u1", self.one("<i4")).reshape(rows, -1)[some])
        if with_norms:
            matrix *= self._of_codes(self.many("u1", rows)[some, None])
        return matrix

    def _of_codes(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        dimensions, parts, width, last = self.integers(4)
        if width != last:
            raise DataError("a fastText model whose vectors are not cut into equal parts is not read")
        centroids = self.many("<f4", dimensions * CENTROIDS).reshape(parts * CENTROIDS, width)
        places = codes + np.arange(0, parts * CENTROIDS, CENTROIDS)
        return np.take(centroids, places, axis=0).reshape(-1, dimensions)


def _joined(words: list[bytes]) -> tuple[Bytes, Integers]:
    places = np.zeros(len(words) + 1, np.int64)
    np.cumsum([len(word) for word in words], out=places[1:])
    return np.frombuffer(b"".join(words), np.uint8), places


def _by_bucket(used: NDArray[np.int32], buckets: int) -> tuple[NDArray[np.uint64], Integers]:
    """A bit for each bucket in use, 64 of them an integer; and how many are in use before each integer."""
    bits = np.zeros((buckets + 63) // 64 * 64, np.bool_)
    bits[used] = True
    counts = np.bincount(used // 64, minlength=bits.size // 64)
    return np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64), np.cumsum(counts) - counts


def _tree(counts: list[int]) -> NDArray[np.int32]:
    """Huffman's tree over labels in falling order of their counts, shape (2 labels - 1, 2); the root is last."""
    labels = len(counts)
    totals = [*counts, *[ENDLESS] * (labels - 1)]
    children = np.full((2 * labels - 1, 2), -1, np.int32)
    leaf, inner = labels - 1, labels
    for parent in range(labels, 2 * labels - 1):
        for side in range(2):
            if leaf >= 0 and totals[leaf] < totals[inner]:
                children[parent, side], leaf = leaf, leaf - 1
            else:
                children[parent, side], inner = inner, inner + 1
        totals[parent] = sum(totals[child] for child in children[parent])
    return children


@compiled
def _word_slots(words: Bytes, places: Integers) -> NDArray[np.int32]:
    size = 1
    while size < 4 * places.size:
        size *= 2
    slots = np.full(size, -1, np.int32)
    for number in range(places.size - 1):
        slot = np.int64(hash_of(words, places[number], places[number + 1])) & (size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        slots[slot] = number
    return slots


@compiled
def hash_of(buffer: Bytes, begin: int, end: int) -> np.uint32:
    """By which a word is found."""
    value = OFFSET
    for place in range(begin, end):
        value = hashed(value, buffer[place])
    return value


@compiled
def hashed(value: np.uint32, byte: np.uint8) -> np.uint32:
    """The hash of some bytes and one more."""
    signed = np.uint32(byte) | SIGN if byte >= 0x80 else np.uint32(byte)
    return np.uint32((value ^ signed) * PRIME)
