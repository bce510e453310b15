"""CoBa's weights: a worked example, and what must hold for any curves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lifecycle.recipe.fine_tuning import Coba
from lifecycle.training import coba
from lifecycle.training.checkpoints import Progress

CURVES = ((2.0, 4.0), (1.8, 3.9), (1.6, 3.8), (1.4, 4.4))
"""Validation losses of two tasks: the first falls by a tenth of its first value each time, the second turns up last."""

SLOPES = [(-0.1, -0.025), (-0.1, -0.025), (-0.1, 0.0275)]
"""Over the first values 2 and 4 the curves are 1, 0.9, 0.8, 0.7 and 1, 0.975, 0.95, 1.1.

Through two and three points of a straight line the slope is its own. Through the second task's four points, with the places
-1.5, -0.5, 0.5, 1.5 around their mean and the deviations -0.00625, -0.03125, -0.05625, 0.09375 from the mean of 1.00625:

    (1.5 x 0.00625 + 0.5 x 0.03125 - 0.5 x 0.05625 + 1.5 x 0.09375) / (2.25 + 0.25 + 0.25 + 2.25)
    = (0.009375 + 0.015625 - 0.028125 + 0.140625) / 5 = 0.1375 / 5 = 0.0275
"""

WEIGHTS = [(0.5, 0.5), (0.254624, 0.745376), (0.254624, 0.745376), (0.824834, 0.175166)]
"""After the measurements 0 to 3, without warm-up and with tau = 5.

0: there is no slope yet, both weigh 1/2.
1: RCS = softmax(2 x -0.1/0.125, 2 x -0.025/0.125) = softmax(-1.6, -0.4) = (0.231475, 0.768525).
   With one slope DF = 1, so the weights are softmax(2 RCS) = 1 / (1 + e^(2 x 0.537050)) = 0.254624 and the rest.
2: the same slopes again: RCS as before; the worst slopes -0.025, -0.025 are equal, DF = 2 x 1/2 = 1. Same weights.
3: RCS = softmax(2 x -0.1/0.1275, 2 x 0.0275/0.1275) = softmax(-1.568627, 0.431373) = (0.119203, 0.880797).
   ACS = softmax(-3 x -0.1/0.3, -3 x 0.0275/0.0775) = softmax(1, -1.064516) = (0.887406, 0.112594).
   DF: the worst slopes are -0.025, -0.025, 0.0275, in sum 0.0775 without signs; the exponents -5 x 3 x slope / 0.0775 are
   4.838710, 4.838710, -5.322581; the last one's share is e^-10.161290 / (2 + e^-10.161290) = 0.0000193183, times 3 is
   DF = 0.0000579550: the second task has turned, and absolute convergence decides.
   Mixed, 0.887406 - 0.768203 DF = 0.887362 and 0.112594 + 0.768203 DF = 0.112638;
   softmax(2 x 0.887362, 2 x 0.112638) = 1 / (1 + e^(-2 x 0.774723)) = 0.824834.
"""


def states(config: Coba, curves: object = CURVES, every: int = 1) -> list[coba.CobaState]:
    found: list[coba.CobaState] = []
    for number, losses in enumerate(np.asarray(curves).tolist()):
        found.append(coba.advance(found[-1] if found else None, config, number * every, losses))
    return found


def test_the_worked_example() -> None:
    found = states(Coba(warmup=0))
    np.testing.assert_allclose(found[-1].slopes, SLOPES, rtol=1e-12)
    np.testing.assert_allclose([state.weights for state in found], WEIGHTS, atol=1e-6)
    np.testing.assert_allclose(coba.relative_convergence(SLOPES[-1]), [0.119203, 0.880797], atol=1e-6)
    np.testing.assert_allclose(coba.absolute_convergence(SLOPES), [0.887406, 0.112594], atol=1e-6)
    assert coba.divergence_factor(SLOPES, 5.0) == pytest.approx(5.79550e-5, rel=1e-5)


def test_the_divergence_factor_is_bounded_by_one() -> None:
    """The worst slope falls: unbounded, as in the authors' code, it would be 3 x e^7.5 / (e^7.5 + 2 e^3.75) = 2.87."""
    assert coba.divergence_factor([[-0.1], [-0.1], [-0.2]], 5.0) == 1.0


def test_during_the_warm_up_all_tasks_weigh_the_same() -> None:
    found = states(Coba(warmup=3))
    assert [state.weights for state in found[:3]] == [(0.5, 0.5)] * 3
    assert len(found[2].slopes) == 0
    assert len(found[3].slopes) == 1
    assert found[3].weights != (0.5, 0.5)


def test_only_the_last_measurements_count_but_for_the_first_losses() -> None:
    found = states(Coba(warmup=0, history=2), [(9.0, 9.0), *CURVES])
    assert found[-1].first == (9.0, 9.0)
    assert found[-1].losses == CURVES[-2:]
    np.testing.assert_allclose(found[-1].slopes[-1], [-0.2 / 9, 0.6 / 9], rtol=1e-12)
    assert len(found[-1].slopes) == 2


def test_a_checkpoint_gives_the_state_back_bit_for_bit() -> None:
    state = states(Coba(warmup=0), [(1 / 3, 0.1), (0.2 / 7, 0.3 / 11), (1e-17, 7e5)])[-1]
    assert Progress.model_validate_json(Progress(coba=state).model_dump_json()).coba == state


curves = st.integers(1, 6).flatmap(
    lambda tasks: st.lists(st.lists(st.floats(0.01, 50), min_size=tasks, max_size=tasks), min_size=2, max_size=12).map(
        lambda rows: np.array(rows)
    )
)


@settings(deadline=None)
@given(curves, st.floats(0.1, 20))
def test_weights_are_a_floored_distribution_for_any_curves(losses: NDArray[np.float64], temperature: float) -> None:
    found = states(Coba(warmup=0, history=8, temperature=temperature), losses)[-1]
    tasks = losses.shape[1]
    assert min(found.weights) >= 1 / (10 * tasks)
    assert 1 - 1e-9 <= sum(found.weights) <= 1 + tasks / (10 * tasks) + 1e-9, "one, and what the floor adds"
    assert 0 <= coba.divergence_factor(found.slopes, temperature) <= 1


@settings(deadline=None)
@given(curves)
def test_neither_names_nor_units_matter(losses: NDArray[np.float64]) -> None:
    """Tasks in another order, and a task's losses in another unit (bits), give the same weights."""
    order = np.arange(losses.shape[1])[::-1]
    plain = np.array(states(Coba(warmup=0), losses)[-1].weights)
    other = np.array(states(Coba(warmup=0), losses[:, order] * np.log2(np.e))[-1].weights)
    np.testing.assert_allclose(other, plain[order], rtol=1e-6)


def test_tasks_that_do_not_move_weigh_the_same() -> None:
    assert states(Coba(warmup=0), [(1.0, 2.0)] * 4)[-1].weights == (0.5, 0.5)
