"""From scored answers to pairs: which answer is chosen, and which one it is set against."""

from collections.abc import Sequence
from itertools import combinations

from lifecycle.preferences.asked import Asked
from lifecycle.preferences.drafts import Draft
from lifecycle.preferences.score import similarity
from lifecycle.preferences.table import Pair, pair_id
from lifecycle.recipe.preferences import PairingConfig

KEPT = "kept"
DUPLICATE, NO_VERDICT, BETWEEN = "duplicate", "no_verdict", "not_taken"


def pair_up(
    asked: Sequence[Asked], scores: Sequence[Sequence[float | None]], config: PairingConfig, min_margin: float, source: str
) -> tuple[list[Draft], list[str | None]]:
    """The pairs, those dropped by a rule among them, and for each prompt without any pair the reason.

    Reasons: `identical` (all answers say the same), `no_verdict` (fewer than two answers have a score), `no_margin` (none is
    better than another by `min_margin`). Rules of a pair: `empty_chosen`, `near_identical` (`similarity` of both answers).
    """
    drafts: list[Draft] = []
    reasons: list[str | None] = []
    for place, (each, row) in enumerate(zip(asked, scores, strict=True)):
        distinct = distinct_answers(each)
        scored = [(score, number) for number in distinct if (score := row[number]) is not None]
        scored.sort(key=lambda entry: (-entry[0], entry[1]))
        chosen = _choose(scored, config, min_margin)
        if chosen:
            drafts += [_draft(place, each, first, second, config, source) for first, second in chosen]
            reasons.append(None)
        elif len(distinct) < 2:
            reasons.append("identical")
        else:
            reasons.append(NO_VERDICT if len(scored) < 2 else "no_margin")
    return drafts, reasons


def distinct_answers(asked: Asked) -> list[int]:
    """Places of the candidates that say something that none before them says."""
    first: dict[str, int] = {}
    for number, candidate in enumerate(asked.candidates):
        first.setdefault(candidate.answer.text.strip(), number)
    return list(first.values())


Scored = tuple[float, int]


def _choose(scored: list[Scored], config: PairingConfig, min_margin: float) -> list[tuple[Scored, Scored]]:
    """Chosen and rejected; `scored` goes from the best to the worst."""

    def apart(first: Scored, second: Scored) -> bool:
        return first[0] > second[0] and first[0] - second[0] >= min_margin

    if config.rejected == "every":
        wide = [(first, second) for first, second in combinations(scored, 2) if apart(first, second)]
        return sorted(wide, key=lambda pair: pair[1][0] - pair[0][0])[: config.pairs_per_prompt]
    worse = [second for second in scored[1:] if apart(scored[0], second)]
    if not worse:
        return []
    return [(scored[0], worse[0] if config.rejected == "hard" else worse[-1])]


def _draft(place: int, asked: Asked, first: Scored, second: Scored, config: PairingConfig, source: str) -> Draft:
    (best, chosen), (worst, rejected) = first, second
    locator = asked.id if config.rejected != "every" else f"{asked.id}:{chosen}:{rejected}"
    pair = Pair(
        id=pair_id(source, locator),
        prompt=asked.prompt,
        chosen=asked.candidates[chosen].answer.text,
        rejected=asked.candidates[rejected].answer.text,
        source=source,
        task=asked.task,
        chosen_score=best,
        rejected_score=worst,
    )
    draft = Draft(pair, asked.language, source, place, chosen, rejected)
    if not pair.chosen:
        draft.rule = "empty_chosen"
    elif similarity(pair.chosen, pair.rejected) >= config.max_similarity:
        draft.rule = "near_identical"
    return draft


def decisions(asked: Sequence[Asked], drafts: Sequence[Draft], scores: Sequence[Sequence[float | None]]) -> list[list[str]]:
    """What became of every candidate: `kept` in a pair, or the rule that dropped its pair, or why it is in none.

    `duplicate` says what an earlier one says, `no_verdict` has no score, `not_taken` has one and is in no pair.
    """
    found = []
    for each, row in zip(asked, scores, strict=True):
        distinct = set(distinct_answers(each))
        decided = [DUPLICATE if number not in distinct else BETWEEN for number in range(len(each.candidates))]
        for number, score in enumerate(row):
            if decided[number] == BETWEEN and score is None:
                decided[number] = NO_VERDICT
        found.append(decided)
    for draft in drafts:
        for number in (draft.chosen, draft.rejected) if draft.asked is not None else ():
            if found[draft.asked][number] != KEPT:  # type: ignore[index]
                found[draft.asked][number] = draft.rule or KEPT  # type: ignore[index]
    return found
