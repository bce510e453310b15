"""Each set's contamination with the models' scores on it, and the same scores without its contaminated items."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lifecycle.evaluation.bits import TASK as TEXT
from lifecycle.evaluation.bits import bits_per_byte, measured_texts
from lifecycle.evaluation.contamination import SUMMARY, SetContamination, contaminated_items
from lifecycle.evaluation.health import FILE as HEALTH
from lifecycle.evaluation.measured_items import WIN_RATE, sample_id
from lifecycle.evaluation.rates import mean, rate
from lifecycle.evaluation.results import ANSWERS, SAMPLES, Metric, Results
from lifecycle.evaluation.safety import FILE as SAFETY

Row = tuple[str, float, float]
"""An item's id, its score, and its bytes where they count."""


def contamination_section(directory: Path, evals: Mapping[str, Path], heldout: Path) -> list[dict[str, Any]]:
    """A row for each set: items, contaminated items, share, those by artifact, and `scores` by model, each with the metric,
    its value on all items, and `clean`: the same (`value`, `stderr`, `interval`) on the others, None where none is left.

    Args:
        directory: an artifact of `contamination`.
        evals: artifacts of evaluation by the model's name.
    """
    sets = [SetContamination.model_validate(each) for each in json.loads((directory / SUMMARY).read_text(encoding="utf-8"))]
    hits = contaminated_items(directory)
    scores = {name: _scores(path, heldout) for name, path in evals.items()}
    figures = {name: Results.read(path).metrics() for name, path in evals.items()}
    return [
        {
            **each.model_dump(),
            "share": each.share,
            "scores": {
                name: {"metric": own.metric, "value": figures[name][own.metric].value, "clean": own.without(hits, each.set)}
                for name, found in scores.items()
                if (own := found.get(each.set)) and own.metric in figures[name]
            },
        }
        for each in sets
    ]


class ItemScores:
    """One model's scores on one set: the metric that they make, and the items'."""

    def __init__(self, metric: str, rows: Sequence[Row], higher_is_better: bool) -> None:
        self.metric, self._rows, self._higher = metric, rows, higher_is_better

    def without(self, hits: Mapping[str, set[str]], name: str) -> dict[str, Any] | None:
        """The metric on the items of the set that are not among the hits."""
        rows = [row for row in self._rows if row[0] not in hits.get(name, ())]
        return self._metric(rows).model_dump() if rows else None

    def _metric(self, rows: Sequence[Row]) -> Metric:
        ids, values, _ = zip(*rows, strict=True)
        if set(values) <= {0.0, 1.0}:
            return rate([bool(value) for value in values], ids, self._higher)
        if self.metric.startswith(f"{TEXT}/"):
            return bits_per_byte([(-value * size * math.log(2), size) for _, value, size in rows])
        return mean(values, ids, self._higher)


def _scores(evaluation: Path, heldout: Path) -> dict[str, ItemScores]:
    """The scores of every set that an evaluation has, by the set's name."""
    found: dict[str, ItemScores] = {}
    samples = pq.read_table(evaluation / SAMPLES).to_pylist()
    sizes = {each.number: each.pair(0)[1] for each in measured_texts(heldout, _numbers(samples))}
    for task, result in Results.read(evaluation).tasks.items():
        name = result.shown or next(iter(result.metrics))
        metric = result.metrics[name]
        rows = [
            (sample_id(row), row["score"], sizes[row["index"]] if task == TEXT else 1.0)
            for row in samples
            if row["task"] == task and row["score"] is not None
        ]
        found[task] = ItemScores(f"{task}/{name}", rows, metric.higher_is_better)
    if (evaluation / ANSWERS).exists():
        rows = pq.read_table(evaluation / ANSWERS, columns=["id", "score"]).to_pylist()
        found[WIN_RATE] = ItemScores("answers/reference_score", [(row["id"], row["score"], 1.0) for row in rows], True)
    if (evaluation / HEALTH).exists():
        rows = [row for row in pq.read_table(evaluation / HEALTH).to_pylist() if row["turns"] == 1]
        broken = [(row["id"], float(row["looping"] or row["endless"] or row["empty"]), 1.0) for row in rows]
        found["health"] = ItemScores("health/broken", broken, False)
    if (evaluation / SAFETY).exists():
        parts: dict[tuple[str, bool], list[Row]] = {}
        for row in pq.read_table(evaluation / SAFETY).to_pylist():
            parts.setdefault((row["part"], row["harmful"]), []).append((row["id"], float(row["refused"]), 1.0))
        for (part, harmful), rows in parts.items():
            metric = f"safety/{'refusals' if harmful else 'over_refusals'}:{part}"
            found[f"safety:{part}"] = ItemScores(metric, rows, harmful)
    return found


def _numbers(samples: Sequence[Mapping[str, Any]]) -> list[int]:
    return [row["index"] for row in samples if row["task"] == TEXT]
