"""CoBa: task weights from how fast each task's validation loss falls (Gong et al. 2024, "CoBa: Convergence Balancer for
Multitask Finetuning of Large Language Models").

Pure functions in float64. Of N tasks, each measured loss is divided by the task's first one; the slope of a task is that of
an ordinary least squares line through its last measurements. Rows are measurements, the newest last; columns are tasks.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lifecycle.recipe.base import Section
from lifecycle.recipe.fine_tuning import Coba

Values = NDArray[np.float64]


class CobaState(Section):
    """What the weights follow from; part of a checkpoint, so that a continued run has the same ones."""

    step: int
    """Of the last measurement."""
    first: tuple[float, ...]
    """Validation loss of each task before the first step."""
    losses: tuple[tuple[float, ...], ...]
    """The last measurements."""
    slopes: tuple[tuple[float, ...], ...]
    """The last slopes, measured after the warm-up."""
    weights: tuple[float, ...]
    """Of each task, until the next measurement."""


def advance(state: CobaState | None, config: Coba, step: int, losses: Sequence[float]) -> CobaState:
    """The state after one more measurement, which was made after `step` steps.

    Until `config.warmup` steps, and until there are two measurements, all tasks weigh 1/N.
    """
    measured = (*(state.losses if state else ()), tuple(losses))[-config.history :]
    first = state.first if state else measured[0]
    slopes = state.slopes if state else ()
    found = np.full(len(losses), 1 / len(losses))
    if step >= config.warmup and len(measured) > 1:
        newest = tuple(slope(np.array(measured) / np.array(first)).tolist())
        slopes = (*slopes, newest)[-config.history :]
        found = weights(np.array(slopes), config.temperature)
    return CobaState(step=step, first=first, losses=measured, slopes=slopes, weights=tuple(found.tolist()))


def weights(slopes: ArrayLike, temperature: float) -> Values:
    """Task weights [N] = softmax_i(N·(DF·RCS_i + (1 - DF)·ACS_i)), none below 1/(10N).

    Args:
        slopes: of every task, at all measurements that count [n, N].
    """
    slopes = np.asarray(slopes, dtype=np.float64)
    tasks = slopes.shape[1]
    factor = divergence_factor(slopes, temperature)
    mixed = factor * relative_convergence(slopes[-1]) + (1 - factor) * absolute_convergence(slopes)
    return np.maximum(_softmax(tasks * mixed), 1 / (10 * tasks))


def slope(ratios: ArrayLike) -> Values:
    """Slope of the least squares line through each column of [n, N], per measurement; n is at least 2."""
    ratios = np.asarray(ratios, dtype=np.float64)
    place = np.arange(len(ratios)) - (len(ratios) - 1) / 2
    return place @ (ratios - ratios.mean(axis=0)) / (place @ place)


def relative_convergence(slopes: ArrayLike) -> Values:
    """RCS_i = softmax_i(N·α_i / Σ_j|α_j|) of the newest slopes [N]: more for tasks that converge slower than others."""
    slopes = np.asarray(slopes, dtype=np.float64)
    return _softmax(_normalized(slopes, len(slopes)))


def absolute_convergence(slopes: ArrayLike) -> Values:
    """ACS_i = softmax_i(-n·α_i(t) / Σ_s|α_i(s)|) over the history of slopes [n, N]: less for tasks that begin to diverge."""
    slopes = np.asarray(slopes, dtype=np.float64)
    return _softmax(-_normalized(slopes, len(slopes))[-1])


def divergence_factor(slopes: ArrayLike, temperature: float) -> float:
    """DF = min(1, n·softmax_s(-τ·n·α_max(s) / Σ_s|α_max(s)|) at the last s), over the history of slopes [n, N].

    α_max is the slope of the task that converges worst. DF is 1 while that slope stays what it was, and falls towards 0
    when it rises. The paper bounds it by 1; its authors' code does not.
    """
    worst = np.asarray(slopes, dtype=np.float64).max(axis=1)
    share = _softmax(-temperature * _normalized(worst, len(worst)))[-1]
    return min(1.0, float(len(worst) * share))


def _normalized(values: Values, count: int) -> Values:
    """count·value / Σ|value| along the first axis; 0 where all are 0, as for tasks that do not move."""
    total = np.abs(values).sum(axis=0)
    return count * values / np.where(total > 0, total, 1.0)


def _softmax(values: Values) -> Values:
    powers = np.exp(values - values.max())
    return powers / powers.sum()
