"""The report's sections on generation health, safety, contamination and comparisons: their data, and their tables."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lifecycle.evaluation.clean_scores import contamination_section
from lifecycle.evaluation.comparisons import REFERENCE, read_comparisons
from lifecycle.evaluation.results import PAIRS_OF, Metric, Results
from lifecycle.evaluation.sft_curves import STAGE as SFT_CONTROLS
from lifecycle.evaluation.sft_curves import Curve, curves_table, read_curves
from lifecycle.evaluation.tables import Table
from lifecycle.recipe.gates import CHAMPION
from lifecycle.words import number

CONTAMINATION, COMPARISONS = "contamination", "comparisons"
DETAILS = ("health_seeds", "health_turns")
"""Tasks whose figures have a table of their own and are no rows of the report's."""
NEITHER_BETTER = "health/tokens"
"""Longer answers are neither better nor worse; it is no row either, where each stage would be judged by it."""
SAFETY = ("safety", "safety_judge")
JUDGED = "win_rate"
"""What the win rates of judges are called as figures of a model."""


def add_sections(
    report: dict[str, Any],
    results: Mapping[str, Results],
    evals: Mapping[str, Path],
    heldout: Path,
    beside: Mapping[str, Path],
) -> None:
    """Give a report `health` and `safety` (figures by model), `contamination` (a row for each set), `sft_controls` (curves
    of fine-tuning beside those of chance), `pairs_by_source` (reward accuracies by model), `comparisons` (a row for each
    judge and other model) and `compared` (the other models' own figures); each is empty where nothing was measured.

    The win rates of judges over SFT also become figures of the model.

    Args:
        beside: artifacts of the stages `contamination`, `sft_controls` and `comparisons`, where the recipe has them.
    """
    figures = {name: result.metrics() for name, result in results.items()}
    report["health"] = _by_model(figures, ("health", *DETAILS))
    report["safety"] = _by_model(figures, SAFETY)
    found = contamination_section(beside[CONTAMINATION], evals, heldout) if CONTAMINATION in beside else []
    report["contamination"] = found
    report["pairs_by_source"] = _pairs_by_source(results)
    curves = read_curves(beside[SFT_CONTROLS]) if SFT_CONTROLS in beside else []
    report[SFT_CONTROLS] = [each.model_dump() for each in curves]
    compared, others = read_comparisons(beside[COMPARISONS]) if COMPARISONS in beside else ([], {})
    report["comparisons"] = [each.model_dump(mode="json") for each in compared]
    report["compared"] = {
        name: {key: metric.model_dump() for key, metric in other.metrics().items()}
        for name, other in others.items()
        if name not in results
    }
    for each in compared:
        if each.against in results and each.by != REFERENCE:
            metric = each.metric().model_dump()
            report["models"][each.model]["metrics"][f"{JUDGED}/{each.by}_over_{each.against}"] = metric


def is_detail(metric: str) -> bool:
    """Whether a figure is left to its section."""
    return metric == NEITHER_BETTER or metric.startswith(PAIRS_OF) or metric.partition("/")[0] in DETAILS


def tables(report: Mapping[str, Any], champion: Mapping[str, Metric]) -> list[Table]:
    """The tables of those sections that a report has.

    Args:
        champion: its figures by name; empty where it is not to be shown beside these.
    """
    shown = dict(report)
    if champion:
        shown["models"] = [*report["models"], CHAMPION]
        for section, tasks in (("health", ("health", *DETAILS)), ("safety", SAFETY)):
            shown[section] = report[section] | _by_model({CHAMPION: champion}, tasks)
    made = (
        health_table(shown),
        turns_table(shown),
        safety_table(shown),
        contamination_table(report),
        curves_table(curves_of(report)),
        pairs_table(report),
        win_table(report),
    )
    return [table for table in made if table.rows]


def curves_of(report: Mapping[str, Any]) -> list[Curve]:
    """Those of fine-tuning and of chance; none in a report from before there were any."""
    return [Curve.model_validate(each) for each in report.get(SFT_CONTROLS, [])]


def health_table(report: Mapping[str, Any]) -> Table:
    """Each figure over the seeds, and the standard deviation between them."""
    rows = []
    for key in _keys(report["health"], "health"):
        spread = f"health_seeds/{key.partition('/')[2]}"
        cells = []
        for model in report["models"]:
            figures = report["health"].get(model, {})
            deviation = f", sd {figures[spread]['value']:.3f}" if spread in figures else ""
            cells.append(_cell(figures.get(key)) + (deviation if key in figures else ""))
        rows.append((key.partition("/")[2], *cells))
    note = "Questions of one turn, several seeds: shares of the answers with 95 % intervals; sd is that between the seeds."
    return Table("Generation health", note, ("figure", *report["models"]), tuple(rows))


