"""What the models are asked beside the tasks: questions for generation health, and prompts for safety.

The stage writes them once into the run directory; the processes of the evaluation answer a portion each
(`lifecycle.evaluation.said`), and need neither the user's files nor their variables.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from lifecycle.errors import CorruptArtifactError, DataError
from lifecycle.evaluation.texts import read_records
from lifecycle.files import write_atomically
from lifecycle.recipe.base import Section
from lifecycle.recipe.evaluation import EvaluationConfig
from lifecycle.recipe.evaluation_sets import HealthConfig, SafetySet

FILE = "asked.jsonl"


class AskedItem(Section):
    """A question, or one conversation of several."""

    kind: Literal["health", "safety"]
    part: str
    """`health`, or the name of the safety set."""
    id: str
    language: str
    """That the answer should be in."""
    turns: tuple[str, ...]
    harmful: bool = False

    @property
    def key(self) -> int:
        """The name of its noise, the same in every evaluation."""
        return int(hashlib.sha256(f"{self.kind}:{self.part}:{self.id}".encode()).hexdigest()[:16], 16)


def write_asked(config: EvaluationConfig, run_dir: Path) -> list[AskedItem]:
    """Everything that the recipe asks for, also written to `run_dir`.

    Raises:
        DataError: a file is missing, cannot be read, or has no such prompt; the message names field and file.
    """
    asked = _health(config.health) if config.health else []
    for each in config.safety.sets if config.safety else ():
        asked += _safety(each, config.seed)
    write_atomically(run_dir / FILE, "".join(f"{item.model_dump_json()}\n" for item in asked))
    return asked


def read_asked(run_dir: Path) -> list[AskedItem]:
    """What `write_asked` wrote; raises CorruptArtifactError where it is missing or damaged."""
    path = run_dir / FILE
    try:
        return [AskedItem.model_validate_json(line) for line in path.read_bytes().splitlines()]
    except (OSError, ValidationError) as error:
        raise CorruptArtifactError(f"{path}: missing or damaged; evaluate again: {error}") from error


def _health(config: HealthConfig) -> list[AskedItem]:
    (read,) = config.files_read()
    field = read.name
    items: dict[str, AskedItem] = {}
    for file, _, number, value in read_records(read.path, field):
        try:
            item = AskedItem.model_validate({"kind": "health", "part": "health", "id": number, **_mapping(value)})
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise DataError(f"{field}: {file}, item {number}: {problems}; needs id, language and turns") from error
        if not item.turns or not all(turn.strip() for turn in item.turns):
            raise DataError(f"{field}: {file}, item {number}: turns must be questions, at least one")
        if item.id in items:
            raise DataError(f"{field}: {file}: two items have the id {item.id}")
        items[item.id] = item
    chosen = [item for item in items.values() if item.language in config.languages]
    if not any(len(item.turns) == 1 for item in chosen):
        raise DataError(f"{field}: no question of one turn in any of the languages {list(config.languages)}")
    return chosen


def _mapping(value: Any) -> dict[str, Any]:
    return {key: value[key] for key in ("id", "language", "turns") if key in value} if isinstance(value, dict) else {}


def _safety(config: SafetySet, seed: int) -> list[AskedItem]:
    """`max_items` prompts of one set, the same ones for every model."""
    field = f"evaluation.safety.sets.{config.name}"
    prompts: dict[str, None] = {}
    for file, _, number, value in read_records(config.path, field):
        if not isinstance(value, dict) or not {config.field, *config.where} <= set(value):
            raise DataError(f"{field}: {file}, item {number}: has no field {config.field!r} (or one of `where`)")
        if all(str(value[name]) == wanted for name, wanted in config.where.items()) and (text := _text(value[config.field])):
            prompts[config.template.replace("{text}", text)] = None
    if not prompts:
        raise DataError(f"{field}: no item has a prompt in {config.field!r} and is as `where` says ({config.where})")
    drawn = sorted(prompts, key=lambda prompt: hashlib.sha256(f"{seed}:{prompt}".encode()).digest())
    return [
        AskedItem(
            kind="safety",
            part=config.name,
            id=hashlib.sha256(prompt.encode()).hexdigest()[:16],
            language=config.language,
            turns=(prompt,),
            harmful=config.harmful,
        )
        for prompt in drawn[: config.max_items]
    ]


def _text(value: Any) -> str:
    """A prompt, or the first of a list of them."""
    if isinstance(value, list):
        value = value[0] if value else ""
    return str(value).strip()
