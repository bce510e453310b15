"""Intervals against values computed elsewhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.evaluation.statistics import mean_interval, wilson_interval, win_rate


def test_wilson_against_published_values():
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 15 of 148 gives 0.0624 to 0.1605; 0 of 20 to 0.1611."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share(counts: tuple[int, int]):
    successes, n = counts
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n + 1e-12
    assert successes / n - 1e-12 <= high <= 1


def test_rounding_leaves_no_share_outside_of_its_interval():
    """0 of 3 lay below its own interval, by 6e-17."""
    for n in range(1, 200):
        assert (wilson_interval(0, n)[0], wilson_interval(n, n)[1]) == (0, 1)


def test_win_rate_counts_a_tie_as_half():
    result = win_rate([1.0, 0.5, 0.2, 0.7], [0.5, 0.5, 0.9, 0.1])
    assert (result.wins, result.ties, result.losses, result.n) == (2, 1, 1, 4)
    assert result.rate == 0.625


def test_bootstrap_interval_agrees_with_the_normal_approximation():
    """200 prompts, 120 wins: .6 +- 1.96 * sqrt(.6 * .4 / 200)."""
    ours = [1.0] * 120 + [0.0] * 80
    result = win_rate(ours, [0.5] * 200)
    half = 1.96 * np.sqrt(0.6 * 0.4 / 200)
    assert result.interval == pytest.approx((0.6 - half, 0.6 + half), abs=0.0075)
    assert result == win_rate(ours, [0.5] * 200)


def test_win_rate_of_equal_models_is_half_with_a_point_interval():
    assert win_rate([0.3, 0.4], [0.3, 0.4]).interval == (0.5, 0.5)


def test_twenty_wins_of_twenty_are_no_certainty():
    """Resamples of twenty wins are twenty wins: the bootstrap gave a rate of 1 without any doubt."""
    assert win_rate([1.0] * 20, [0.0] * 20).interval == wilson_interval(20, 20)
    assert win_rate([0.0] * 20, [1.0] * 20).interval == wilson_interval(0, 20)


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0])])
def test_win_rate_refuses_lists_that_do_not_pair(ours, theirs):
    with pytest.raises(ValueError, match="same prompts"):
        win_rate(ours, theirs)


def test_mean_interval():
    assert mean_interval([1.0, 1.0, 1.0]) == (1.0, 1.0)
    assert mean_interval([0.0, 1.0]) == pytest.approx((0.5 - 1.96 * 0.5, 0.5 + 1.96 * 0.5), abs=1e-3)
