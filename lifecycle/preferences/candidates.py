"""Every sampled answer with every judge's score and what became of it: score once, decide later."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.preferences.asked import Asked, Judgement

FILE = "candidates.parquet"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("task", pa.string()),
        ("language", pa.string()),
        ("model", pa.string()),
        ("candidate", pa.int32()),
        ("temperature", pa.float64()),
        ("answer", pa.string()),
        ("tokens", pa.int32()),
        ("finished", pa.bool_()),
        ("score", pa.float64()),
        ("decision", pa.string()),
    ]
)
"""`id` is the conversation's, `score` the mean of the judges by weight; each judge has a column of its name beside these."""


def write_candidates(
    out: Path,
    asked: Sequence[Asked],
    judgements: Sequence[Judgement],
    scores: Sequence[Sequence[float | None]],
    decided: Sequence[Sequence[str]],
) -> None:
    """Write `candidates.parquet`, in the order of the prompts; scores without a verdict are null."""
    rows = []
    for place, each in enumerate(asked):
        for number, candidate in enumerate(each.candidates):
            rows.append(
                {
                    "id": each.id,
                    "task": each.task,
                    "language": each.language,
                    "model": candidate.model,
                    "candidate": candidate.number,
                    "temperature": candidate.temperature,
                    "answer": candidate.answer.text,
                    "tokens": candidate.answer.tokens,
                    "finished": candidate.answer.finished,
                    "score": scores[place][number],
                    "decision": decided[place][number],
                    **{judgement.judge: judgement.scores[place][number] for judgement in judgements},
                }
            )
    columns = [pa.field(judgement.judge, pa.float64()) for judgement in judgements]
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema([*SCHEMA, *columns])), out / FILE, compression="zstd")
