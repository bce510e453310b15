"""Pairs of conversations on both sides of what counts as a duplicate, for a person to look at."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.differences import first_difference
from lifecycle.instructions.choices import DUPLICATE
from lifecycle.instructions.conversations import Conversation

FILE = "near_threshold.parquet"
PAIRS = 12
"""On either side."""
CONTEXT, EXCERPT = 40, 300
"""Characters before the first difference of two texts, and in all, of an excerpt."""
SCHEMA = pa.schema(
    [("duplicate", pa.bool_()), ("similarity", pa.float32())]
    + [(name, pa.string()) for name in ("id", "source", "text", "better_id", "better_source", "better_text")]
)


def write_near_threshold(conversations: Sequence[Conversation], table: pa.Table, out: Path) -> None:
    """Write the least alike pairs that are duplicates and the most alike that are not, those nearest to the threshold first.

    Args:
        table: the selection's, in the order of `conversations`.
    """
    texts = {(each.source, each.id): each.text() for each in conversations}
    rows: list[dict[str, Any]] = []
    compared = table.filter(pa.array([nearest is not None for nearest in table["nearest_id"].to_pylist()]))
    duplicates = pa.array([decision == DUPLICATE for decision in compared["decision"].to_pylist()], pa.bool_())
    others = pa.array([not duplicate for duplicate in duplicates.to_pylist()], pa.bool_())
    for side, mask, order in ((True, duplicates, "ascending"), (False, others, "descending")):
        some = compared.filter(mask).sort_by([("similarity", order), ("id", "ascending")]).slice(0, PAIRS)
        rows += [{"duplicate": side, **_pair(row, texts)} for row in some.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), out / FILE, compression="zstd")


def _pair(row: dict[str, Any], texts: dict[tuple[str, str], str]) -> dict[str, Any]:
    own, better = texts[row["source"], row["id"]], texts[row["nearest_source"], row["nearest_id"]]
    start = max(0, first_difference(own, better) - CONTEXT) if own != better else 0
    return {
        "similarity": row["similarity"],
        "id": row["id"],
        "source": row["source"],
        "text": own[start : start + EXCERPT],
        "better_id": row["nearest_id"],
        "better_source": row["nearest_source"],
        "better_text": better[start : start + EXCERPT],
    }
