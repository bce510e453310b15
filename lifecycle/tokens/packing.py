"""Packing: which pieces of which documents make up each training sequence.

Pieces of one sequence come from different documents, so that the trainer keeps attention and positions inside a piece.
"""

import numpy as np
from numba import njit

from lifecycle.errors import DataError

CHECKED_AT_ONCE = 1_000_000


class FilledSequences:
    """The stream of documents cut every `sequence_length` tokens (pretraining), worked out where it is asked for.

    Nothing is held: a memmap of any size costs no memory. Every token is used but those of the last, partial sequence.
    """

    def __init__(self, offsets: np.ndarray, sequence_length: int) -> None:
        """`offsets`: int64 [documents + 1], rising from 0; it may be a mapped file."""
        _check(offsets, sequence_length)
        self._offsets, self._length = np.asarray(offsets), sequence_length
        self.sequences = int(offsets[-1]) // sequence_length
        self.tokens = self.sequences * sequence_length

    def pieces(self, sequence: int) -> np.ndarray:
        """int64 [pieces, 2]: start and end of each piece in the memmap, in order."""
        start = int(sequence) * self._length
        inner = np.searchsorted(self._offsets, [start + 1, start + self._length])
        cuts = np.unique(np.concatenate([[start], self._offsets[slice(*inner)], [start + self._length]]))
        return np.stack([cuts[:-1], cuts[1:]], axis=1)


class PackedSequences:
    """Whole documents put together by `pack_best_fit` (SFT); the bounds of all of them are held."""

    def __init__(self, rows: np.ndarray) -> None:
        """`rows`: as `pack_best_fit` gives them."""
        self._bounds = rows[:, 1:]
        self.sequences = int(rows[-1, 0]) + 1 if len(rows) else 0
        self.tokens = int((rows[:, 2] - rows[:, 1]).sum())
        self._first = np.searchsorted(rows[:, 0], np.arange(self.sequences + 1))

    def pieces(self, sequence: int) -> np.ndarray:
        """int64 [pieces, 2]: start and end of each piece in the memmap, in order."""
        return self._bounds[self._first[sequence] : self._first[sequence + 1]]


def pack_best_fit(offsets: np.ndarray, sequence_length: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Put whole documents into as few sequences as best-fit-decreasing finds (Johnson 1973; Ding et al. 2024).

    Documents are placed from the longest to the shortest, ties in document order, each into the fullest sequence that
    still takes it. Empty documents get no piece.

    Args:
        offsets: int64 [documents + 1], rising from 0.
        groups: int64 [documents]: documents of two groups share no sequence, and the sequences of lower groups come first;
            those of negative groups are left out.

    Returns:
        int64 [non-empty documents, 3], rows `[sequence, start, end]` sorted by sequence: tokens `start:end` of the memmap
        belong to that sequence.

    Raises:
        DataError: a document is longer than `sequence_length`.
    """
    _check(offsets, sequence_length)
    lengths = np.diff(offsets)
    too_long = int((lengths > sequence_length).sum())
    if too_long:
        raise DataError(
            f"{too_long} of {len(lengths)} conversations are longer than the sequence length {sequence_length} "
            f"(the longest has {int(lengths.max())} tokens); raise sft.training.sequence_length or lower "
            "instructions.max_tokens"
        )
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    wanted = [order] if groups is None else [order[groups[order] == group] for group in np.unique(groups[groups >= 0])]
    parts, first = [np.empty((0, 3), dtype=np.int64)], 0
    for some in wanted:
        sequences = _best_fit(lengths[some].astype(np.int64), sequence_length)
        rows = np.stack([first + sequences, offsets[some], offsets[some + 1]], axis=1).astype(np.int64)
        parts.append(rows[np.argsort(sequences, kind="stable")])
        first += int(sequences.max(initial=-1)) + 1
    return np.concatenate(parts)


def packing_table(offsets: np.ndarray, longest: int) -> list[dict[str, float]]:
    """What best-fit-decreasing makes of the documents at a sequence length of once, twice and four times `longest`.

    `efficiency` is the share of the sequences that is not padding; without packing it would be `unpacked`.
    """
    rows = []
    for length in (longest, 2 * longest, 4 * longest):
        sequences = int(pack_best_fit(offsets, length)[-1, 0]) + 1
        efficiency, unpacked = (int(offsets[-1]) / (count * length) for count in (sequences, len(offsets) - 1))
        row = {"sequence_length": length, "sequences": sequences}
        rows.append(row | {"efficiency": round(efficiency, 4), "unpacked": round(unpacked, 4)})
    return rows


def _check(offsets: np.ndarray, sequence_length: int) -> None:
    if sequence_length < 1:
        raise ValueError(f"sequence_length must be positive, got {sequence_length}")
    if offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or not _rises(offsets):
        raise ValueError("offsets must be one-dimensional and rise from 0")


def _rises(offsets: np.ndarray) -> bool:
    """Looked at in parts, so that a mapped file is not held at once."""
    parts = (offsets[start : start + CHECKED_AT_ONCE + 1] for start in range(0, len(offsets), CHECKED_AT_ONCE))
    return all((np.diff(part) >= 0).all() for part in parts)


@njit
def _best_fit(lengths: np.ndarray, capacity: int) -> np.ndarray:
    """The sequence of each document; `lengths` fall.

    Sequences with the same room form a stack (`top`, `below`); a binary tree over the rooms 0..capacity tells in
    O(log capacity) the least room that is in use and large enough.
    """
    leaves = 1
    while leaves < capacity + 1:
        leaves *= 2
    used = np.zeros(2 * leaves, dtype=np.bool_)
    top = np.full(capacity + 1, -1, dtype=np.int64)
    below = np.full(len(lengths), -1, dtype=np.int64)
    result = np.empty(len(lengths), dtype=np.int64)
    count = 0
    for index in range(len(lengths)):
        length = lengths[index]
        room = _least_room(used, leaves, length)
        if room < 0:
            sequence = count
            count += 1
            room = capacity
        else:
            sequence = top[room]
            top[room] = below[sequence]
            if top[room] < 0:
                _mark(used, leaves, room, False)
        left = room - length
        if top[left] < 0:
            _mark(used, leaves, left, True)
        below[sequence] = top[left]
        top[left] = sequence
        result[index] = sequence
    return result


@njit
def _mark(used: np.ndarray, leaves: int, room: int, value: bool) -> None:
    node = leaves + room
    used[node] = value
    node //= 2
    while node:
        used[node] = used[2 * node] or used[2 * node + 1]
        node //= 2


@njit
def _least_room(used: np.ndarray, leaves: int, least: int) -> int:
    node = leaves + least
    while not used[node]:
        while node & 1:
            node //= 2
        if node == 0:
            return -1
        node += 1
    while node < leaves:
        node = 2 * node if used[2 * node] else 2 * node + 1
    return node - leaves
