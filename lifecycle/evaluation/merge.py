"""From the shares of an evaluation's processes to its figures. How many shares there are changes nothing but rounding."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lifecycle.evaluation.kept import together
from lifecycle.evaluation.results import AnswerSummary, Metric, Results, TaskResult
from lifecycle.evaluation.shares import AnswerRow, MetricRule, PairMargins, Sample, Share, TaskShare
from lifecycle.evaluation.statistics import BOOTSTRAP_SAMPLES, Z95, HeldoutRewards, mean_interval, wilson_interval
from lifecycle.portions import interleaved

FEW_RESAMPLES = 200
"""For aggregations that go through every item in Python."""


def merge(model: str, shares: Sequence[Share], seed: int) -> Results:
    """The figures of the model called `model`; `seed` draws the shuffled pairs, a control of the reward accuracy."""
    answers = all_answers(shares)
    first = shares[0]
    by_task: dict[str, list[TaskShare]] = {}
    for share in all_tasks(shares):
        by_task.setdefault(share.task, []).append(share)
    return Results(
        model=model,
        parameters=first.parameters,
        tasks={task: task_result(parts) for task, parts in by_task.items()},
        missing=first.missing,
        answers=_answer_summary(answers) if answers else None,
        preferences=_rewards([share.pairs for share in shares if share.pairs], seed) if first.pairs else None,
    )


def all_tasks(shares: Sequence[Share]) -> list[TaskShare]:
    """The tasks in the recipe's order, each with the samples of all processes in the items' order."""
    return [together(parts) for parts in zip(*(share.tasks for share in shares), strict=True)]


def all_answers(shares: Sequence[Share]) -> list[AnswerRow]:
    """The greedy answers in the order of the prompts."""
    return interleaved([share.answers for share in shares])


def task_result(parts: Sequence[TaskShare]) -> TaskResult:
    """The figures of one task, aggregated as lm-eval does, with our intervals; of a group over all its items."""
    samples = [sample for part in parts for sample in part.samples]
    rules = [rule for rule in parts[0].rules if all(rule in part.rules for part in parts)]
    measured = {rule.name: [sample.values[rule.name] for sample in samples if rule.name in sample.values] for rule in rules}
    rules.sort(key=lambda rule: rule.name != parts[0].shown)  # the one to show first, the others as they were
    metrics = {rule.name: _metric(rule, measured[rule.name]) for rule in rules if measured[rule.name]}
    shown = next(iter(metrics), None)
    stated = parts[0].chance
    return TaskResult(
        n=len(samples),
        metrics=metrics,
        shown=shown,
        chance=stated if stated is not None else _chance(samples) if (shown or "").startswith("acc") else None,
        truncated=sum(sample.truncated for sample in samples),
    )


def _metric(rule: MetricRule, values: list[Any]) -> Metric:
    import lm_eval.api.metrics  # noqa: F401 - fills the registry
    from lm_eval.api.registry import AGGREGATION_REGISTRY

    aggregate: Callable[[Any], Any] = AGGREGATION_REGISTRY[rule.aggregation]
    value = float(aggregate(values))
    if rule.aggregation == "mean":
        stderr, interval = _of_mean(values)
    elif rule.aggregation == "bits_per_byte":
        stderr, interval = _spread(_bits(values))
    else:
        stderr, interval = _spread(_resampled(aggregate, values))
    return Metric(value=value, higher_is_better=rule.higher_is_better, stderr=stderr, interval=interval)


def _of_mean(values: list[Any]) -> tuple[float | None, tuple[float, float] | None]:
    """Wilson's interval where every item is right or wrong, else the normal one."""
    from lm_eval.api.metrics import mean_stderr

    count, value = len(values), float(np.mean(values))
    stderr = float(mean_stderr(values)) if count > 1 else None
    if all(each in (0, 1) for each in values):
        return stderr, wilson_interval(round(value * count), count)
    return stderr, None if stderr is None else (value - Z95 * stderr, value + Z95 * stderr)


def _chance(samples: Sequence[Sample]) -> float | None:
    """Expected accuracy of a guess: the mean of 1 / choices, where the items have choices."""
    choices = [len(sample.choices) for sample in samples if sample.choices]
    return float(np.mean([1 / count for count in choices])) if choices and len(choices) == len(samples) else None


def _spread(drawn: list[float]) -> tuple[float | None, tuple[float, float] | None]:
    """Standard error and 95 % percentile interval of a figure over resamples of the items (Efron 1979)."""
    if not drawn:
        return None, None
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(np.std(drawn, ddof=1)), (float(low), float(high))


def _bits(pairs: list[Any]) -> list[float]:
    """Total bits over total bytes of resamples of the items; `pairs` are (log-likelihood in nats, bytes)."""
    array = np.asarray(pairs, dtype=np.float64)
    generator = np.random.default_rng(0)
    ratios = []
    for _ in range(BOOTSTRAP_SAMPLES // 10):
        drawn = array[generator.integers(0, len(array), len(array))].sum(0)
        ratios.append(-drawn[0] / drawn[1] / math.log(2))
    return ratios


def _resampled(aggregate: Callable[[Any], Any], values: list[Any]) -> list[float]:
    generator = np.random.default_rng(0)
    drawn = (generator.integers(0, len(values), len(values)) for _ in range(FEW_RESAMPLES))
    return [float(aggregate([values[index] for index in each])) for each in drawn] if len(values) > 1 else []


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
    """Reward accuracy, over all pairs and by their source, beside its controls."""
    import torch

    from lifecycle.evaluation.controls import shuffled
    from lifecycle.preferences.logps import preferred

    margins = np.asarray(interleaved([share.margins for share in pairs]), dtype=np.float64)
    sources = np.asarray(interleaved([share.sources for share in pairs]))
    names = np.unique(sources).tolist() if len(set(sources)) > 1 else []
    by_source = {name: preferred(torch.from_numpy(margins[sources == name])).over_pairs() for name in names}
    controls = {"shuffled": shuffled(margins, seed), "length_only": pairs[0].length_only}
    beside = {"too_long": pairs[0].too_long, "by_source": by_source, **controls}
    return preferred(torch.from_numpy(margins)).model_copy(update=beside)
