"""The scoring program: what a model makes of every conversation's answers.

Run it through `lifecycle.training.launch`. Inputs: `instructions`, `tokenizer` and `model`; config: `ScoringConfig`. Writes
`losses.parquet` to the output, a row for each conversation in the order of `instructions`. Conversations go through the
model unit by unit; what a unit gave is kept by its tokens and the model's digest, so a killed run goes on where it was, and
so does one with another judge.
"""

import hashlib
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.instructions.answer_losses import TOKENS, Row, answer_losses, scored_tokens
from lifecycle.instructions.conversations import read_conversations
from lifecycle.instructions.quality import LOSSES
from lifecycle.instructions.units import through_units
from lifecycle.jobs import TrainingJob
from lifecycle.pretrained import load_for_inference
from lifecycle.recipe.base import Section
from lifecycle.tokens.chat import Encoded, check_template, encode_conversations, load_tokenizer
from lifecycle.training.journal import Journal

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("unscored", pa.string()),
        ("question_tokens", pa.int64()),
        ("answer_tokens", pa.int64()),
        ("loss_answer", pa.float64()),
        ("loss_answer_alone", pa.float64()),
    ]
)
TOO_LONG, NO_ANSWER = "too_long", "no_answer_tokens"
KEPT = "sums.npy"


class ScoringConfig(Section):
    """Where units are kept, and what they are kept for."""

    cache: str
    model_digest: str
    own_tokenizer: bool
    """Whether the model reads with its own tokenizer, which is given the template of the recipe's."""


@dataclass(frozen=True)
class _Case:
    """One conversation as tokens, and the reason why it gets no losses."""

    row: Row
    trained: int
    unscored: str | None


def main(job: TrainingJob) -> None:
    """Score everything, and write `losses.parquet` and `result.json` (conversations, units reused, tokens per second)."""
    config = ScoringConfig.model_validate(job.config)
    started = time.monotonic()
    model, own = load_for_inference(Path(job.inputs["model"]))
    tokenizer: Any = load_tokenizer(Path(job.inputs["tokenizer"]))
    if config.own_tokenizer:
        own.chat_template = tokenizer.chat_template
        check_template(own, "that of the recipe, on the tokenizer of instructions.scores.model")
        tokenizer = own
    conversations = read_conversations(Path(job.inputs["instructions"]))
    encoded = encode_conversations(tokenizer, [conversation.chat() for conversation in conversations])
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None) or math.inf
    cases = [_case(each, tokenizer.all_special_ids, limit) for each in encoded]
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    sums, facts = _score(cases, model, pad, config, Journal(Path(job.run_dir)))
    output = Path(job.output)
    output.mkdir(parents=True, exist_ok=True)
    table = _table([conversation.id for conversation in conversations], cases, sums)
    pq.write_table(table, output / LOSSES, compression="zstd")
    facts |= {"rows": len(cases), "seconds": round(time.monotonic() - started, 3)}
    (Path(job.run_dir) / "result.json").write_bytes(orjson.dumps(facts))


def _case(encoded: Encoded, special: Sequence[int], limit: float) -> _Case:
    wanted = scored_tokens(encoded, special)
    unscored = NO_ANSWER if not wanted.any() else TOO_LONG if len(encoded.ids) > limit else None
    return _Case(Row(encoded.ids, wanted), int(encoded.mask.sum()), unscored)


def _score(
    cases: Sequence[_Case], model: Any, pad: int, config: ScoringConfig, journal: Journal
) -> tuple[np.ndarray, dict[str, Any]]:
    """Sums in nats, float64 [2, conversations], given everything before and alone, NaN where there are none; and figures."""
    sums = np.full((2, len(cases)), np.nan)
    scored = [number for number, case in enumerate(cases) if case.unscored is None]
    entries, facts = through_units(
        [cases[number].row for number in scored],
        Path(config.cache),
        key=partial(_key, config.model_digest),
        make=partial(_keep, model, pad),
        tokens=lambda row: len(row.ids),
        journal=journal,
        done="scored",
    )
    if scored:
        sums[:, scored] = np.concatenate([np.load(entry / KEPT, allow_pickle=False) for entry in entries], axis=1)
    return sums, facts


def _keep(model: Any, pad: int, rows: Sequence[Row], directory: Path) -> None:
    np.save(directory / KEPT, answer_losses(model, rows, pad), allow_pickle=False)


def _key(model_digest: str, rows: Sequence[Row]) -> str:
    """Of all that decides the sums of a unit: they are rounded as its rows share forward passes."""
    state = hashlib.sha256(f"{model_digest} {TOKENS}".encode())
    for row in rows:
        state.update(np.int64(len(row.ids)).tobytes() + row.ids.tobytes() + row.wanted.tobytes())
    return state.hexdigest()[:32]


def _table(ids: Sequence[str], cases: Sequence[_Case], sums: np.ndarray) -> pa.Table:
    tokens = np.array([int(case.row.wanted.sum()) for case in cases], dtype=np.int64)
    means = sums / np.maximum(tokens, 1)
    columns = {
        "id": pa.array(ids, pa.string()),
        "unscored": pa.array([case.unscored for case in cases], pa.string()),
        "question_tokens": pa.array([len(case.row.ids) - case.trained for case in cases], pa.int64()),
        "answer_tokens": pa.array(tokens),
        "loss_answer": pa.array(means[0], from_pandas=True),
        "loss_answer_alone": pa.array(means[1], from_pandas=True),
    }
    return pa.Table.from_pydict(columns, schema=SCHEMA)


if __name__ == "__main__":
    main(TrainingJob.read(sys.argv[1]))
