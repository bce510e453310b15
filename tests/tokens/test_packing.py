"""Packing: nothing overlaps, nothing is lost but the stated tail, and sequences are well filled."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.tokens.packing import pack_best_fit, pack_fill

LENGTHS = st.lists(st.integers(0, 20), max_size=60)


def _offsets(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def _first_fit(lengths: list[int], capacity: int) -> int:
    bins: list[int] = []
    for length in lengths:
        for index, used in enumerate(bins):
            if used + length <= capacity:
                bins[index] += length
                break
        else:
            bins.append(length)
    return len(bins)


@settings(max_examples=200, deadline=None)
@given(lengths=LENGTHS, sequence=st.integers(1, 30))
def test_fill_uses_every_token_but_the_last_partial_sequence(lengths: list[int], sequence: int):
    offsets = _offsets(lengths)
    rows = pack_fill(offsets, sequence)
    assert rows.dtype == np.int64
    count = int(offsets[-1]) // sequence
    covered = np.concatenate([np.arange(start, end) for _, start, end in rows]) if len(rows) else np.empty(0)
    assert covered.tolist() == list(range(count * sequence))
    used = np.bincount(rows[:, 0], weights=rows[:, 2] - rows[:, 1], minlength=count)
    assert (used == sequence).all()
    for _, start, end in rows:
        document = np.searchsorted(offsets, start, side="right") - 1
        assert end <= offsets[document + 1]


@settings(max_examples=200, deadline=None)
@given(lengths=LENGTHS, sequence=st.integers(20, 40))
def test_best_fit_places_every_document_once_and_whole(lengths: list[int], sequence: int):
    offsets = _offsets(lengths)
    rows = pack_best_fit(offsets, sequence)
    expected = sorted((int(a), int(b)) for a, b in pairwise(offsets) if b > a)
    assert sorted((int(start), int(end)) for _, start, end in rows) == expected
    assert (np.diff(rows[:, 0]) >= 0).all()
    if len(rows):
        used = np.bincount(rows[:, 0], weights=rows[:, 2] - rows[:, 1])
        assert used.max() <= sequence
        assert used.min() > 0


@settings(max_examples=200, deadline=None)
@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=60), sequence=st.integers(20, 40))
def test_best_fit_decreasing_keeps_its_bound_and_is_no_worse_than_decreasing_first_fit_by_much(
    lengths: list[int], sequence: int
):
    """Both are within 11/9 of the optimum (Johnson 1973), and the optimum is at least the total over the capacity."""
    sequences = int(pack_best_fit(_offsets(lengths), sequence)[-1, 0]) + 1
    assert sequences >= -(-sum(lengths) // sequence)
    assert sequences <= _first_fit(sorted(lengths, reverse=True), sequence) * 11 / 9 + 1


def test_each_document_goes_into_the_fullest_sequence_that_takes_it():
    rows = pack_best_fit(_offsets([7, 3, 5, 2]), 10)
    assert rows.tolist() == [[0, 0, 7], [0, 7, 10], [1, 10, 15], [1, 15, 17]]


def test_a_conversation_longer_than_a_sequence_is_counted_in_the_error():
    with pytest.raises(DataError, match=r"2 of 3 conversations are longer than the sequence length 8 \(the longest has 12"):
        pack_best_fit(_offsets([9, 4, 12]), 8)


def test_offsets_that_fall_are_refused():
    with pytest.raises(ValueError, match="rise from 0"):
        pack_fill(np.array([0, 5, 3]), 4)