def turns_table(report: Mapping[str, Any]) -> Table:
    """What becomes of conversations turn by turn."""
    rows = [
        (key.partition("/")[2].replace("_", ", turn "), *_cells(report, "health", key))
        for key in _keys(report["health"], "health_turns")
    ]
    note = "Conversations that go on with the model's own answers; decay is the change from the first turn to the last."
    return Table("Health by turn", note, ("figure", *report["models"]), tuple(rows))


def safety_table(report: Mapping[str, Any]) -> Table:
    """Refusals of harmful prompts, and of harmless ones."""
    rows = [(key, *_cells(report, "safety", key)) for task in SAFETY for key in _keys(report["safety"], task)]
    note = "Refusals are of harmful prompts (higher is better), over-refusals of harmless ones (lower is better)."
    return Table("Safety", note, ("figure", *report["models"]), tuple(rows))


def contamination_table(report: Mapping[str, Any]) -> Table:
    """Each set with its contaminated items, and each model's score beside that on the clean items."""
    rows = []
    for each in report["contamination"]:
        where = ", ".join(f"{name} {count}" for name, count in each["by"].items() if count)
        scores = (_clean(each["scores"].get(model)) for model in report["models"])
        share = f"{each['contaminated']} of {each['items']} ({each['share']:.1%})"
        rows.append((each["set"], share, str(each["too_short"]), where or "–", *scores))
    note = "Items that share a passage with the training data, or whose question stands there; score → score on clean items."
    columns = ("set", "contaminated", "too short to tell", "where", *report["models"])
    return Table("Contamination", note, columns, tuple(rows))


def pairs_table(report: Mapping[str, Any]) -> Table:
    """Reward accuracy by the source of the held-out pairs; no row in a report from before there were any."""
    found = report.get("pairs_by_source", {})
    rows = []
    for source in dict.fromkeys(source for sources in found.values() for source in sources):
        rows.append((source, *(_accuracy(sources.get(source)) for sources in found.values())))
    note = "Share of the held-out pairs of one source whose chosen answer has the higher reward, with its 95 % interval."
    return Table("Reward accuracy by source", note, ("pairs from", *found), tuple(rows))


def win_table(report: Mapping[str, Any]) -> Table:
    """Every comparison of two models' answers."""
    rows = []
    for each in report["comparisons"]:
        won, (low, high) = each["won"], each["won"]["interval"]
        counts = f"{won['wins']} / {won['ties']} / {won['losses']}"
        rate = f"{each['percent']:.1f} ({100 * low:.1f} – {100 * high:.1f})"
        rows.append((f"{each['model']} over {each['against']}", each["by"], counts, rate, str(each["no_verdict"])))
    columns = ("comparison", "judge", "wins / ties / losses", "100 (w + t/2) / N", "no verdict")
    return Table("Comparisons", "Greedy answers to the same prompts; bootstrap intervals.", columns, tuple(rows))


def _cells(report: Mapping[str, Any], section: str, key: str) -> Iterator[str]:
    """One figure of a section, model by model."""
    return (_cell(report[section].get(model, {}).get(key)) for model in report["models"])


def _by_model(figures: Mapping[str, Mapping[str, Metric]], tasks: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    found = {
        name: {key: metric.model_dump() for key, metric in metrics.items() if key.partition("/")[0] in tasks}
        for name, metrics in figures.items()
    }
    return {name: metrics for name, metrics in found.items() if metrics}


def _keys(section: Mapping[str, Mapping[str, Any]], task: str) -> list[str]:
    keys = dict.fromkeys(key for metrics in section.values() for key in metrics)
    return [key for key in keys if key.partition("/")[0] == task]


def _cell(metric: Mapping[str, Any] | None) -> str:
    if metric is None:
        return "–"
    interval = f" ({number(metric['interval'][0])} – {number(metric['interval'][1])})" if metric["interval"] else ""
    return number(metric["value"]) + interval


def _accuracy(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    low, high = found["interval"]
    return f"{found['accuracy']:.3f} ({low:.3f} – {high:.3f}) of {found['pairs']:,}"


def _pairs_by_source(results: Mapping[str, Results]) -> dict[str, dict[str, Any]]:
    """Of the models whose held-out pairs come from several sources."""
    measured = {name: result.preferences.by_source for name, result in results.items() if result.preferences}
    return {
        name: {source: each.model_dump() for source, each in sources.items()}
        for name, sources in measured.items()
        if sources
    }


def _clean(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return "–"
    clean = score["clean"]
    return f"{number(score['value'])} → {number(clean['value']) if clean else 'no item left'}"
