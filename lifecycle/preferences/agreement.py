"""How far judges agree: over every two answers to one prompt, which of them each judge prefers."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from lifecycle.evaluation.statistics import BOOTSTRAP_SAMPLES
from lifecycle.preferences.asked import Judgement, Scores
from lifecycle.recipe.base import Section

TOLERANCE = 1e-9
"""Scores closer than this are a tie."""
SIDES = 3
RESAMPLES = BOOTSTRAP_SAMPLES // 10


class Agreement(Section):
    """Of two judges, over all comparisons for which both have a verdict."""

    judges: tuple[str, str]
    comparisons: int
    agreed: float
    """Share with the same verdict: first, second, or a tie."""
    interval: tuple[float, float]
    """95 % of `agreed` by bootstrap over prompts: comparisons of one prompt are not independent."""
    kappa: float | None
    """Cohen (1960): agreement beyond chance, 0 where it is chance alone; None where a judge has one verdict only."""


def agreements(judgements: Sequence[Judgement], seed: int = 0) -> list[Agreement]:
    """Of every two judges that have a comparison in common, in the order of the judges."""
    verdicts = {each.judge: _verdicts(each.scores) for each in judgements}
    found = []
    for one, other in combinations(verdicts, 2):
        tables = [_table(left, right) for left, right in zip(verdicts[one], verdicts[other], strict=True)]
        by_prompt = np.array(tables, dtype=np.int64).reshape(-1, SIDES, SIDES)
        by_prompt = by_prompt[by_prompt.sum((1, 2)) > 0]
        if len(by_prompt):
            found.append(_agreement((one, other), by_prompt, seed))
    return found


def _verdicts(scores: Scores) -> list[dict[tuple[int, int], int]]:
    """For each prompt the verdicts on its comparisons: 0 the first, 1 a tie, 2 the second; none where a score is missing."""
    found: list[dict[tuple[int, int], int]] = []
    for row in scores:
        verdicts = {}
        for (i, first), (j, second) in combinations(enumerate(row), 2):
            if first is not None and second is not None:
                verdicts[i, j] = 1 if abs(first - second) <= TOLERANCE else 0 if first > second else 2
        found.append(verdicts)
    return found


def _table(one: dict[tuple[int, int], int], other: dict[tuple[int, int], int]) -> np.ndarray:
    table = np.zeros((SIDES, SIDES), dtype=np.int64)
    for comparison, verdict in one.items():
        if comparison in other:
            table[verdict, other[comparison]] += 1
    return table


def _agreement(judges: tuple[str, str], by_prompt: np.ndarray, seed: int) -> Agreement:
    table = by_prompt.sum(0)
    total = int(table.sum())
    generator = np.random.default_rng(seed)
    agreed, all_of = np.trace(by_prompt, axis1=1, axis2=2), by_prompt.sum((1, 2))
    drawn = generator.integers(0, len(by_prompt), (RESAMPLES, len(by_prompt)))
    shares = agreed[drawn].sum(1) / all_of[drawn].sum(1)
    low, high = np.percentile(shares, [2.5, 97.5])
    observed = float(np.trace(table)) / total
    expected = float((table.sum(0) * table.sum(1)).sum()) / total**2
    return Agreement(
        judges=judges,
        comparisons=total,
        agreed=observed,
        interval=(float(low), float(high)),
        kappa=(observed - expected) / (1 - expected) if expected < 1 - TOLERANCE else None,
    )
