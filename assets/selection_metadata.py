"""What the Dagster page of `selected_instructions` shows first: the map, who was chosen, what was held to be the same."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import dagster as dg

from lifecycle.artifacts import Published
from lifecycle.recipe.selection import Selection
from resources.shown import markdown, table

if TYPE_CHECKING:
    import pyarrow as pa

KINDS_SHOWN, CLUSTERS_SHOWN, PAIRS_SHOWN = 20, 12, 6
"""Tasks and languages, the largest clusters, pairs on either side of the threshold."""


def selection_metadata(published: Published, config: Selection) -> dict[str, dg.MetadataValue]:
    """The page of the map, shares by language and task beside their targets, the largest clusters, and pairs at the
    threshold of duplicates."""
    import pyarrow.parquet as pq

    from lifecycle.instructions.map_page import PAGE
    from lifecycle.instructions.near_threshold import FILE as PAIRS
    from lifecycle.instructions.selection import read_selection

    chosen = read_selection(published.artifact.path)
    pairs = pq.read_table(published.artifact.path / PAIRS).to_pylist()
    return {
        "data map": dg.MetadataValue.path(str(published.run_dir / PAGE)),
        "languages": table(_shares(chosen, "language", config.quotas.languages), KINDS_SHOWN),
        "tasks": table(_shares(chosen, "task", config.quotas.tasks), KINDS_SHOWN),
        "clusters": table(_clusters(chosen)),
        "pairs held to be duplicates": _pairs([pair for pair in pairs if pair["duplicate"]]),
        "pairs held apart": _pairs([pair for pair in pairs if not pair["duplicate"]]),
    }


def _shares(chosen: "pa.Table", column: str, targets: dict[str, float]) -> list[dict[str, Any]]:
    rows = _counted(chosen, column)
    kept = max(1, sum(row["kept"] for row in rows))
    return [
        {column: row[column], "read": row["read"], "kept": row["kept"], "share of the kept": f"{row['kept'] / kept:.1%}"}
        | ({"target": f"{targets[row[column]]:.1%}" if row[column] in targets else "–"} if targets else {})
        for row in rows
    ]


def _clusters(chosen: "pa.Table") -> list[dict[str, Any]]:
    rows = _counted(chosen, "cluster")
    return [
        {
            "cluster": str(row["cluster"]),
            "read": row["read"],
            "kept": row["kept"],
            "share": f"{row['kept'] / row['read']:.1%}",
        }
        for row in rows[:CLUSTERS_SHOWN]
    ]


def _counted(chosen: "pa.Table", column: str) -> list[dict[str, Any]]:
    """Conversations read and kept by a column, most first."""
    kept = Counter(
        value
        for value, decision in zip(chosen[column].to_pylist(), chosen["decision"].to_pylist(), strict=True)
        if decision == "kept"
    )
    read = Counter(chosen[column].to_pylist())
    ordered = sorted(read.items(), key=lambda item: (-item[1], str(item[0])))
    return [{column: value, "read": count, "kept": kept[value]} for value, count in ordered]


def _pairs(pairs: list[dict[str, Any]]) -> dg.MetadataValue:
    rows = ((f"{pair['similarity']:.3f}", pair["better_text"], pair["text"]) for pair in pairs[:PAIRS_SHOWN])
    return markdown(("cosine", "the better one", "the other"), rows)
