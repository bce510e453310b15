"""The items that a model was measured on, set by set, as an evaluation left them."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lifecycle.evaluation.bits import TASK as TEXT
from lifecycle.evaluation.bits import measured_texts
from lifecycle.evaluation.health import FILE as HEALTH
from lifecycle.evaluation.results import ANSWERS, SAMPLES
from lifecycle.evaluation.safety import FILE as SAFETY

WIN_RATE = "win_rate"
FORM_SHARE, FORM_ITEMS = 0.5, 4
"""A line that stands in more than half of a set's items, of at least so many, is how the set asks and not what it asks."""


@dataclass(frozen=True)
class MeasuredItem:
    """One item: its set, its number or id there, and what is asked; `question` is the whole of it as the model saw it."""

    set: str
    id: str
    text: str
    question: str


def measured_items(evaluation: Path, heldout: Path) -> list[MeasuredItem]:
    """Of every set in an artifact of evaluation: the tasks, the held-out text, win-rate prompts, health and safety.

    A text is the question without the lines that the set's items share, and behind it the right answer.
    """
    samples = pq.read_table(evaluation / SAMPLES).to_pylist()
    found = [(row["task"], sample_id(row), row["prompt"], row["target"]) for row in samples if row["task"] != TEXT]
    numbers = [row["index"] for row in samples if row["task"] == TEXT]
    found += [(TEXT, str(each.number), each.text, "") for each in measured_texts(heldout, numbers)]
    if (evaluation / ANSWERS).exists():
        rows = pq.read_table(evaluation / ANSWERS, columns=["id", "prompt", "reference"]).to_pylist()
        found += [(WIN_RATE, row["id"], row["prompt"], row["reference"]) for row in rows]
    found += _asked(evaluation / HEALTH, lambda row: "health")
    found += _asked(evaluation / SAFETY, lambda row: f"safety:{row['part']}")
    forms: dict[str, set[str]] = {}
    for name in {row[0] for row in found} - {TEXT}:
        forms[name] = _form([question for each, _, question, _ in found if each == name])
    return [
        MeasuredItem(name, id, "\n".join((*_without(question, forms.get(name, set())), answer)), question)
        for name, id, question, answer in found
    ]


def sample_id(row: Mapping[str, Any]) -> str:
    """The id of an item of a task, from its row of `samples.parquet`: its number, in a group with the task's own name."""
    part = row.get("part", row["task"])
    return str(row["index"]) if part == row["task"] else f"{part}:{row['index']}"


def _asked(path: Path, name: Callable[[Mapping[str, Any]], str]) -> list[tuple[str, str, str, str]]:
    """Questions by their id; those of a conversation together."""
    if not path.exists():
        return []
    asked: dict[tuple[str, str], dict[str, None]] = {}
    for row in pq.read_table(path).to_pylist():
        asked.setdefault((name(row), row["id"]), {})[row["question"]] = None
    return [(part, id, "\n".join(questions), "") for (part, id), questions in asked.items()]


def _form(questions: list[str]) -> set[str]:
    if len(questions) < FORM_ITEMS:
        return set()
    counts = Counter(line for question in questions for line in set(question.split("\n")))
    return {line for line, count in counts.items() if count > FORM_SHARE * len(questions)}


def _without(question: str, form: set[str]) -> list[str]:
    return [line for line in question.split("\n") if line not in form]
