"""The reference judge: overlap with the answer that the conversation has."""

from collections.abc import Sequence

from lifecycle.preferences.asked import Asked, Judgement
from lifecycle.preferences.score import reference_score
from lifecycle.recipe.preferences import ReferenceJudge


def judge_by_reference(asked: Sequence[Asked], config: ReferenceJudge) -> Judgement:
    """`reference_score` of each answer; there is always a verdict."""
    scores: list[list[float | None]] = [
        [reference_score(each.answer.text, one.reference, finished=each.answer.finished) for each in one.candidates]
        for one in asked
    ]
    return Judgement("reference", config.weight, scores)
