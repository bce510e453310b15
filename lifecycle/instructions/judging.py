"""The column `judge`: a model behind a chat endpoint grades each conversation by a rubric that is a file."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.endpoint.client import Endpoint, Reply
from lifecycle.endpoint.rubric import FALLBACK, Rubric
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Conversation
from lifecycle.recipe.instruction_scores import JudgeScores

GRADE = re.compile(r"(?:score|评分|得分|分数)[*_\s]*[:：][*_\s]*(-?\d+(?:\.\d+)?)", re.IGNORECASE)
TOO_LONG, UNREADABLE, OFF_SCALE = "too_long", "unreadable_grade", "off_scale"


@dataclass(frozen=True)
class Grade:
    """A grade, or why there is none: `too_long`, `unreadable_grade`, `off_scale`, or as the endpoint says (`status_400`)."""

    value: float | None
    missing: str | None = None


def judge(
    conversations: Sequence[Conversation], config: JudgeScores, rubric: Rubric, endpoint: Endpoint
) -> tuple[list[Grade], dict[str, Any]]:
    """The grade of each conversation in their order, and figures: grades, why some are missing, what was asked and paid.

    Grades that are missing are counted and belong to no mean.

    Raises:
        DataError: more of those that were asked about have no grade than the recipe tolerates.
        EndpointError: the endpoint is away, or refuses everything.
    """
    asked = [each for each in conversations if len(each.text()) <= config.max_characters]
    requests = [rubric.message(each.language or FALLBACK, conversation=each.text()) for each in asked]
    replies = iter(endpoint.ask(requests, "conversations to grade"))
    short = {id(each) for each in asked}
    grades = [_grade(next(replies), config) if id(each) in short else Grade(None, TOO_LONG) for each in conversations]
    failed = Counter(grade.missing for grade in grades if grade.missing)
    _check(failed, len(asked), config)
    values = [grade.value for grade in grades if grade.value is not None]
    mean = round(sum(values) / len(values), 4) if values else None
    return grades, {"graded": len(values), "missing": dict(sorted(failed.items())), "mean": mean, **endpoint.usage.facts()}


def read_grade(text: str, config: JudgeScores) -> Grade:
    """The last grade that an answer states, as in `Score: 7`."""
    found = GRADE.findall(text)
    if not found:
        return Grade(None, UNREADABLE)
    value = float(found[-1])
    return Grade(value) if config.lowest <= value <= config.highest else Grade(None, OFF_SCALE)


def _grade(reply: Reply, config: JudgeScores) -> Grade:
    if reply.answer is None:
        return Grade(None, reply.failure)
    return read_grade(reply.answer.text, config)


def _check(failed: Counter[str], asked: int, config: JudgeScores) -> None:
    missing = sum(count for reason, count in failed.items() if reason != TOO_LONG)
    if missing > config.tolerance * asked:
        reasons = ", ".join(f"{reason} {count}" for reason, count in failed.most_common() if reason != TOO_LONG)
        raise DataError(
            f"instructions.scores.judge: {missing} of {asked} conversations have no grade ({reasons}), more than the "
            f"tolerance of {config.tolerance:.0%}; look at the rubric and endpoint.max_tokens, or raise judge.tolerance. "
            "What was answered is kept"
        )
