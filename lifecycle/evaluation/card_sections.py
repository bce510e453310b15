"""What a model card says of a model's figures: the table, and the limitations that they show."""

from collections.abc import Iterator, Mapping
from typing import Any

from lifecycle.evaluation.contrasts import Contrast
from lifecycle.evaluation.figures import BITS, REWARDS, metrics_of, worst_first
from lifecycle.evaluation.report_pages import CLEAR
from lifecycle.evaluation.results import Metric
from lifecycle.pages import markdown_cell

FINISHED, MOST = "answers/finished", 0.9
UNMEASURED = {"health": "loops, language drift and other faults of its answers", "safety": "what it refuses"}


def evaluation_table(report: Mapping[str, Any], model: str) -> str:
    """Every figure of `model` with its interval, beside the base model's and chance."""
    own, base = metrics_of(report, model), metrics_of(report, "base")
    with_base = model != "base"
    lines = [f"| figure | {model} (95 %) |{' base |' if with_base else ''} chance |", "|---|---|---|" + "---|" * with_base]
    chances = {row["metric"]: row["chance"] for row in report["rows"]}
    for name, metric in own.items():
        chance = chances.get(name)
        cells = [markdown_cell(name), _value(metric)]
        cells += [_value(base[name]) if name in base else "–"] if with_base else []
        cells += ["–" if chance is None else f"{chance:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def limitations(report: Mapping[str, Any], model: str) -> list[str]:
    """Where the figures say that the model is weak, and what was not measured; worst first."""
    return [*_worse(report, model), *_weak(report, model), *_unknown(report, model)]


def _worse(report: Mapping[str, Any], model: str) -> Iterator[str]:
    found = [Contrast.model_validate(each) for each in report["contrasts"]]
    for each in worst_first(each for each in found if each.model == model):
        if each.standard_errors is not None and each.standard_errors <= -CLEAR:
            yield (
                f"Worse than {each.compared_to} at {each.metric}: {each.value:.4g} against {each.other:.4g} "
                f"({-each.standard_errors:.1f} standard errors)."
            )


def _weak(report: Mapping[str, Any], model: str) -> Iterator[str]:
    own = metrics_of(report, model)
    for row in report["rows"]:
        metric, chance = own.get(row["metric"]), row["chance"]
        if metric and chance is not None and metric.interval and metric.interval[0] <= chance:
            yield f"Not clearly better than chance ({chance:.3f}) at {row['metric']}: {_value(metric)}."
    xz = report["baselines"]["xz_bits_per_byte"]
    if BITS in own and own[BITS].value >= xz:
        yield f"Predicts held-out text no better than a compressor: {own[BITS].value:.3f} bits per byte, xz {xz:.3f}."
    if FINISHED in own and own[FINISHED].value < MOST:
        yield f"{1 - own[FINISHED].value:.1%} of its greedy answers do not end before the token limit."
    rewards = own.get(REWARDS)
    if rewards and rewards.interval and rewards.interval[0] <= 0.5:
        yield f"Does not clearly prefer the better answer of held-out pairs: {_value(rewards)}, a coin 0.5."
    for found in report.get("contamination") or []:
        if found["contaminated"] and model in found["scores"]:
            yield f"{found['share']:.1%} of the items of {found['set']} stand in what it was trained on."


def _unknown(report: Mapping[str, Any], model: str) -> Iterator[str]:
    if report["models"][model]["missing"]:
        yield f"Not measured for want of held-out items: {', '.join(report['models'][model]['missing'])}."
    measured = {name.partition("/")[0].partition("_")[0] for name in metrics_of(report, model)}
    for group, words in UNMEASURED.items():
        if group not in measured:
            yield f"Not measured: {words}."


def _value(metric: Metric) -> str:
    if metric.interval is None:
        return f"{metric.value:.3f}"
    return f"{metric.value:.3f} ({metric.interval[0]:.3f}–{metric.interval[1]:.3f})"
