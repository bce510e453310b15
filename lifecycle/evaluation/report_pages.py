"""The report as pages for people: Markdown for the Dagster UI, and one HTML file that needs nothing beside it.

They show what `report.json` says, and beside it what is true of one moment or one machine, and so is no content of an
artifact: the gates of the recipe as it is, the champion of the day, what the training took.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.evaluation.champion import Champion
from lifecycle.evaluation.contrasts import Contrast
from lifecycle.evaluation.figures import begins_with, worst_first
from lifecycle.evaluation.gates import GateResult
from lifecycle.evaluation.report_charts import LABELS, RIGHT, WIDTH, pictures
from lifecycle.evaluation.results import Metric
from lifecycle.evaluation.sections import curves_of, tables
from lifecycle.evaluation.sft_curves import curves_chart
from lifecycle.files import write_atomically
from lifecycle.pages import environment, markdown_cell
from lifecycle.provenance import StageFacts
from lifecycle.recipe.gates import CHAMPION
from lifecycle.words import number

HTML, MARKDOWN = "report.html", "report.md"
CONTROLS = {"shuffled_pairs": "with the pairs shuffled", "length_only": "by length alone"}
TEMPLATES = Path(__file__).parent
CLEAR = 2.0
"""Standard errors from which a difference is called one."""
OF_SECTIONS = ("health", "safety")
"""How the names of figures begin that stand in tables of their own."""


@dataclass(frozen=True)
class Shown:
    """Everything that a page says. `champion` is what the registry calls so beside this model, None where there is none."""

    report: Mapping[str, Any]
    gates: Sequence[GateResult]
    champion: Champion | None
    stages: Sequence[StageFacts]


def write_pages(shown: Shown, directory: Path) -> None:
    """Write `report.md` and `report.html`; a reader sees the old page or the new one."""
    for name, autoescape in ((MARKDOWN, False), (HTML, True)):
        template = environment(TEMPLATES, autoescape, number=number, cell=markdown_cell, verdict=verdict, short=_short)
        write_atomically(directory / name, template.get_template(f"{name}.jinja").render(**_values(shown)))


def read_markdown(directory: Path) -> tuple[str, str]:
    """`report.md` without its samples, and these: the answers of all models side by side."""
    report, _, samples = (directory / MARKDOWN).read_text(encoding="utf-8").partition("\n## Samples\n")
    return report, samples.strip()


def differences(shown: Shown) -> list[Contrast]:
    """Each model against the one that it began with, and the final one against base and champion; worst first."""
    report = shown.report
    pairs = {(name, begins_with(name, report["models"])) for name in report["models"]} | {(report["final"], "base")}
    found = [Contrast.model_validate(each) for each in report["contrasts"]]
    own = [each for each in found if (each.model, each.compared_to) in pairs]
    return worst_first([*own, *(shown.champion.contrasts if shown.champion else ())])


def verdict(found: Contrast) -> str:
    """A difference in a word or two."""
    distance = found.standard_errors
    if found.gain == 0:
        return "equal"
    if distance is None:
        return f"{'better' if found.gain > 0 else 'worse'}, error not known"
    return "within the error" if abs(distance) < CLEAR else "better" if distance > 0 else "worse"


def headline(shown: Shown) -> list[str]:
    """The things to know, in words."""
    return [*_judged(shown), *_learnt(shown.report["summary"])]


def _judged(shown: Shown) -> Iterator[str]:
    failed = [gate for gate in shown.gates if not gate.passed]
    blocking = [gate for gate in failed if gate.blocking]
    if blocking:
        yield f"Not to be promoted: {len(blocking)} of {len(shown.gates)} gates refuse. {blocking[0].said}."
    else:
        warned = f"; {len(failed)} warn" if failed else ""
        yield f"All blocking gates hold ({len(shown.gates)} gates{warned})."
    worse = [each for each in differences(shown) if verdict(each) == "worse"]
    if worse:
        first = worst_first(worse)[0]
        yield (
            f"{len(worse)} figures are clearly worse ({CLEAR:g} standard errors or more); most of all {first.metric} of "
            f"{first.model} against {first.compared_to}: {first.value:.4g} after {first.other:.4g}."
        )
    champion = shown.champion
    if champion is None:
        yield "There is no champion to compare with yet."
    elif champion.problem:
        yield f"Not compared with the champion: {champion.problem}."
    else:
        said = [verdict(each) for each in champion.contrasts]
        counts = ", ".join(f"{said.count(word)} {word}" for word in ("better", "worse", "within the error") if word in said)
        yield f"Against the champion {champion.label}: {counts or 'nothing that both measured'}."


def _learnt(summary: Mapping[str, Any]) -> Iterator[str]:
    base, choice, dpo = summary["base"], summary["multiple_choice"], summary["dpo"]
    if base["bits_per_byte"] is not None:
        better = "fewer than" if base["bits_per_byte"] < base["xz_bits_per_byte"] else "not fewer than"
        yield (
            f"The base model needs {base['bits_per_byte']:.3f} bits per byte of held-out text, {better} xz -9e "
            f"({base['xz_bits_per_byte']:.3f}); gzip -9 needs {base['gzip_bits_per_byte']:.3f}."
        )
    if choice["sft"] is not None and choice["standard_error"]:
        distance = (choice["sft"] - choice["chance"]) / choice["standard_error"]
        yield (
            f"Multiple choice: the SFT model is right in {choice['sft']:.1%}, chance is {choice['chance']:.1%}; "
            f"the difference is {distance:+.1f} standard errors."
        )
    if dpo["win_rate"] is not None:
        low, high = dpo["win_rate_interval"]
        verdict = (
            "DPO improved on SFT" if low > 0.5 else "DPO is worse than SFT" if high < 0.5 else "DPO did not improve on SFT"
        )
        yield f"{verdict}: win rate {dpo['win_rate']:.1%} by reference score (95 %: {low:.1%} to {high:.1%})."
    if dpo["reward_accuracy"] is not None:
        low, high = dpo["reward_accuracy_interval"]
        yield (
            f"Reward accuracy on held-out pairs: {dpo['reward_accuracy']:.1%} (95 %: {low:.1%} to {high:.1%})"
            + "".join(f"; {name} {dpo[key]:.1%}" for key, name in CONTROLS.items() if dpo[key] is not None)
            + "."
        )


def _values(shown: Shown) -> dict[str, Any]:
    report, champion = shown.report, shown.champion
    compared = champion is not None and champion.problem is None
    theirs: dict[str, Metric] = dict(champion.metrics) if champion and compared else {}
    found = differences(shown)
    return {
        "report": report,
        "headline": headline(shown),
        "gates": shown.gates,
        "champion": champion,
        "columns": [*report["models"], *([CHAMPION] if theirs else [])],
        "rows": _rows(report, theirs),
        "differences": found,
        "stages": shown.stages,
        "contaminated": _contaminated(report),
        "samples": _samples(report, champion if compared else None),
        "answering": [*report["models"], *([CHAMPION] if champion and champion.answers else [])],
        "sections": tables(report, theirs),
        "pictures": pictures(report, theirs, found),
        "curves": curves_chart(curves_of(report)),
        "width": WIDTH,
        "left": LABELS,
        "right": WIDTH - RIGHT,
    }


def _rows(report: Mapping[str, Any], champion: Mapping[str, Metric]) -> list[dict[str, Any]]:
    """The figures that no section has, with the cells of all columns, the champion's last."""
    found = []
    for row in report["rows"]:
        if not row["metric"].startswith(OF_SECTIONS):
            cells = [row["values"].get(name) for name in report["models"]]
            cells += [champion[row["metric"]].model_dump() if row["metric"] in champion else None] if champion else []
            found.append({**row, "cells": cells})
    return found


def _samples(report: Mapping[str, Any], champion: Champion | None) -> list[dict[str, Any]]:
    """Questions with every model's answer; the champion's last, where it was asked the same."""
    theirs = champion.answers if champion else {}
    found = []
    for sample in report["samples"]:
        own = {CHAMPION: theirs[sample["prompt"]]} if sample["prompt"] in theirs else {}
        found.append({**sample, "answers": sample["answers"] | own})
    return found


def _contaminated(report: Mapping[str, Any]) -> dict[str, str]:
    """What is said beside a figure whose set stands in the training data, by metric."""
    said = {}
    for found in report.get("contamination") or []:
        for name, own in found["scores"].items():
            clean = own["clean"]
            figure = "none is left without them" if clean is None else f"{name} without them {number(clean['value'])}"
            text = f"{found['contaminated']:,} of {found['items']:,} items ({found['share']:.1%}) were trained on"
            before = said.get(own["metric"], text)
            said[own["metric"]] = before if found["contaminated"] == 0 else f"{before}; {figure}"
    return said


def _short(value: float | None, form: str = ",") -> str:
    """A figure that may be missing."""
    return "–" if value is None else format(value, form)
