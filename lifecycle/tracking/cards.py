"""Model cards, as Markdown: what a model is, what it was made from, how it was measured and judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lifecycle.manifest import Manifest
from lifecycle.pages import markdown_cell
from lifecycle.provenance import SourceUsed, StageFacts

JUDGED = "\n\n## Judged\n"
DESCRIPTION_CHARACTERS = 5000
"""What MLflow's table holds of a version's description."""
CUT = "\n\n… The whole card is `model_card.md` of the version's run."
WHAT = {
    "base": "A base model: next-token prediction on the recipe's corpus.",
    "sft": "An SFT model: the base model fine-tuned on the recipe's conversations.",
    "dpo": "A DPO model: the SFT model (or that of the round before) aligned with the recipe's preference pairs.",
    "kto": "A KTO model: the SFT model aligned with answers that were wanted or not.",
    "reward": "A reward model: it scores answers, learnt from the recipe's preference pairs.",
}


@dataclass(frozen=True)
class About:
    """What the recipe says of its models."""

    recipe: str
    description: str = ""
    intended_use: str = ""


@dataclass(frozen=True)
class Measured:
    """What the evaluation says of one model."""

    table: str
    limitations: Sequence[str]
    report: str
    """Digest of the report that says so."""


@dataclass(frozen=True)
class Made:
    """What a model was made from."""

    stages: Sequence[StageFacts] = field(default_factory=tuple)
    sources: Sequence[SourceUsed] = field(default_factory=tuple)


def model_card(manifest: Manifest, about: About, made: Made, measured: Measured | None = None) -> str:
    """The card of one model; before its evaluation it says that there is none yet."""
    kind = manifest.stage.partition("_")[0]
    parts = [
        f"{WHAT[kind]} Recipe `{about.recipe}`{': ' + about.description if about.description else '.'}",
        f"Made {manifest.created_at} in {manifest.seconds:.0f} s; digest `{manifest.digest}`.",
        f"## Intended use\n\n{about.intended_use or 'The recipe does not say (`intended_use`).'}",
        _evaluation(measured),
        _sources(made.sources),
        _training(made.stages),
        _lineage(made.stages, f"{about.recipe}_{kind}"),
    ]
    return "\n\n".join(parts)


def judged(card: str, gates: Sequence[Mapping[str, Any]], verdict: str) -> str:
    """The card with the measured gates and the verdict on them; an earlier judgement is replaced."""
    rows = ["| gate | outcome | holds |", "|---|---|---|"]
    for gate in gates:
        name = markdown_cell(str(gate.get("name") or gate.get("metric", "")))
        weight = "" if gate.get("blocking", True) else " (a warning)"
        rows.append(f"| {name} | {gate.get('said', '')} | {'yes' if gate['passed'] else 'no'}{weight} |")
    return without_judgement(card) + JUDGED + "\n" + "\n".join(rows) + f"\n\n**Verdict:** {verdict}"


def without_judgement(card: str) -> str:
    """The card as it was before it was judged."""
    return card.split(JUDGED)[0]


def judgement(card: str) -> str:
    """What `judged` added; empty before that."""
    return card[len(without_judgement(card)) :]


def fitting(card: str) -> str:
    """The card as MLflow keeps it with a version: cut before its judgement where both are too long for its table."""
    room = DESCRIPTION_CHARACTERS - len(judgement(card))
    body = without_judgement(card)
    if len(body) > room:
        body = body[: max(0, room - len(CUT))].rpartition("\n")[0] + CUT
    return (body + judgement(card))[:DESCRIPTION_CHARACTERS]


def _evaluation(measured: Measured | None) -> str:
    if measured is None:
        return "## Evaluation\n\nNot evaluated yet."
    weak = "\n".join(f"- {each}" for each in measured.limitations) or "- The figures above show none."
    return (
        f"## Evaluation\n\n{measured.table}\n\nReport `{measured.report[:12]}`.\n\n"
        f"## Limitations\n\nWhat the figures show:\n\n{weak}"
    )


def _sources(sources: Sequence[SourceUsed]) -> str:
    rows = ["| source | read by | licence, as the recipe says | digest |", "|---|---|---|---|"]
    for each in sources:
        licence = markdown_cell(each.licence or "not stated")
        rows.append(f"| {markdown_cell(each.name)} | {each.read_by} | {licence} | `{each.digest[:12]}` |")
    return "## Data\n\n" + "\n".join(rows)


def _training(stages: Sequence[StageFacts]) -> str:
    rows = ["| training | tokens | epochs | steps | parameters | wall time, s | device hours |", f"|{'---|' * 7}"]
    for each in (each for each in stages if each.steps is not None):
        hours = "–" if each.device_hours is None else f"{each.device_hours:.4f} {each.device or ''} x {each.processes}"
        figures = (each.tokens, each.epochs, each.steps, each.parameters, each.wall_seconds)
        rows.append(f"| {each.stage} | {' | '.join(map(_figure, figures))} | {hours} |")
    return "## Training\n\n" + "\n".join(rows)


def _lineage(stages: Sequence[StageFacts], name: str) -> str:
    rows = ["| stage | rows | digest |", "|---|---|---|"]
    for each in stages:
        digests = ", ".join(f"`{digest}`" for digest in each.digests)
        rows.append(f"| {each.stage} | {_figure(each.rows)} | {digests} |")
    return "## Lineage\n\n" + "\n".join(rows) + f"\n\nThe whole way back to the raw bytes: `lifecycle lineage {name}`."


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
