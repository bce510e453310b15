"""What a threshold of an instruction rule, or on a score, would keep over a range of values, from the sidecars alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from lifecycle.curation.sweep import Measured, Step, in_order, told, try_value
from lifecycle.errors import LifecycleError
from lifecycle.instructions.conversations import read_conversations
from lifecycle.instructions.quality import COUNTS, OPTIONAL, SCORES, read_instruction_scores
from lifecycle.instructions.rules import RULES, InstructionRule
from lifecycle.instructions.scores import figure, read_scores

SCORE_COLUMNS = (*COUNTS, *SCORES, *(name for name, kind in OPTIONAL.items() if pa.types.is_floating(kind)))


@dataclass(frozen=True)
class Sidecars:
    """Directories of the artifacts that figures and texts come from."""

    raw: Path
    """`raw_instructions`: what the rules of cleaning judged."""
    instructions: Path
    scores: Path | None
    """`instruction_scores`, where the recipe has it: of what cleaning kept."""


def find_rule(name: str) -> InstructionRule:
    """The rule of `RULE` or `RULE.threshold`; for a column of scores `COLUMN.min_COLUMN` or `COLUMN.max_COLUMN`.

    Raises:
        LifecycleError: there is none; it says what there is.
    """
    wanted, _, threshold = name.partition(".")
    for rule in RULES:
        if rule.name == wanted and threshold in ("", rule.threshold):
            return rule
        if rule.name == wanted:
            raise LifecycleError(f"rule {wanted} has the threshold {rule.threshold}, not {threshold!r}")
    if wanted not in SCORE_COLUMNS:
        names = ", ".join(rule.name for rule in RULES)
        raise LifecycleError(f"no rule or score named {wanted!r}; rules: {names}; scores: {', '.join(SCORE_COLUMNS)}")
    if threshold not in (f"min_{wanted}", f"max_{wanted}"):
        raise LifecycleError(f"{wanted} is a score: say {wanted}.min_{wanted} to drop what is below, .max_{wanted} above")
    return InstructionRule(wanted, wanted, threshold, f"Kept conversations by their score `{wanted}`.")


def sweep(
    sidecars: Sidecars,
    rule: InstructionRule,
    values: Sequence[float],
    sources: Sequence[str] = (),
    language: str | None = None,
) -> list[Step]:
    """How many conversations the rule alone would keep at each value, other rules aside.

    Args:
        sources: only those of these sources; none means all.
        language: only those whose questions are in this language.

    Raises:
        LifecycleError: no conversation has this figure.
    """
    scored = rule not in RULES
    table = read_instruction_scores(_scores(sidecars)) if scored else read_scores(sidecars.instructions)
    if rule.figure not in table.column_names:
        raise LifecycleError(f"sweep: the recipe asks for no column {rule.figure!r} (instructions.scores.{rule.figure})")
    figures = figure(table, rule.figure).astype(np.float64)
    names = table["source"].to_numpy(zero_copy_only=False).astype(np.str_)
    asked = ~np.isnan(figures)
    if sources:
        asked &= np.isin(names, list(sources))
    if language is not None:
        asked &= table["language"].to_numpy(zero_copy_only=False).astype(np.str_) == language
    rows = np.flatnonzero(asked)
    if not rows.size:
        where = f"{f' in language {language!r}' if language else ''}{f' of {sorted(sources)}' if sources else ''}"
        raise LifecycleError(f"sweep: no conversation{where} has a figure for {rule.name}")
    known, numbers = np.unique(names[rows], return_inverse=True)
    found = in_order([Measured(figures[rows], numbers, rows, table["id"].take(pa.array(rows)))])
    steps = [try_value(rule, value, found, known.tolist()) for value in values]
    return _with_texts(steps, sidecars.instructions if scored else sidecars.raw)


def _scores(sidecars: Sidecars) -> Path:
    if sidecars.scores is None:
        raise LifecycleError("sweep: this recipe measures no scores; give it `instructions: {scores: {}}` and run it")
    return sidecars.scores


def _with_texts(steps: Sequence[Step], directory: Path) -> list[Step]:
    conversations = read_conversations(directory)
    shown = {(each.source, each.row) for step in steps for each in step.boundary}
    return told(steps, {(source, row): conversations[row].text() for source, row in shown})
