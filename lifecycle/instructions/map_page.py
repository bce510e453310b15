"""The data map as one HTML page: points that show their text, before and after selection, by source and by cluster."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from markupsafe import Markup

from lifecycle.instructions.conversations import Conversation
from lifecycle.instructions.quotas import KEPT
from lifecycle.pages import environment

PAGE = "data_map.html"
TEMPLATES = Path(__file__).parent
EXCERPT = 160
"""Characters of the last question and of the last answer that a point shows."""
STEPS = 4096
"""Points lie on a grid of so many steps a side: what a screen can tell apart."""


def write_map_page(
    conversations: Sequence[Conversation], table: pa.Table, points: np.ndarray, label: str, directory: Path
) -> Path:
    """Write `data_map.html`, which needs nothing beside it, into `directory`; its path.

    Args:
        table: the selection's, in the order of `conversations`.
        points: float32 [conversations, 2], NaN for those that are not on the map.
        label: what the embeddings are.
    """
    template = environment(TEMPLATES, autoescape=True).get_template("data_map.html.jinja")
    there = np.flatnonzero(np.isfinite(points[:, 0]))
    shown = table.take(there)
    kept = int((shown["decision"].to_numpy(zero_copy_only=False) == KEPT).sum())
    page = template.render(
        label=label,
        read=table.num_rows,
        shown=len(there),
        kept=kept,
        data=_script(_data([conversations[index] for index in there.tolist()], shown, points[there])),
    )
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".{PAGE}.tmp"
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(directory / PAGE)
    return directory / PAGE


def _data(conversations: Sequence[Conversation], table: pa.Table, points: np.ndarray) -> dict[str, Any]:
    """What the page draws: of each point its place, what it is coloured by, and its text."""
    low, high = (points.min(axis=0), points.max(axis=0)) if len(points) else (0, 1)
    grid = np.rint((points - low) / max(float(np.max(high - low)), 1e-9) * STEPS).astype(int)
    kinds = {name: table[name].to_pylist() for name in ("source", "task", "language")}
    kinds["cluster"] = [f"cluster {number}" for number in table["cluster"].to_pylist()]
    kinds["decision"] = table["decision"].to_pylist()
    return {
        "x": grid[:, 0].tolist(),
        "y": grid[:, 1].tolist(),
        "kinds": {name: _coded(values) for name, values in kinds.items()},
        "score": table["score"].to_pylist(),
        "question": [_said(each, "user") for each in conversations],
        "answer": [_said(each, "assistant") for each in conversations],
    }


def _coded(values: Sequence[str]) -> dict[str, Any]:
    """Names, the most frequent first, and the number of each value's name."""
    names = [name for name, _ in sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))]
    number = {name: place for place, name in enumerate(names)}
    return {"names": names, "of": [number[value] for value in values]}


def _said(conversation: Conversation, role: str) -> str:
    text = next((each.content for each in reversed(conversation.messages) if each.role == role), "").strip()
    short = text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"
    return short.encode("utf-8", "replace").decode("utf-8")


def _script(data: dict[str, Any]) -> Markup:
    """JSON that cannot end the element of the page that it stands in: the texts are strangers'."""
    text = orjson.dumps(data).decode("utf-8")
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
