"""The language-model judge: every two answers to a prompt are compared in both orders (Zheng et al. 2023, MT-bench)."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Literal

from lifecycle.endpoint.client import Endpoint
from lifecycle.endpoint.rubric import Rubric
from lifecycle.preferences.asked import Asked, Judgement, Scores
from lifecycle.recipe.preferences import EndpointJudge

NO_VERDICT, BY_ORDER = "no_verdict", "decided_by_order"
VERDICT = re.compile(r"\[\[([ABC])\]\]")

Verdict = Literal["A", "B", "C"]
VERDICTS: dict[str, Verdict] = {"A": "A", "B": "B", "C": "C"}


def judge_by_endpoint(asked: Sequence[Asked], config: EndpointJudge, rubric: Rubric, endpoint: Endpoint) -> Judgement:
    """The share of its comparisons that an answer wins, a tie counting half; None where none of them has a verdict.

    An answer wins where it is preferred in both orders; where each order prefers another one, order decided, and it is a
    tie (`decided_by_order` in the facts). A comparison with a reply that holds no verdict, or without a reply, is counted as
    `no_verdict` and is no part of any share. Equal answers are compared once.

    Raises:
        EndpointError: the endpoint refuses all requests, or is away.
    """
    duels = [(place, first, second) for place, each in enumerate(asked) for first, second in combinations(_texts(each), 2)]
    requests = []
    for place, first, second in duels:
        one = asked[place]
        for left, right in ((first, second), (second, first)):
            requests.append(rubric.message(one.language, question=one.question, first=left, second=right))
    replies = endpoint.ask(requests, "comparisons")
    said: list[Verdict | None] = [verdict(reply.answer.text) if reply.answer else None for reply in replies]
    shares: list[dict[str, list[float]]] = [{} for _ in asked]
    counts: Counter[str] = Counter()
    for (place, first, second), one, other in zip(duels, said[::2], said[1::2], strict=True):
        result = outcome(one, other)
        counts[NO_VERDICT if result is None else "ties" if result == 0.5 else "decided"] += 1
        counts[BY_ORDER] += {one, other} == {"A"} or {one, other} == {"B"}
        if result is not None:
            shares[place].setdefault(first, []).append(result)
            shares[place].setdefault(second, []).append(1 - result)
    scores: Scores = [
        [_mean(shares[place].get(candidate.answer.text.strip(), [])) for candidate in each.candidates]
        for place, each in enumerate(asked)
    ]
    return Judgement("endpoint", config.weight, scores, {"comparisons": len(duels), **counts, **endpoint.usage.facts()})


def verdict(said: str) -> Verdict | None:
    """The last verdict in what the judge said; None where there is none."""
    found = VERDICT.findall(said)
    return VERDICTS[found[-1]] if found else None


def outcome(one: Verdict | None, other: Verdict | None) -> float | None:
    """What the first answer gets of a comparison, from the verdict with it as A and the one with it as B."""
    if one is None or other is None:
        return None
    if (one, other) == ("A", "B"):
        return 1.0
    return 0.0 if (one, other) == ("B", "A") else 0.5


def _texts(asked: Asked) -> list[str]:
    return list(dict.fromkeys(candidate.answer.text.strip() for candidate in asked.candidates))


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
