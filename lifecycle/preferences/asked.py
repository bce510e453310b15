"""What was asked and what was answered: the one form in which samplers hand answers to judges, and judges to pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lifecycle.instructions.conversations import Message
from lifecycle.preferences.table import Answer

Scores = list[list[float | None]]
"""By prompt and candidate, from 0 to 1; None where the judge gave no verdict."""


@dataclass(frozen=True)
class Candidate:
    """One answer to a prompt, and how it came to be."""

    model: str
    number: int
    """Of the model's answers to this prompt."""
    temperature: float
    answer: Answer


@dataclass(frozen=True)
class Asked:
    """A prompt, the answer that its conversation has, and the candidates."""

    id: str
    prompt: tuple[Message, ...]
    reference: str
    task: str
    language: str
    candidates: tuple[Candidate, ...]

    @property
    def question(self) -> str:
        """The user's last message."""
        return next(message.content for message in reversed(self.prompt) if message.role == "user")


@dataclass(frozen=True)
class Judgement:
    """One judge's scores of all candidates, and what it has to say of its work."""

    judge: str
    weight: float
    scores: Scores
    facts: dict[str, Any] = field(default_factory=dict)


Judge = Callable[[Sequence[Asked]], Judgement]
"""Scores every candidate of every prompt, in their order; what it cannot judge is None, counted in its facts, and never
moves the scores of others to another place."""


def combined(judgements: Sequence[Judgement]) -> Scores:
    """The mean of the judges' scores by weight; None where a judge that counts has no verdict, as its share is unknown."""
    counted = [each for each in judgements if each.weight]
    total = sum(each.weight for each in counted)
    scores: Scores = []
    for rows in zip(*(each.scores for each in counted), strict=True):
        mixed: list[float | None] = []
        for given in zip(*rows, strict=True):
            known = [score * each.weight for score, each in zip(given, counted, strict=True) if score is not None]
            mixed.append(sum(known) / total if len(known) == len(counted) else None)
        scores.append(mixed)
    return scores
