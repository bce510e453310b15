"""Packing: nothing overlaps, nothing is lost but the stated tail, and sequences are well filled."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.tokens.packing import FilledSequences, PackedSequences, pack_best_fit

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
    filled = FilledSequences(offsets, sequence)
    assert filled.sequences == int(offsets[-1]) // sequence
    assert filled.tokens == filled.sequences * sequence
    pieces = [piece for number in range(filled.sequences) for piece in filled.pieces(number).tolist()]
    covered = [token for start, end in pieces for token in range(start, end)]
    assert covered == list(range(filled.tokens))
    for number in range(filled.sequences):
        rows = filled.pieces(number)
        assert rows.dtype == np.int64
        assert (rows[:, 1] - rows[:, 0]).sum() == sequence
    documents = {(int(a), int(b)) for a, b in pairwise(offsets)}
    for start, end in pieces:
        assert end > start
        assert any(a <= start and end <= b for a, b in documents), "a piece lies in one document"
    cuts = {end for _, end in pieces} - {(number + 1) * sequence for number in range(filled.sequences)}
    assert cuts == {int(end) for end in offsets if 0 < end < filled.tokens and end % sequence}, "cut no more than needed"


@settings(deadline=None)
@given(lengths=LENGTHS, sequence=st.integers(20, 40))
def test_sequences_give_back_the_rows_they_were_packed_in(lengths: list[int], sequence: int):
    rows = pack_best_fit(_offsets(lengths), sequence)
    packed = PackedSequences(rows)
    found = [[number, *piece] for number in range(packed.sequences) for piece in packed.pieces(number).tolist()]
    assert found == rows.tolist()
    assert packed.tokens == sum(lengths)


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
        FilledSequences(np.array([0, 5, 3]), 4)
