"""Rates over answers of which several belong to one question, with intervals that know it."""

from collections.abc import Sequence

import numpy as np

from lifecycle.evaluation.results import Metric
from lifecycle.evaluation.statistics import error_of, mean_interval, wilson_interval


def rate(flags: Sequence[bool], questions: Sequence[str], higher_is_better: bool = False) -> Metric:
    """The share of true `flags`; its 95 % interval is Wilson's at the effective number of answers.

    Answers to one question are alike. So many independent ones would give the variance that the shares of the questions
    have (Korn and Graubard 1998); never more than there are, never fewer than there are questions, and these where nothing
    varies. `stderr` is the half width of that interval over 1.96: not 0 where no answer, or every one, has the fault.

    Args:
        questions: whose answer each flag is; one answer to each makes it Wilson's interval as it is.
    """
    values = np.asarray(flags, dtype=np.float64)
    if not len(values):
        raise ValueError("a rate needs an answer at least")
    share, effective = float(values.mean()), _effective(values, questions)
    interval = wilson_interval(share * effective, effective)
    return Metric(value=share, higher_is_better=higher_is_better, stderr=error_of(interval), interval=interval)


def mean(values: Sequence[float], questions: Sequence[str], higher_is_better: bool) -> Metric:
    """The mean of the questions' means, with a 95 % interval from their spread; that of shares stays within 0 and 1."""
    means = _means(np.asarray(values, dtype=np.float64), questions)
    found = _mean(means, higher_is_better)
    if found.interval is None or means.min() < 0 or means.max() > 1:
        return found
    low, high = found.interval
    return found.model_copy(update={"interval": (max(low, 0.0), min(high, 1.0))})


def change(first: Sequence[float], last: Sequence[float]) -> Metric:
    """The mean of `last` less `first`, pair by pair: lower is better."""
    return _mean(np.asarray(last, dtype=np.float64) - np.asarray(first, dtype=np.float64), higher_is_better=False)


def spread(values: Sequence[float]) -> Metric:
    """The standard deviation of one figure over seeds; `stderr` is that of a normal sample's, s / sqrt(2 (n - 1))."""
    deviation = float(np.std(values, ddof=1))
    stderr = deviation / float(np.sqrt(2 * (len(values) - 1)))
    return Metric(value=deviation, higher_is_better=False, stderr=stderr)


def _mean(values: np.ndarray, higher_is_better: bool) -> Metric:
    stderr = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    interval = mean_interval(values.tolist()) if len(values) > 1 else None
    return Metric(value=float(values.mean()), higher_is_better=higher_is_better, stderr=stderr, interval=interval)


def _means(values: np.ndarray, questions: Sequence[str]) -> np.ndarray:
    _, places = np.unique(np.asarray(questions), return_inverse=True)
    return np.bincount(places, values) / np.bincount(places)


def _effective(values: np.ndarray, questions: Sequence[str]) -> int:
    means = _means(values, questions)
    if len(means) == len(values):
        return len(values)
    share = values.mean()
    between = means.var(ddof=1) / len(means) if len(means) > 1 else 0.0
    if not between:
        return len(values) if 0 < share < 1 and len(means) > 1 else len(means)
    return int(np.clip(share * (1 - share) / between, len(means), len(values)))
