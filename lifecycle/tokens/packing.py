"""Packing: which pieces of which documents make up each training sequence.

Both functions return int64 rows `[sequence, start, end]`: tokens `start:end` of the memmap belong to that sequence.
Rows are sorted by sequence; pieces of one sequence come from different documents, so that the trainer keeps attention
and positions inside a piece.
"""

import numpy as np
from numba import njit

from lifecycle.errors import DataError


def pack_fill(offsets: np.ndarray, sequence_length: int) -> np.ndarray:
    """Cut the stream of documents every `sequence_length` tokens (pretraining).

    Every token is used but those of the last, partial sequence: `offsets[-1] % sequence_length` of them.

    Args:
        offsets: int64 [documents + 1], rising from 0.

    Returns:
        int64 [pieces, 3].
    """
    _check(offsets, sequence_length)
    used = int(offsets[-1]) // sequence_length * sequence_length
    cuts = np.union1d(np.minimum(offsets, used), np.arange(0, used + 1, sequence_length, dtype=np.int64))
    starts, ends = cuts[:-1], cuts[1:]
    return np.stack([starts // sequence_length, starts, ends], axis=1).astype(np.int64).reshape(-1, 3)


def pack_best_fit(offsets: np.ndarray, sequence_length: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Put whole documents into as few sequences as best-fit-decreasing finds (Johnson 1973; Ding et al. 2024).

    Documents are placed from the longest to the shortest, ties in document order, each into the fullest sequence that
    still takes it. Empty documents get no piece.

    Args:
        offsets: int64 [documents + 1], rising from 0.
        groups: int64 [documents]: documents of two groups share no sequence, and the sequences of lower groups come first;
            those of negative groups are left out.

    Returns:
        int64 [non-empty documents, 3].

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
    if offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise ValueError("offsets must be one-dimensional and rise from 0")


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
