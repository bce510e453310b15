"""Controls of the reward accuracy: what knows nothing must be worth nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.evaluation.controls import length_only, shuffled


@given(seed=st.integers(0, 2**31), perfect=st.booleans())
def test_shuffled_pairs_stay_at_a_half_whatever_was_learnt(seed: int, perfect: bool):
    """2,000 pairs, of which the model gets all or half right: five standard errors are 0.056."""
    margins = np.ones(2000) if perfect else np.random.default_rng(7).normal(size=2000)
    control = shuffled(margins, seed)
    assert abs(control.accuracy - 0.5) < 0.056
    assert control.interval[0] < control.accuracy < control.interval[1]
    assert control == shuffled(margins, seed)


def test_length_alone_is_as_good_as_the_lengths_are():
    """The direction is learnt from the training pairs; equal lengths count as half."""
    longer, shorter, same = (9, 3), (3, 9), (5, 5)
    assert length_only([longer, longer, shorter], [longer, longer, longer, shorter]).accuracy == 0.75
    assert length_only([shorter, shorter, longer], [longer, longer, longer, shorter]).accuracy == 0.25
    assert length_only([longer], [same, same, longer, shorter]).accuracy == 0.5


def test_no_pairs_give_no_certainty():
    for control in (shuffled(np.zeros(0), 0), length_only([], [])):
        assert (control.pairs, control.interval) == (0, (0.0, 1.0))


def test_a_model_without_an_opinion_is_at_a_half():
    assert shuffled(np.zeros(10), 3).accuracy == pytest.approx(0.5)
