"""Stage `selected_instructions`: which of the cleaned conversations are trained on, each kept or dropped under a rule."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.errors import DataError
from lifecycle.instructions.choices import UNKNOWN, Chosen, Rows, decide
from lifecycle.instructions.clusters import NONE
from lifecycle.instructions.conversations import Conversation, read_conversations, write_conversations
from lifecycle.instructions.data_map import draw_selection
from lifecycle.instructions.embeddings import canonical_order, read_embeddings
from lifecycle.instructions.map_page import write_map_page
from lifecycle.instructions.near_threshold import write_near_threshold
from lifecycle.instructions.quality import read_instruction_scores
from lifecycle.instructions.quotas import KEPT
from lifecycle.ledger import Ledger, LedgerWriter
from lifecycle.recipe.selection import Selection

FILE = "selection.parquet"
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "source", "task", "language", "decision", "nearest_id", "nearest_source")]
    + [("cluster", pa.int32()), ("score", pa.float64()), ("similarity", pa.float32())]
)
"""`decision` is `kept` or a rule. `nearest_…` is the conversation most like this one among those of its cluster that are
better and no duplicates themselves, `similarity` their cosine; null for the best of a cluster."""


def build_selection(
    instructions: Path, embeddings: Path, scores: Path | None, config: Selection, out: Path, run_dir: Path
) -> dict[str, Any]:
    """Write the conversations that are trained on, `selection.parquet` (a row for each that was read, `SCHEMA`),
    `near_threshold.parquet` (pairs on both sides of what counts as a duplicate) and `ledger.json`.

    Rules, in order: `score_out_of_band`, `semantic_duplicate`; of what is left the number wanted is kept, the best by score
    within the quotas, and dropped are under `language_quota`, `task_quota`, `cluster_quota` those that would be kept without
    this quota, under `low_score` (`not_drawn`, where the choice is random) all others. The best is first by score, then the
    one with more characters, then that of the smaller id. Which are kept does not depend on the order of the file.

    Args:
        scores: artifact of `instruction_scores`, where the score is one of its columns.

    Raises:
        DataError: nothing is left.
    """
    conversations = read_conversations(instructions)
    order = canonical_order(conversations)
    vectors, points, about = read_embeddings(embeddings)
    found = _scores(conversations, scores, config.by.column)
    rows = Rows([conversations[index] for index in order], vectors[order], found[order])
    chosen = decide(rows, config)
    if not (chosen.decisions == KEPT).any():
        raise DataError(
            f"instructions.selection: of {len(order)} conversations none is left; widen selection.by.min and max"
        )
    table = _table(rows, chosen).take(np.argsort(order))
    kept = [each for each, decision in zip(conversations, table["decision"].to_pylist(), strict=True) if decision == KEPT]
    write_conversations(out, kept)
    pq.write_table(table, out / FILE, compression="zstd")
    write_near_threshold(conversations, table, out)
    _account(conversations, table).write(out)
    placed = table["cluster"].to_numpy()
    stays = table["decision"].to_numpy(zero_copy_only=False) == KEPT
    draw_selection([each.source for each in conversations], placed, stays, points, about.label, run_dir)
    write_map_page(conversations, table, points, about.label, run_dir)
    return {
        "rows": len(kept),
        "read": len(conversations),
        "kept_share": round(len(kept) / len(conversations), 4),
        "embeddings": about.label,
        "by": "a random draw" if config.random else f"{config.by.order} {config.by.column}",
        "min_similarity": config.duplicates.min_similarity if config.duplicates else None,
        "clusters": int(placed.max()) + 1,
        "clusters_kept": int(np.unique(placed[stays]).size),
        "dropped": _counts(table.filter(pa.array(~stays))["decision"]),
        "languages": {"read": _counts(table["language"]), "kept": _counts(table.filter(pa.array(stays))["language"])},
        "tasks": {"read": _counts(table["task"]), "kept": _counts(table.filter(pa.array(stays))["task"])},
    }


def read_selection(directory: Path) -> pa.Table:
    """What became of every conversation; raises DataError where there is no such table."""
    try:
        return pq.read_table(directory / FILE)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{directory / FILE}: not a readable selection: {error}; make selected_instructions again"
        ) from error


def _scores(conversations: Sequence[Conversation], scores: Path | None, column: str) -> NDArray[np.float64]:
    if scores is None:
        counted = {
            "question_characters": lambda each: each.characters("user"),
            "answer_characters": lambda each: each.characters("assistant"),
            "turns": lambda each: sum(message.role == "assistant" for message in each.messages),
        }
        return np.array([counted[column](each) for each in conversations], dtype=np.float64)
    table = read_instruction_scores(scores)
    if table["id"].to_pylist() != [each.id for each in conversations]:
        raise DataError(f"{scores}: the scores are not those of these conversations; make instruction_scores again")
    return table[column].to_numpy(zero_copy_only=False).astype(np.float64)


def _table(rows: Rows, chosen: Chosen) -> pa.Table:
    likeness = chosen.likeness
    nearest = [None if place == NONE else rows.conversations[place] for place in likeness.nearest.tolist()]
    columns: dict[str, Any] = {
        **{name: [getattr(each, name) for each in rows.conversations] for name in ("id", "source", "task")},
        "language": [each.language or UNKNOWN for each in rows.conversations],
        "decision": chosen.decisions,
        "nearest_id": [each and each.id for each in nearest],
        "nearest_source": [each and each.source for each in nearest],
        "cluster": chosen.clusters,
        "score": pa.array(rows.scores, from_pandas=True),
        "similarity": pa.array(likeness.similarity, mask=likeness.nearest == NONE),
    }
    return pa.Table.from_pydict(columns, schema=SCHEMA)


def _account(conversations: Sequence[Conversation], table: pa.Table) -> Ledger:
    writers: dict[str, LedgerWriter] = {}
    for conversation, decision in zip(conversations, table["decision"].to_pylist(), strict=True):
        writer = writers.setdefault(conversation.source, LedgerWriter(conversation.source))
        if decision == KEPT:
            writer.keep(conversation.text(), language=conversation.language)
        else:
            writer.drop(decision, conversation.id, conversation.text())
    return Ledger(sources=tuple(writer.close() for writer in writers.values()))


def _counts(column: Any) -> dict[str, int]:
    return dict(sorted((row["values"], row["counts"]) for row in column.combine_chunks().value_counts().to_pylist()))
