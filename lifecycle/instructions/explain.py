"""What happened to one conversation: what was repaired, what each rule said of it, and how it was scored."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Group
from rich.markup import escape

from lifecycle.curation.explain import EXCERPT, Change, Judgement, change_of, render_changes, render_judgements
from lifecycle.errors import LifecycleError
from lifecycle.instructions.clean import KEPT
from lifecycle.instructions.conversations import Conversation, read_conversations
from lifecycle.instructions.quality import read_instruction_scores
from lifecycle.instructions.rules import RULES
from lifecycle.instructions.scores import figure, read_scores
from lifecycle.instructions.sweep import Sidecars
from lifecycle.recipe.instruction_rules import InstructionRules

WHOSE = ("id", "source", "task", "language")
"""Columns of the scores that score nothing."""


@dataclass(frozen=True)
class Explanation:
    """The way of one conversation."""

    id: str
    source: str
    language: str
    """Of the questions, as cleaning found it."""
    text: str
    """As read, the beginning."""
    change: Change | None
    """What the repairs of cleaning made of it, where it was kept and they changed it."""
    judgements: tuple[Judgement, ...]
    """By every rule that compares a figure; the recipe's lists and rules of form speak in `decision` alone."""
    decision: str
    """Of cleaning: `kept`, or the first rule that dropped it."""
    scores: dict[str, object]
    """Of `instruction_scores`, where it was kept and scored."""


def explain(identifier: str, sidecars: Sidecars, rules: InstructionRules) -> Explanation:
    """Follow one conversation through the artifacts; raises LifecycleError where none has this id."""
    row = _row(read_scores(sidecars.instructions), identifier)
    if row is None:
        raise LifecycleError(f"no conversation has the id {identifier!r}; `lifecycle sweep --instructions` shows ids")
    read = _find(sidecars.raw, identifier)
    decision = str(row["decision"][0].as_py())
    kept = _find(sidecars.instructions, identifier) if decision == KEPT else None
    scored = _row(read_instruction_scores(sidecars.scores), identifier) if sidecars.scores else None
    return Explanation(
        id=identifier,
        source=read.source,
        language=str(row["language"][0].as_py()),
        text=read.text()[:EXCERPT],
        change=change_of("repairs", read.text(), kept.text()) if kept and kept.text() != read.text() else None,
        judgements=_judge(row, rules),
        decision=decision,
        scores={name: scored[name][0].as_py() for name in scored.column_names if name not in WHOSE} if scored else {},
    )


def _row(table: pa.Table, identifier: str) -> pa.Table | None:
    found = table.filter(pc.field("id") == identifier).slice(0, 1)
    return found if found.num_rows else None


def _find(directory: Path, identifier: str) -> Conversation:
    found = next((each for each in read_conversations(directory) if each.id == identifier), None)
    if found is None:
        raise LifecycleError(f"{directory} does not hold conversation {identifier!r}; run `lifecycle run` again")
    return found


def _judge(row: pa.Table, rules: InstructionRules) -> tuple[Judgement, ...]:
    languages = row["language"].to_numpy(zero_copy_only=False).astype(np.str_)
    judged = []
    for rule in RULES:
        figures, limits = figure(row, rule.figure), rule.limits(rules, languages)
        broken = bool(rule.broken(figures, limits)[0])
        judged.append(Judgement(rule.name, float(figures[0]), float(limits[0]), broken, rule.description))
    return tuple(judged)


def render(found: Explanation) -> Group:
    """The explanation for the terminal."""
    scores = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in found.scores.items()
        if value is not None
    )
    return Group(
        escape(f"{found.id} of {found.source}, language {found.language}"),
        escape(f"read: {found.text!r}"),
        *render_changes((found.change,) if found.change else ()),
        render_judgements(found.judgements),
        escape(f"cleaned: {found.decision}"),
        *([escape(f"scores: {scores}")] if scores else []),
    )
