"""Where to put a threshold: for the same share of documents, or for what can be caught within a budget of good text."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Figures = NDArray[np.float64]
SLACK = 0.01
"""Share of the damaged text by which the catch may miss the best that the budget allows."""


def same_share(figures: Figures, dropped: NDArray[np.bool_], below: bool) -> float:
    """The threshold, to two digits, that drops as many documents as `dropped` has: quantile matching.

    Args:
        figures: our measure of every document, shape (documents,).
        dropped: the other side's decisions.
        below: whether the rule drops what is below the threshold rather than above.
    """
    share = float(dropped.mean())
    return float(f"{np.quantile(figures, share if below else 1 - share):.2g}")


def best_agreement(figures: Figures, dropped: NDArray[np.bool_], below: bool) -> float:
    """The share of documents on which the best of all thresholds agrees with `dropped`."""
    _, place = np.unique(figures, return_inverse=True)
    drops, keeps = (np.bincount(place[mask], minlength=place.max() + 1) for mask in (dropped, ~dropped))
    smaller, larger = (drops, keeps) if below else (keeps, drops)
    agree = np.concatenate([[0], np.cumsum(smaller)]) + np.concatenate([np.cumsum(larger[::-1])[::-1], [0]])
    return float(agree.max() / len(figures))


def affordable(value: float, good: Mapping[str, Figures], budget: Mapping[str, float], below: bool) -> float:
    """The value itself where it costs no more good text than the budget, else the strictest that does, to two digits."""
    limit = _limit(good, budget, below)
    within = value <= limit if below else value >= limit
    return value if within else _rounded(limit, limit, -math.inf if below else math.inf)


def within_budget(
    before: float, damaged: Figures, good: Mapping[str, Figures], budget: Mapping[str, float], below: bool
) -> float | None:
    """The threshold nearest to `before`, to two digits, that costs no more good text than the budget.

    It catches as much of the damaged text as any that costs no more; None when that is nothing.
    """
    sign = 1.0 if below else -1.0
    bad = np.sort(sign * damaged)
    strict = sign * _limit(good, budget, below)
    caught = int(np.searchsorted(bad, strict, side="left"))
    if caught == 0:
        return None
    needed = max(1, math.ceil(caught - SLACK * bad.size))
    loose = float(np.nextafter(bad[needed - 1], math.inf))
    wanted = min(max(sign * before, loose), strict)
    return before if wanted == sign * before else _rounded(sign * wanted, sign * loose, sign * strict)


def _limit(good: Mapping[str, Figures], budget: Mapping[str, float], below: bool) -> float:
    """The strictest threshold within the budget of every kind of good text."""
    sign = 1.0 if below else -1.0
    return sign * min(float(np.sort(sign * figures)[int(budget[kind] * figures.size)]) for kind, figures in good.items())


def _rounded(value: float, *ends: float) -> float:
    """The value to two digits, or more where two lie outside the range."""
    low, high = min(ends), max(ends)
    for digits in range(2, 8):
        step = 10.0 ** (math.floor(math.log10(abs(value) or 1)) - digits + 1)
        for candidate in (round(value / step) * step, math.floor(value / step) * step, math.ceil(value / step) * step):
            if low <= candidate <= high:
                return float(f"{candidate:.{digits}g}")
    return value
