"""From the shares of an evaluation's processes to its figures. How many shares there are changes nothing but rounding."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lifecycle.evaluation.results import AnswerSummary, Metric, Results, TaskResult
from lifecycle.evaluation.shares import AnswerRow, PairMargins, Sample, Share
from lifecycle.evaluation.statistics import BOOTSTRAP_SAMPLES, Z95, HeldoutRewards, mean_interval, wilson_interval
from lifecycle.portions import interleaved

LOWER_IS_BETTER = ("bits_per_byte",)
SHARES = ("acc", "exact_match")
"""Metrics that are a share of the items: their interval is Wilson's."""


def merge(model: str, shares: Sequence[Share], seed: int) -> Results:
    """The figures of the model called `model`; `seed` draws the shuffled pairs, a control of the reward accuracy."""
    samples, answers = all_samples(shares), all_answers(shares)
    first = shares[0]
    by_task: dict[str, list[Sample]] = {}
    for sample in samples:
        by_task.setdefault(sample.task, []).append(sample)
    return Results(
        model=model,
        parameters=first.parameters,
        tasks={task: task_result(found) for task, found in by_task.items()},
        missing=first.missing,
        answers=_answer_summary(answers) if answers else None,
        preferences=_rewards([share.pairs for share in shares if share.pairs], seed) if first.pairs else None,
    )


def all_samples(shares: Sequence[Share]) -> list[Sample]:
    """Those of all shares, task by task as the first share has them (it has the first item of each), in the items' order."""
    order = {task: number for number, task in enumerate(dict.fromkeys(sample.task for sample in shares[0].samples))}
    samples = [sample for share in shares for sample in share.samples]
    return sorted(samples, key=lambda sample: (order[sample.task], sample.index))


def all_answers(shares: Sequence[Share]) -> list[AnswerRow]:
    """The greedy answers in the order of the prompts."""
    return interleaved([share.answers for share in shares])


def task_result(samples: Sequence[Sample]) -> TaskResult:
    """The figures of one task, aggregated as lm-eval does, with our intervals."""
    from lm_eval.api import metrics

    name = samples[0].metric
    values: Any = [sample.value for sample in samples]
    if name == "bits_per_byte":
        found = Metric(value=metrics.bits_per_byte(values), higher_is_better=False, interval=_bits_interval(values))
    else:
        value = float(metrics.mean(values))
        stderr = float(metrics.mean_stderr(values)) if len(values) > 1 else None
        interval = None if stderr is None else (value - Z95 * stderr, value + Z95 * stderr)
        if name in SHARES:
            interval = wilson_interval(round(value * len(values)), len(values))
        found = Metric(value=value, higher_is_better=name not in LOWER_IS_BETTER, stderr=stderr, interval=interval)
    return TaskResult(n=len(samples), metrics={name: found}, chance=_chance(samples))


def _chance(samples: Sequence[Sample]) -> float | None:
    """Expected accuracy of a guess: the mean of 1 / choices, where the items have choices."""
    choices = [sample.choices for sample in samples if sample.choices]
    return float(np.mean([1 / count for count in choices])) if choices and len(choices) == len(samples) else None


def _bits_interval(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Bootstrap over documents of total bits over total bytes; `pairs` are (log-likelihood in nats, bytes)."""
    array = np.asarray(pairs, dtype=np.float64)
    generator = np.random.default_rng(0)
    ratios = []
    for _ in range(BOOTSTRAP_SAMPLES // 10):
        drawn = array[generator.integers(0, len(array), len(array))].sum(0)
        ratios.append(-drawn[0] / drawn[1] / math.log(2))
    low, high = np.percentile(ratios, [2.5, 97.5])
    return (float(low), float(high))


def _answer_summary(rows: Sequence[AnswerRow]) -> AnswerSummary:
    scores = [row.score for row in rows]
    return AnswerSummary(
        n=len(rows),
        score=sum(scores) / len(rows),
        interval=mean_interval(scores),
        finished=sum(row.finished for row in rows) / len(rows),
        mean_tokens=sum(row.tokens for row in rows) / len(rows),
    )


def _rewards(pairs: Sequence[PairMargins], seed: int) -> HeldoutRewards:
    """Reward accuracy beside its controls."""
    import torch

    from lifecycle.evaluation.controls import shuffled
    from lifecycle.preferences.logps import preferred

    margins = np.asarray(interleaved([share.margins for share in pairs]), dtype=np.float64)
    controls = {"shuffled": shuffled(margins, seed), "length_only": pairs[0].length_only}
    return preferred(torch.from_numpy(margins)).model_copy(update={"too_long": pairs[0].too_long, **controls})
