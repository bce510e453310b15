"""Intervals for shares, win rates and means: what a figure is worth at its sample size."""

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from lifecycle.recipe.base import Section

Z95 = 1.959963984540054
BOOTSTRAP_SAMPLES = 10_000


class WinRate(Section):
    """A pairwise comparison: `rate` = (wins + ties / 2) / n, a share like all others, with a 95 % bootstrap interval."""

    n: int
    wins: int
    ties: int
    losses: int
    rate: float
    interval: tuple[float, float]


class PairAccuracy(Section):
    """How often the chosen answer is preferred, over some pairs."""

    pairs: int
    accuracy: float
    interval: tuple[float, float]
    """95 % Wilson interval of `accuracy`."""


class HeldoutRewards(PairAccuracy):
    """How often, and by how much, a model prefers the chosen answer more than its reference does.

    `accuracy` is the share of pairs whose chosen answer has the higher implicit reward; it does not depend on beta.
    """

    margin: float
    """Mean over pairs of (log pi(chosen) - log ref(chosen)) - (log pi(rejected) - log ref(rejected)), in nats."""
    too_long: int = 0
    """Pairs left out because they are longer than the context."""
    by_source: dict[str, PairAccuracy] = Field(default_factory=dict)
    """The same over the pairs of each source; empty where all are of one."""
    shuffled: PairAccuracy | None = None
    """The same margins with each pair turned round by a coin toss."""
    length_only: PairAccuracy | None = None
    """A rule that looks at lengths alone."""

    def over_pairs(self) -> PairAccuracy:
        """The accuracy alone."""
        return PairAccuracy(pairs=self.pairs, accuracy=self.accuracy, interval=self.interval)


def error_of(interval: tuple[float, float]) -> float | None:
    """The standard error that a 95 % interval stands for, half of its width over 1.96; None for a point.

    Of a share that is 0 or 1 the measured error is 0, and that of Wilson's interval is not.
    """
    return (interval[1] - interval[0]) / (2 * Z95) or None


def wilson_interval(successes: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Interval of a binomial share (Wilson 1927); (0, 1) when nothing was observed."""
    if n == 0:
        return (0.0, 1.0)
    share, square = successes / n, z * z
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = z * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    low, high = min(centre - half, share), max(centre + half, share)  # rounding puts the bound of a share of 0 above it
    return (max(0.0, low), min(1.0, high))


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean +- 1.96 standard errors (normal approximation); a point when there are fewer than two values."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return (float(array.mean()), float(array.mean())) if len(array) else (0.0, 0.0)
    half = Z95 * float(array.std(ddof=1)) / math.sqrt(len(array))
    return (float(array.mean()) - half, float(array.mean()) + half)


def win_rate(ours: Sequence[float], theirs: Sequence[float], seed: int = 0, tolerance: float = 1e-9) -> WinRate:
    """Compare two lists of scores on the same prompts; scores within `tolerance` tie.

    The interval is the 2.5 and 97.5 percentile of the rate over `BOOTSTRAP_SAMPLES` resamples of the prompts
    (Efron 1979), from a generator with a fixed seed.

    Raises:
        ValueError: the lists differ in length, or are empty.
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"a win rate needs two lists of scores on the same prompts, got {len(ours)} and {len(theirs)}")
    difference = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    return win_rate_of(np.where(difference > tolerance, 1.0, np.where(difference < -tolerance, 0.0, 0.5)), seed)


def win_rate_of(outcome: np.ndarray, seed: int = 0) -> WinRate:
    """The same of outcomes by prompt, shape (n,): 1 for a win, 0.5 for a tie, 0 for a loss; raises ValueError for none.

    Where one side won every time, resamples are all alike and say nothing of n: the interval is Wilson's.
    """
    if not len(outcome):
        raise ValueError("a win rate needs at least one prompt with an outcome")
    rate = float(outcome.mean())
    decided = rate in (0.0, 1.0)
    return WinRate(
        n=len(outcome),
        wins=int((outcome == 1.0).sum()),
        ties=int((outcome == 0.5).sum()),
        losses=int((outcome == 0.0).sum()),
        rate=rate,
        interval=wilson_interval(float(outcome.sum()), len(outcome)) if decided else bootstrap_interval(outcome, seed),
    )


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean of `values`, shape (n,)."""
    generator = np.random.default_rng(seed)
    means = np.empty(BOOTSTRAP_SAMPLES)
    for begin in range(0, BOOTSTRAP_SAMPLES, 1000):
        means[begin : begin + 1000] = values[generator.integers(0, len(values), (1000, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return (float(low), float(high))
