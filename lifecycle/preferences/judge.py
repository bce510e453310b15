"""From prompts to pairs: several answers sampled, each scored against the reference, the best set against the worst."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.instructions.conversations import Conversation
from lifecycle.jobs import TrainingJob
from lifecycle.ledger import LedgerWriter
from lifecycle.preferences.score import reference_score, similarity
from lifecycle.preferences.table import Answer, Pair, pair_id
from lifecycle.recipe.alignment import PreferencesConfig

NEAR_IDENTICAL = 0.95
PROMPT_SCHEMA = pa.schema(
    [("id", pa.string()), ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))]
)


def sample_prompts(
    conversations: Sequence[Conversation],
    model: Path,
    config: PreferencesConfig,
    run_dir: Path,
    launch: Callable[[TrainingJob], dict[str, Any]],
    fingerprint: str,
) -> tuple[dict[str, list[Answer]], dict[str, Any]]:
    """Sampled answers by conversation id, and the sampling program's figures (answers, tokens per second)."""
    if not conversations:
        return {}, {}
    sampling = run_dir / "sampling"
    (sampling / "prompts").mkdir(parents=True, exist_ok=True)
    rows = [{"id": c.id, "prompt": c.chat()[:-1]} for c in conversations]
    pq.write_table(pa.Table.from_pylist(rows, schema=PROMPT_SCHEMA), sampling / "prompts" / "prompts.parquet")
    figures = launch(
        TrainingJob(
            stage="preference_pairs",
            fingerprint=fingerprint,
            program="lifecycle.preferences.sample",
            config={
                "candidates": config.candidates,
                "temperature": config.temperature,
                "max_new_tokens": config.max_new_tokens,
                "seed": config.seed,
                "batch": config.batch,
            },
            inputs={"model": str(model), "prompts": str(sampling / "prompts")},
            output=str(sampling / "candidates"),
            run_dir=str(sampling),
        )
    )
    answers: dict[str, list[Answer]] = {c.id: [] for c in conversations}
    for row in pq.read_table(sampling / "candidates" / "candidates.parquet").to_pylist():
        answers[row["id"]].append(Answer(row["answer"], row["tokens"], row["finished"]))
    return answers, figures


def judge_candidates(
    conversations: Sequence[Conversation],
    answers: dict[str, list[Answer]],
    min_margin: float,
    source: str,
    ledger: LedgerWriter,
) -> list[Pair]:
    """One pair per conversation at most: the best-scored answer against the worst.

    Each conversation enters the ledger as kept, or as `identical` (all answers say the same), `no_margin` (scores
    closer than `min_margin`), `near_identical` (chosen and rejected share nearly all words) or `empty_chosen`.
    """
    pairs = []
    for conversation in conversations:
        reference = conversation.messages[-1].content
        scored = sorted(
            ((reference_score(a.text, reference, finished=a.finished), a.text) for a in answers[conversation.id]),
            reverse=True,
        )
        (best, chosen), (worst, rejected) = scored[0], scored[-1]
        pair = Pair(
            id=pair_id(source, conversation.id),
            prompt=conversation.messages[:-1],
            chosen=chosen,
            rejected=rejected,
            source=source,
            task=conversation.task,
            chosen_score=best,
            rejected_score=worst,
        )
        rule = _rule(pair, {text for _, text in scored}, best - worst, min_margin)
        if rule:
            ledger.drop(rule, conversation.id, pair.text())
        else:
            ledger.keep(pair.text())
            pairs.append(pair)
    return pairs


def _rule(pair: Pair, texts: set[str], margin: float, min_margin: float) -> str | None:
    if len(texts) == 1:
        return "identical"
    if margin < min_margin or margin == 0:
        return "no_margin"
    if not pair.chosen:
        return "empty_chosen"
    return "near_identical" if similarity(pair.chosen, pair.rejected) >= NEAR_IDENTICAL else None
