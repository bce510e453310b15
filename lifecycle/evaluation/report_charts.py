"""The page's pictures as places in an SVG, whose colours follow the reader's light or dark setting."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.charts import round_ticks
from lifecycle.evaluation.contrasts import Contrast
from lifecycle.evaluation.figures import (
    ANSWER_SCORE,
    BEFORE_ALIGNMENT,
    BITS,
    REWARDS,
    WIN_RATE,
    is_drawn,
)
from lifecycle.evaluation.results import Metric
from lifecycle.recipe.gates import CHAMPION

WIDTH, LABELS, RIGHT, AXIS = 720, 250, 20, 26
ROW, GAP = 15, 12
SHOWN_DIFFERENCES = 24
FARTHEST = 12.0
"""Differences of more standard errors than this are drawn at the edge."""


@dataclass(frozen=True)
class Mark:
    """One model's figure: a dot with its interval, in the colour of its place among the models."""

    y: float
    x: float
    low: float
    high: float
    colour: int
    title: str


@dataclass(frozen=True)
class Row:
    """One label at the left, and the marks beside it."""

    y: float
    label: str
    marks: tuple[Mark, ...]
    chance: float | None = None
    top: float = 0.0
    bottom: float = 0.0


@dataclass(frozen=True)
class Picture:
    """Everything in the coordinates of a box of `WIDTH` x `height`."""

    caption: str
    height: float
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    names: tuple[str, ...]
    """Of the colours."""
    zero: float | None = None
    """Where a line divides worse from better."""


def pictures(report: Mapping[str, Any], champion: Mapping[str, Metric], differences: Sequence[Contrast]) -> list[Picture]:
    """All pictures of one report.

    Args:
        champion: its figures by name; empty where it is not to be shown beside these.
        differences: worst first.
    """
    names = [*report["models"], *([CHAMPION] if champion else [])]
    figures = {
        row["metric"]: {name: Metric.model_validate(found) for name, found in row["values"].items() if found}
        | ({CHAMPION: champion[row["metric"]]} if row["metric"] in champion else {})
        for row in report["rows"]
    }
    chances = {row["metric"]: row["chance"] for row in report["rows"]}
    shares = {row["metric"]: figures[row["metric"]] for row in report["rows"] if is_drawn(row)}
    found = [_intervals("Shares and scores, with 95 % intervals", shares, names, (0.0, 1.0), chances)]
    if BITS in figures:
        found.append(_bits(figures[BITS], report["baselines"], names))
    rounds = [name for name in report["models"] if name.partition("_")[0] in (BEFORE_ALIGNMENT, "dpo")]
    if len(rounds) > 2:
        kept = {key: {name: figures[key][name] for name in rounds if name in figures[key]} for key in _of_rounds(figures)}
        found.append(_intervals("Round by round, with 95 % intervals", kept, names, (0.0, 1.0), {}))
    known = [each for each in differences if each.standard_errors is not None and each.gain]
    if known:
        found.append(_differences(known[:SHOWN_DIFFERENCES]))
    return found


def _of_rounds(figures: Iterable[str]) -> list[str]:
    return [key for key in (REWARDS, WIN_RATE, ANSWER_SCORE) if key in figures]


def _bits(values: Mapping[str, Metric], baselines: Mapping[str, float], names: Sequence[str]) -> Picture:
    compressors = {"xz -9e": baselines["xz_bits_per_byte"], "gzip -9": baselines["gzip_bits_per_byte"]}
    lines = {name: {name: metric} for name, metric in values.items()}
    lines |= {name: {name: Metric(value=value, higher_is_better=False)} for name, value in compressors.items()}
    ends = [end for each in values.values() for end in (each.interval or (each.value, each.value))]
    low, high = min([*ends, *compressors.values()]), max([*ends, *compressors.values()])
    room = 0.06 * (high - low or 1.0)
    caption = "Bits per byte of held-out text, with 95 % intervals (lower is better)"
    return _intervals(caption, lines, [*names, *compressors], (max(0.0, low - room), high + room), {})


def _intervals(
    caption: str,
    figures: Mapping[str, Mapping[str, Metric]],
    names: Sequence[str],
    span: tuple[float, float],
    chances: Mapping[str, float | None],
) -> Picture:
    def x(value: float) -> float:
        share = (value - span[0]) / (span[1] - span[0])
        return LABELS + min(max(share, 0.0), 1.0) * (WIDTH - LABELS - RIGHT)

    rows, y = [], float(GAP)
    for key, values in figures.items():
        top, marks = y, []
        for name, metric in values.items():
            low, high = metric.interval or (metric.value, metric.value)
            title = f"{name}: {metric.value:.4g}" + (f" ({low:.4g} – {high:.4g})" if metric.interval else "")
            marks.append(Mark(y + ROW / 2, x(metric.value), x(low), x(high), list(names).index(name), title))
            y += ROW
        chance = chances.get(key)
        rows.append(Row((top + y) / 2, key, tuple(marks), None if chance is None else x(chance), top, y))
        y += GAP
    ticks = tuple((x(value), f"{value:.3g}") for value in round_ticks(*span))
    return Picture(caption, y + AXIS, tuple(rows), ticks, tuple(names))


def _differences(found: Sequence[Contrast]) -> Picture:
    far = min(FARTHEST, max(3.0, math.ceil(max(abs(each.standard_errors or 0.0) for each in found))))
    zero, scale = LABELS + (WIDTH - LABELS - RIGHT) / 2, (WIDTH - LABELS - RIGHT) / 2 / far
    rows = []
    for place, each in enumerate(found):
        distance = each.standard_errors or 0.0
        end = zero + scale * min(max(distance, -far), far)
        y = GAP + (place + 0.5) * 1.6 * ROW
        title = f"{each.metric}, {each.model} against {each.compared_to}: {distance:+.1f} standard errors"
        mark = Mark(y, end, min(zero, end), max(zero, end), 0 if distance < 0 else 1, title)
        rows.append(Row(y, f"{each.metric.rpartition('/')[2]}: {each.model} – {each.compared_to}", (mark,)))
    ticks = tuple((zero + scale * value, f"{value:+g}" if value else "0") for value in (-far, -2.0, 0.0, 2.0, far))
    caption = "Differences in standard errors, worst first (left: worse)"
    height = GAP + len(found) * 1.6 * ROW + AXIS
    return Picture(caption, height, tuple(rows), ticks, ("worse", "better"), zero)
