"""Stage `comparisons`: the last model's answers against those of SFT and of registered versions, by every judge."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.curation.language import language_of
from lifecycle.errors import CorruptArtifactError, DataError
from lifecycle.evaluation.results import Metric, Results, higher, read_answers
from lifecycle.evaluation.statistics import WinRate, win_rate_of
from lifecycle.instructions.conversations import Message
from lifecycle.preferences.asked import Asked, Candidate, Judge
from lifecycle.preferences.table import Answer
from lifecycle.recipe.base import Section

FILE, SUMMARY = "comparisons.parquet", "comparisons.json"
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("against", "by", "id", "prompt", "answer", "other_answer")]
    + [("outcome", pa.float64())]
)
"""`outcome` is 1 where the last model's answer wins, 0.5 for a tie, 0 where the other's does, null without a verdict."""
REFERENCE = "reference"
MIN_LANGUAGE_SCORE = 0.5
TOLERANCE = 1e-9

Judges = Callable[[str], Mapping[str, Judge]]
"""Judges by their names, given the name of the other model; each scores the two candidates of a prompt."""


class Comparison(Section):
    """One model against another by one judge."""

    model: str
    against: str
    """A model of the recipe, or `NAME/VERSION` of the registry."""
    by: str
    won: WinRate
    percent: float
    """100 (wins + ties / 2) / n: the win rate as it is mostly printed."""
    no_verdict: int
    """Prompts of which the judge said nothing; they are no part of n."""
    facts: dict[str, Any]
    """What the judge has to say of its work (comparisons that order decided, requests, cost)."""

    def metric(self) -> Metric:
        """The rate as a figure of the model."""
        return higher(self.won.rate, self.won.interval)


def build_comparisons(
    name: str, evaluation: Path, others: Mapping[str, Path], judges: Judges, seed: int, out: Path
) -> dict[str, Any]:
    """Write `comparisons.parquet` (an outcome for each other model, judge and prompt) and `comparisons.json` (`Comparison`s,
    and the other models' own figures).

    Both sides answered the same prompts greedily, in the evaluation. The reference score always judges; a prompt to which
    both gave the same answer is a tie for every judge, and nobody is asked.

    Args:
        name: of the model that the others are compared with, and `evaluation` its artifact.
        others: artifacts of evaluation by the names that the report shows.
        judges: beside the reference score, of the comparison with the model of this name.

    Raises:
        DataError: the models answered different prompts, or none.
        EndpointError: a judge cannot be asked.
    """
    ours, rows, comparisons = read_answers(evaluation), [], []
    for against, path in others.items():
        theirs = read_answers(path)
        if [row["id"] for row in ours] != [row["id"] for row in theirs] or not ours:
            raise DataError(
                f"comparisons: {name} and {against} did not answer the same prompts ({len(ours)} and {len(theirs)}); "
                "win rates need questions of held-out documents (a python_docs source)"
            )
        for by, judge in ({REFERENCE: None} | dict(judges(against))).items():
            outcomes, facts = _judged(ours, theirs, judge) if judge else (_by_score(ours, theirs), {})
            judged = zip(ours, theirs, outcomes.tolist(), strict=True)
            rows += [_row(against, by, one, other, outcome) for one, other, outcome in judged]
            comparisons.append(_comparison(name, against, by, outcomes, facts, seed))
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), out / FILE, compression="zstd")
    figures = {against: Results.read(path).model_dump(mode="json") for against, path in others.items()}
    summary = {"comparisons": [each.model_dump(mode="json") for each in comparisons], "figures": figures}
    (out / SUMMARY).write_text(json.dumps(summary, indent=1), encoding="utf-8")
    return {"rows": len(rows), "win_rates": {f"{each.by} over {each.against}": each.won.rate for each in comparisons}}


def read_comparisons(directory: Path) -> tuple[list[Comparison], dict[str, Results]]:
    """The comparisons of an artifact, and the other models' own figures by name; raises CorruptArtifactError."""
    path = directory / SUMMARY
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        comparisons = [Comparison.model_validate(each) for each in found["comparisons"]]
        return comparisons, {name: Results.model_validate(each) for name, each in found["figures"].items()}
    except (OSError, ValueError, KeyError) as error:
        raise CorruptArtifactError(f"{path}: missing or damaged: {error}") from error


def _comparison(name: str, against: str, by: str, outcomes: np.ndarray, facts: dict[str, Any], seed: int) -> Comparison:
    known = outcomes[~np.isnan(outcomes)]
    if not len(known):
        raise DataError(f"comparisons: the judge {by} gave no verdict on any answer of {name} and {against}")
    won = win_rate_of(known, seed)
    missing = len(outcomes) - len(known)
    return Comparison(model=name, against=against, by=by, won=won, percent=100 * won.rate, no_verdict=missing, facts=facts)


def _by_score(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> np.ndarray:
    scores = ([row["score"] for row in side] for side in (ours, theirs))
    return _outcomes(*(np.array(values, dtype=np.float64) for values in scores))


def _outcomes(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    difference = ours - theirs
    found = np.where(difference > TOLERANCE, 1.0, np.where(difference < -TOLERANCE, 0.0, 0.5))
    return np.where(np.isnan(difference), np.nan, found)


def _judged(
    ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]], judge: Judge
) -> tuple[np.ndarray, dict[str, Any]]:
    """One judge's outcomes by prompt, not a number where it gave no verdict, and its facts."""
    outcomes = np.full(len(ours), 0.5)
    differ = [place for place, (one, other) in enumerate(zip(ours, theirs, strict=True)) if _text(one) != _text(other)]
    if not differ:
        return outcomes, {}
    judgement = judge([_asked(ours[place], theirs[place]) for place in differ])
    scores = np.array([[np.nan if score is None else score for score in pair] for pair in judgement.scores])
    outcomes[differ] = _outcomes(scores[:, 0], scores[:, 1])
    return outcomes, judgement.facts


def _asked(one: dict[str, Any], other: dict[str, Any]) -> Asked:
    return Asked(
        id=one["id"],
        prompt=(Message(role="user", content=one["prompt"]),),
        reference=one["reference"],
        task=one["task"],
        language=language_of(one["prompt"], "en", MIN_LANGUAGE_SCORE),
        candidates=tuple(
            Candidate(side, 0, 0.0, Answer(row["answer"], row["tokens"], row["finished"]))
            for side, row in (("ours", one), ("theirs", other))
        ),
    )


def _text(row: dict[str, Any]) -> str:
    return row["answer"].strip()


def _row(against: str, by: str, one: dict[str, Any], other: dict[str, Any], outcome: float) -> dict[str, Any]:
    return {
        "against": against,
        "by": by,
        "id": one["id"],
        "prompt": one["prompt"],
        "answer": one["answer"],
        "other_answer": other["answer"],
        "outcome": None if np.isnan(outcome) else outcome,
    }
