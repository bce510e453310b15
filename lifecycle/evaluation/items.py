"""Evaluation items: the one reader and the one writer, for the runner now and for decontamination."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from lifecycle.errors import DataError
from lifecycle.files import write_atomically
from lifecycle.recipe.base import Section


class EvaluationItem(Section):
    """One question of a task: multiple choice (`choices` and `gold`), or with a reference answer (`target`)."""

    id: str
    task: str
    prompt: str
    """The user's message, without the chat template."""
    choices: tuple[str, ...] | None = None
    gold: int | None = None
    """Index of the right choice."""
    target: str | None = None
    document_id: str | None = None

    @model_validator(mode="after")
    def _has_an_answer(self) -> "EvaluationItem":
        if (self.choices is None) != (self.gold is None):
            raise ValueError("choices and gold come together")
        if self.choices is not None and self.gold is not None and not 0 <= self.gold < len(self.choices):
            raise ValueError(f"gold {self.gold} is not an index of the {len(self.choices)} choices")
        if self.choices is None and self.target is None:
            raise ValueError("needs choices and gold, or target")
        return self


def write_items(path: Path, items: Iterable[EvaluationItem]) -> None:
    """Write items as JSONL; fields that are None are left out."""
    _write(path, (item.model_dump(exclude_none=True) for item in items))


def write_references(path: Path, items: Iterable[EvaluationItem]) -> None:
    """The same of items whose target is compared with, not matched: it is called `reference`."""
    rows = [item.model_dump(exclude_none=True) for item in items]
    for row in rows:
        row["reference"] = row.pop("target")
    _write(path, rows)


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_items(path: str | Path) -> list[EvaluationItem]:
    """The items of one JSONL file, in order; `reference` is read as `target`.

    Raises:
        DataError: the file is missing or empty, or a line is not an item; the message names file and line.
    """
    path = Path(path)
    items = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    items.append(_item(f"{path}:{number}", line))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot read the evaluation items: {error}") from error
    if not items:
        raise DataError(f"{path}: holds no evaluation item")
    return items


def evaluation_prompts(heldout: Path) -> set[str]:
    """Every question of the items of a `heldout_text` artifact: what no training may see."""
    return {item.prompt for path in sorted((heldout / "items").glob("*.jsonl")) for item in read_items(path)}


def _item(place: str, line: str) -> EvaluationItem:
    try:
        record = json.loads(line)
        if isinstance(record, dict) and "reference" in record:
            record["target"] = record.pop("reference")
        return EvaluationItem.model_validate(record)
    except ValidationError as error:
        fields = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'item'}: {item['msg']}" for item in error.errors())
        raise DataError(f"{place}: {fields}") from error
    except ValueError as error:
        raise DataError(f"{place}: not valid JSON: {error}") from error
