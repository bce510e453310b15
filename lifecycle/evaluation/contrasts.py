"""The difference of one figure between two models, in standard errors: paired where both answered the same items."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from lifecycle.evaluation.results import ANSWERS, SAMPLES, Metric
from lifecycle.evaluation.statistics import error_of
from lifecycle.recipe.base import Section

ANSWER_COLUMNS = {"answers/reference_score": "score", "answers/finished": "finished"}
"""Figures of the greedy answers, and the column of `answers.parquet` that each is the mean of."""
FEWEST_ITEMS = 20
"""With fewer items in common two models are not paired."""
SAME = 1e-6
"""How far the items' mean may lie from the figure on record: beyond it they are not what the figure was made of."""


class Contrast(Section):
    """One figure of `model` beside that of `compared_to`."""

    metric: str
    model: str
    compared_to: str
    value: float
    other: float
    gain: float
    """The difference, positive where `model` is better."""
    stderr: float | None
    """Of the difference; None where none is known."""
    items: int | None = None
    """Items that both answered, where the difference is paired."""

    @property
    def standard_errors(self) -> float | None:
        """The gain in standard errors; None where none is known."""
        if self.gain == 0:
            return 0.0
        return self.gain / self.stderr if self.stderr else None

    def turned(self) -> "Contrast":
        """The same, seen from the other model."""
        sides = {"model": self.compared_to, "compared_to": self.model, "value": self.other, "other": self.value}
        return self.model_copy(update=sides | {"gain": -self.gain})


@dataclass(frozen=True)
class Items:
    """What one model got for each item of one figure; the figure is the mean of `scores` by `weights`."""

    keys: tuple[Any, ...]
    scores: np.ndarray
    weights: np.ndarray

    def mean(self) -> float:
        """The figure."""
        return float((self.scores * self.weights).sum() / self.weights.sum())


def standard_error(metric: Metric) -> float | None:
    """Half of the 95 % interval over 1.96, else what was measured beside the figure; None where neither is known.

    The interval comes first: it is never 0 where a share happens to be 0 or 1.
    """
    if metric.interval is not None:
        return error_of(metric.interval)
    return metric.stderr


def contrast(
    name: str, model: str, compared_to: str, ours: Metric, theirs: Metric, items: tuple[Items, Items] | None = None
) -> Contrast:
    """Compare one figure of two models.

    Paired over the items that both answered, for a mean weighted by w: the error of Σw(a - b)/Σw is
    √(n/(n-1) Σ(w(a - b - d))²)/Σw, d the difference (delta method; for equal weights the paired t-test's). Otherwise the
    errors of both figures are added in squares.
    """
    sign = 1 if ours.higher_is_better else -1
    errors = [standard_error(ours), standard_error(theirs)]
    known = [error for error in errors if error is not None]
    unpaired = math.hypot(*known) if len(known) == 2 else None
    common = _common(*items) if items else None
    if common is None:
        return Contrast(
            metric=name,
            model=model,
            compared_to=compared_to,
            value=ours.value,
            other=theirs.value,
            gain=sign * (ours.value - theirs.value),
            stderr=unpaired,
        )
    a, b = common
    difference, total, n = a.mean() - b.mean(), a.weights.sum(), len(a.scores)
    spread = a.weights * (a.scores - b.scores - difference)
    stderr = math.sqrt(n / (n - 1) * float((spread**2).sum())) / float(total)
    return Contrast(
        metric=name,
        model=model,
        compared_to=compared_to,
        value=a.mean(),
        other=b.mean(),
        gain=sign * difference,
        stderr=stderr if stderr > SAME * abs(difference) else unpaired,  # all items moved alike: nothing to judge by
        items=n,
    )


def read_items(evaluation: Path, heldout: Path, metrics: Mapping[str, Metric]) -> dict[str, Items]:
    """The items of every figure that is their mean, from the sample-level output of one evaluation.

    Args:
        heldout: the held-out text that was measured; bits per byte weigh each document by its bytes.
    """
    found, sizes = {}, _bytes(heldout)
    rows = [*_samples(evaluation / SAMPLES, metrics), *_answers(evaluation / ANSWERS)]
    for name, keys, scores in rows:
        for weights in (np.ones(len(scores)), sizes):
            items = Items(keys, scores, weights) if len(weights) == len(scores) else None
            if items and name in metrics and math.isclose(items.mean(), metrics[name].value, rel_tol=SAME, abs_tol=SAME):
                found[name] = items
                break
    return found


Rows = tuple[str, tuple[Any, ...], np.ndarray]


def _samples(path: Path, metrics: Iterable[str]) -> Iterator[Rows]:
    """A task's items under the name of each of its figures; whether they are its mean is seen later."""
    if not path.exists():
        return
    import pyarrow.parquet as pq  # `lifecycle plan` needs the gates and no table

    rows: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(path, columns=["task", "prompt", "target", "score"]).to_pylist():
        rows.setdefault(row["task"], []).append(row)
    for task, own in rows.items():
        seen: Counter[tuple[str, str]] = Counter()
        keys = []
        for text in ((row["prompt"], row["target"]) for row in own):
            keys.append((*text, seen[text]))
            seen[text] += 1
        scores = np.asarray([row["score"] for row in own], dtype=np.float64)
        yield from ((name, tuple(keys), scores) for name in metrics if name.partition("/")[0] == task)


def _answers(path: Path) -> Iterator[Rows]:
    if not path.exists():
        return
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    keys = tuple(zip(table["id"].to_pylist(), table["prompt"].to_pylist(), strict=True))
    for name, column in ANSWER_COLUMNS.items():
        if column in table.column_names:
            yield name, keys, np.asarray(table[column].to_pylist(), dtype=np.float64)


def _bytes(heldout: Path) -> np.ndarray:
    path = heldout / "text.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return np.asarray([len(orjson.loads(line)["text"].encode()) for line in lines if line.strip()], dtype=np.float64)


def _common(ours: Items, theirs: Items) -> tuple[Items, Items] | None:
    """Both over the items that both have, in one order; None where these are too few."""
    places = {key: place for place, key in enumerate(theirs.keys)}
    pairs = [(place, places[key]) for place, key in enumerate(ours.keys) if key in places]
    if len(pairs) < FEWEST_ITEMS:
        return None
    one, other = np.asarray(pairs).T
    weights = ours.weights[one]
    keys = tuple(ours.keys[place] for place in one)
    return Items(keys, ours.scores[one], weights), Items(keys, theirs.scores[other], weights)
