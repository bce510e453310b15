"""The figures of all models of one recipe side by side, and whether each stage improved on the one before."""

from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import orjson

from lifecycle.errors import CorruptArtifactError
from lifecycle.evaluation.contrasts import Contrast, Items, contrast
from lifecycle.evaluation.results import Metric
from lifecycle.evaluation.sections import JUDGED, SAFETY, is_detail

REPORT = "report.json"
BEFORE_ALIGNMENT = "sft"
"""What KTO, and the first round of DPO, begin with, and what win rates are taken over."""
MULTIPLE_CHOICE, BITS = "kind_of_object", "heldout_bits_per_byte/bits_per_byte"
REWARDS, CONTROLS = "preferences/reward_accuracy", ("preferences/shuffled_pairs", "preferences/length_only")
WIN_RATE, ANSWER_SCORE = "answers/win_rate_over_sft", "answers/reference_score"


def read_report(directory: Path) -> dict[str, Any]:
    """The figures of the report in `directory`.

    Raises:
        CorruptArtifactError: it is missing or damaged.
    """
    path = directory / REPORT
    try:
        report = orjson.loads(path.read_bytes())
        report["models"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifactError(f"{path}: missing or damaged: {error!r}") from error
    return report


def metrics_of(report: Mapping[str, Any], model: str) -> dict[str, Metric]:
    """The figures of one model by name; none where the report does not have it."""
    found = report["models"].get(model, {}).get("metrics", {})
    return {name: Metric.model_validate(metric) for name, metric in found.items()}


def begins_with(name: str, models: Iterable[str]) -> str | None:
    """The model that this one was trained from: its round's, the SFT model, the base model."""
    if name == "kto":
        return BEFORE_ALIGNMENT
    line = [each for each in models if each != "kto"]
    place = line.index(name)
    return line[place - 1] if place else None


def final_of(models: Iterable[str]) -> str | None:
    """The last round of DPO."""
    return next((name for name in reversed(list(models)) if name.partition("_")[0] == "dpo"), None)


def rows(models: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per figure: its value in each model, and per stage `improved`, `not improved` or `worse`.

    A stage improved a figure when its value lies on the better side of the previous one's and outside of that one's 95 %
    interval, and the other way round; otherwise the difference is within what chance gives. Without intervals the values
    alone decide.
    """
    keys = list(dict.fromkeys(key for model in models.values() for key in model["metrics"] if not is_detail(key)))
    found = []
    for key in keys:
        values = {name: model["metrics"].get(key) for name, model in models.items()}
        compared = {name: begins_with(name, models) for name in models}
        verdicts = {
            later: _verdict(values[earlier], values[later])
            for later, earlier in compared.items()
            if earlier and values[earlier] and values[later] and key not in CONTROLS
        }
        task, _, metric = key.partition("/")
        chance = next((model["chance"][task] for model in models.values() if task in model["chance"]), None)
        found.append({"metric": key, "values": values, "verdicts": verdicts, "chance": chance if metric == "acc" else None})
    return found


def is_relative(name: str) -> bool:
    """Whether two models are not compared by this figure: it is a comparison itself, or a control."""
    return name in (WIN_RATE, *CONTROLS) or name.partition("/")[0] == JUDGED


def contrasts(report: Mapping[str, Any], items: Mapping[str, Mapping[str, Items]]) -> list[Contrast]:
    """Every figure of every two models, the later one against the earlier one.

    Args:
        items: by model and figure, where the figure is the mean of items.
    """
    found = []
    for earlier, later in combinations(report["models"], 2):
        ours, theirs = metrics_of(report, later), metrics_of(report, earlier)
        for name in (name for name in ours if name in theirs and not is_relative(name) and not is_detail(name)):
            both = (items[later].get(name), items[earlier].get(name))
            pair = (both[0], both[1]) if both[0] and both[1] else None
            found.append(contrast(name, later, earlier, ours[name], theirs[name], pair))
    return found


def find_contrast(found: Iterable[Contrast], metric: str, model: str, compared_to: str) -> Contrast | None:
    """The contrast of these two models in this figure, seen from `model`."""
    for each in found:
        if each.metric == metric and (each.model, each.compared_to) == (model, compared_to):
            return each
        if each.metric == metric and (each.compared_to, each.model) == (model, compared_to):
            return each.turned()
    return None


def worst_first(found: Iterable[Contrast]) -> list[Contrast]:
    """Regressions first, the largest in standard errors on top; a loss of unknown error before all others."""

    def place(each: Contrast) -> tuple[float, str, str, str]:
        distance = each.standard_errors
        known = distance if distance is not None else float("-inf") if each.gain < 0 else float("inf")
        return known, each.metric, each.model, each.compared_to

    return sorted(found, key=place)


def is_drawn(row: dict[str, Any]) -> bool:
    """Whether a row is drawn among the shares: its figures lie between 0 and 1 and say so, and it is the whole of its kind.

    Refusals by set and language stand in their table alone.
    """
    task, _, name = row["metric"].partition("/")
    if task in SAFETY and name not in ("refusals", "over_refusals"):
        return False
    return row["metric"] != BITS and all(0 <= metric["value"] <= 1 for metric in row["values"].values() if metric)


def _verdict(earlier: dict[str, Any], later: dict[str, Any]) -> str:
    gain = later["value"] - earlier["value"]
    gain = gain if later["higher_is_better"] else -gain
    for one, other in ((earlier, later), (later, earlier)):
        if one["interval"] and one["interval"][0] <= other["value"] <= one["interval"][1]:
            return "not improved (within the interval)"
    if gain > 0:
        return "improved"
    return "not improved (worse)" if gain < 0 else "not improved (equal)"


def summary(report: dict[str, Any]) -> dict[str, Any]:
    """What the demo prints."""
    models, won, final = report["models"], report["win_rate"], report["final"]

    def value(model: str | None, metric: str, field: str = "value") -> Any:
        return models.get(model, {}).get("metrics", {}).get(metric, {}).get(field)

    accuracy = f"{MULTIPLE_CHOICE}/acc"
    chances = [model["chance"].get(MULTIPLE_CHOICE) for model in models.values()]
    return {
        "base": {
            "bits_per_byte": value("base", BITS),
            "gzip_bits_per_byte": report["baselines"]["gzip_bits_per_byte"],
            "xz_bits_per_byte": report["baselines"]["xz_bits_per_byte"],
        },
        "multiple_choice": {
            "chance": next((chance for chance in chances if chance is not None), None),
            "standard_error": value("sft", accuracy, "stderr"),
            **{name: value(name, accuracy) for name in models},
        },
        "dpo": {
            "reward_accuracy": value(final, REWARDS),
            "reward_accuracy_interval": value(final, REWARDS, "interval"),
            **{name.partition("/")[2]: value(final, name) for name in CONTROLS},
            "win_rate": won["rate"] if won else None,
            "win_rate_interval": won["interval"] if won else None,
        },
    }
