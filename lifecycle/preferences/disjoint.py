"""Prompts apart from everything that measures the models: held-out text, its items, and the recipe's evaluation files."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lifecycle.curation.passages import PassageIndex
from lifecycle.errors import CorruptArtifactError
from lifecycle.evaluation.items import read_items
from lifecycle.evaluation.texts import read_evaluation_texts
from lifecycle.recipe.corpora import CurationConfig

SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class EvaluationSets:
    """What no prompt may be, or quote."""

    heldout: Path
    curation: CurationConfig

    def is_prompt(self, question: str) -> bool:
        """Whether the question is one of an item, case and white space aside."""
        return _folded(question) in self._prompts

    def quoted_in(self, text: str) -> bool:
        """Whether the text holds a passage of an evaluation file (`curation.overlap`) or of the text that bits per byte are
        measured on (`curation.heldout_overlap`)."""
        return any(index.find(text) for index in self._passages)

    @cached_property
    def _prompts(self) -> frozenset[str]:
        items = (item.prompt for path in sorted((self.heldout / "items").glob("*.jsonl")) for item in read_items(path))
        return frozenset(_folded(text) for text in (*items, *self._texts))

    @cached_property
    def _texts(self) -> list[str]:
        found = read_evaluation_texts(self.curation.decontaminate, "curation.decontaminate")
        return [each.text for each in found]

    @cached_property
    def _passages(self) -> list[PassageIndex]:
        indices = [PassageIndex(self._texts, self.curation.overlap)] if self._texts else []
        if self.curation.heldout_overlap:
            indices.append(PassageIndex(_measured(self.heldout / "text.jsonl"), self.curation.heldout_overlap))
        return indices


def _measured(path: Path) -> list[str]:
    try:
        return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifactError(f"{path}: missing or damaged: {error}") from error


def _folded(text: str) -> str:
    return SPACE.sub(" ", text).strip().casefold()
