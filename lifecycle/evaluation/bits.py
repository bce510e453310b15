"""Bits per byte of held-out text by language and by source: one figure over all of it hides the one that got worse."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from lifecycle.evaluation.results import SAMPLES, Metric
from lifecycle.evaluation.statistics import BOOTSTRAP_SAMPLES

TASK = "heldout_bits_per_byte"
DOCUMENTS = "documents.parquet"
"""Of a `heldout_text` artifact: every held-out document with source and language, by its id."""


def bits_by_group(evaluation: Path, heldout: Path) -> dict[str, Metric]:
    """`heldout_bits_per_byte/language:zh`, `heldout_bits_per_byte/source:news`: where there are two groups or more.

    A figure is total bits over total bytes; standard error and 95 % interval are those of resampled documents. They come
    from the same pass as the whole's.

    Args:
        evaluation: has `samples.parquet`, where the score of a document is its own bits per byte.
    """
    rows = pq.read_table(evaluation / SAMPLES, columns=["task", "index", "score"]).to_pylist()
    scores = {row["index"]: row["score"] for row in rows if row["task"] == TASK}
    groups: dict[str, dict[str, list[tuple[float, float]]]] = {"language": {}, "source": {}}
    for text in measured_texts(heldout, scores):
        for kind, name in (("language", text.language), ("source", text.source)):
            groups[kind].setdefault(name, []).append(text.pair(scores[text.number]))
    return {
        f"{TASK}/{kind}:{name}": bits_per_byte(found[name])
        for kind, found in groups.items()
        if len(found) > 1
        for name in sorted(found)
    }


@dataclass(frozen=True)
class MeasuredText:
    """A held-out document that bits per byte are measured on."""

    number: int
    text: str
    language: str
    source: str

    def pair(self, score: float) -> tuple[float, float]:
        """Log-likelihood in nats and bytes, from its own bits per byte."""
        size = float(len(self.text.encode("utf-8")))
        return (-score * size * math.log(2), size)


def measured_texts(heldout: Path, numbers: Iterable[int]) -> list[MeasuredText]:
    """The texts of these numbers in `text.jsonl`, in order; `unknown` where a document says no language or source."""
    lines = [json.loads(line) for line in (heldout / "text.jsonl").read_bytes().splitlines() if line.strip()]
    table = pq.read_table(heldout / DOCUMENTS, columns=["id", "lang", "source"]).to_pylist()
    known = {row["id"]: (row["lang"] or "unknown", row["source"] or "unknown") for row in table}
    return [MeasuredText(number, lines[number]["text"], *known[lines[number]["id"]]) for number in sorted(numbers)]


def bits_per_byte(pairs: Sequence[tuple[float, float]]) -> Metric:
    """Of documents given as (log-likelihood in nats, bytes), with the standard error and interval of a bootstrap over them;
    a single document has neither."""
    array = np.asarray(pairs, dtype=np.float64)
    nats, size = array.sum(0)
    value = float(-nats / size / math.log(2))
    if len(array) < 2:
        return Metric(value=value, higher_is_better=False)
    generator = np.random.default_rng(0)
    ratios = np.empty(BOOTSTRAP_SAMPLES // 10)
    for number in range(len(ratios)):
        drawn = array[generator.integers(0, len(array), len(array))].sum(0)
        ratios[number] = -drawn[0] / drawn[1] / math.log(2)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Metric(value=value, higher_is_better=False, stderr=float(ratios.std(ddof=1)), interval=(float(low), float(high)))
