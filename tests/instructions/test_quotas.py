"""Quotas add up, are never exceeded, and within each of them the best are kept."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.instructions.quotas import KEPT, Level, allocate, choose

SUPPLY = st.lists(st.tuples(st.integers(0, 40), st.floats(0, 10)), min_size=1, max_size=8)


@given(SUPPLY, st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_what_is_allocated_adds_up_and_no_kind_gets_more_than_it_has(kinds: list[tuple[int, float]], total: int):
    supply, weights = np.array([count for count, _ in kinds]), np.array([weight for _, weight in kinds])
    given_ = allocate(total, weights, supply)
    assert given_.sum() == min(total, supply.sum())
    assert ((given_ >= 0) & (given_ <= supply)).all()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_with_enough_of_everything_each_kind_gets_its_share_to_within_one(weights: list[int], total: int):
    shares = np.array(weights, dtype=np.float64)
    given_ = allocate(total, shares, np.full(len(weights), 1000))
    assert (np.abs(given_ - total * shares / shares.sum()) < 1).all()


def test_what_a_scarce_kind_cannot_fill_goes_to_the_others_by_their_weights():
    assert allocate(100, np.array([0.5, 0.25, 0.25]), np.array([10, 500, 500])).tolist() == [10, 45, 45]
    assert allocate(30, np.array([1.0, 0.0]), np.array([10, 500])).tolist() == [10, 20]


@st.composite
def _rows(draw: st.DrawFn) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    size = draw(st.integers(1, 40))
    labels = [np.array(draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))) for _ in range(2)]
    rank = np.array(draw(st.permutations(range(size))))
    return draw(st.integers(0, 45)), rank, labels[0], labels[1]


def _levels(first: np.ndarray, second: np.ndarray) -> list[Level]:
    even = lambda kinds, counts: np.ones(len(kinds))  # noqa: E731
    return [Level("first_quota", first, even), Level("second_quota", second, even)]


@given(_rows())
@settings(max_examples=40, deadline=None)
def test_exactly_the_number_wanted_is_kept_the_best_of_each_kind_and_whatever_their_order(rows):
    total, rank, first, second = rows
    decided = choose(total, rank, _levels(first, second), "low_score")
    kept = decided == KEPT
    assert kept.sum() == min(total, len(rank))
    for kind in set(zip(first.tolist(), second.tolist(), strict=True)):
        here = (first == kind[0]) & (second == kind[1])
        assert not kept[here].any() or kept[here].all() or rank[here & kept].max() < rank[here & ~kept].min()
    quotas = allocate(total, np.ones(len(set(first.tolist()))), np.unique(first, return_counts=True)[1])
    assert [int(kept[first == kind].sum()) for kind in np.unique(first)] == quotas.tolist()
    other = np.random.default_rng(0).permutation(len(rank))
    assert (choose(total, rank[other], _levels(first[other], second[other]), "low_score") == decided[other]).all()


def test_a_row_is_dropped_under_the_first_level_that_has_no_room_for_it():
    """Six rows of two kinds, four wanted: each kind gets two, so the third best goes to make room for the fifth."""
    kinds = np.array([0, 0, 0, 0, 1, 1])
    levels = [Level("kind_quota", kinds, lambda kinds, counts: np.ones(len(kinds)))]
    decided = choose(4, np.arange(6), levels, "low_score")
    assert decided.tolist() == [KEPT, KEPT, "kind_quota", "kind_quota", KEPT, KEPT]
    assert choose(2, np.arange(6), levels, "low_score").tolist() == [
        KEPT,
        "kind_quota",
        "low_score",
        "low_score",
        KEPT,
        "low_score",
    ]
