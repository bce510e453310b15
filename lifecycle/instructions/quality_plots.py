"""What a person sees of scores: how difficulty is spread by language and length, and the hardest and easiest texts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lifecycle.instructions.conversations import Conversation
from lifecycle.pages import markdown_cell
from lifecycle.plots import plot

SPREAD = (0.01, 0.99)
"""Quantiles beyond which a difficulty is drawn at the edge."""
BINS = 40
POINTS = 4000
LANGUAGES_SHOWN = 6
SHOWN = 5
CELL = 160


def draw_scores(table: pa.Table, run_dir: Path) -> None:
    """Histograms of difficulty by language, difficulty over length, and one of each optional score that is there."""
    scored = table.filter(pc.is_valid(table["difficulty"]))
    if scored.num_rows:
        difficulty = scored["difficulty"].to_numpy()
        low, high = np.quantile(difficulty, SPREAD)
        _draw_languages(scored, np.clip(difficulty, low, high), run_dir)
        step = -(-scored.num_rows // POINTS)
        with plot(run_dir, "difficulty_and_length", "Difficulty over the tokens of the answers") as axes:
            axes.scatter(scored["answer_tokens"].to_numpy()[::step], np.clip(difficulty, low, high)[::step], s=4, alpha=0.4)
            axes.set_xscale("log")
            axes.set_xlabel("tokens of the answers")
            axes.set_ylabel("difficulty")
    for name in ("judge", "linear"):
        values = table[name].drop_null().to_numpy() if name in table.column_names else ()
        if len(values):
            with plot(run_dir, name, f"Conversations by the score `{name}`") as axes:
                axes.hist(values, bins=BINS)
                axes.set_xlabel(name)
                axes.set_ylabel("conversations")


def _draw_languages(scored: pa.Table, difficulty: np.ndarray, run_dir: Path) -> None:
    languages = np.array([language or "unknown" for language in scored["language"].to_pylist()])
    names, counts = np.unique(languages, return_counts=True)
    shown = names[np.argsort(-counts, kind="stable")][:LANGUAGES_SHOWN]
    with plot(run_dir, "difficulty", "Difficulty by language: the answer's loss with its question over without") as axes:
        bins = np.histogram_bin_edges(difficulty, BINS).tolist()
        for language in shown.tolist():
            of_language = difficulty[languages == language]
            axes.hist(of_language, bins=bins, alpha=0.6, label=f"{language} ({of_language.size:,})")
        axes.axvline(1.0, linestyle="--")
        axes.set_xlabel("difficulty (1: the question tells nothing of the answer)")
        axes.set_ylabel("conversations")
        axes.legend(frameon=False)


def extremes(table: pa.Table, conversations: Sequence[Conversation]) -> dict[str, str]:
    """The hardest and the easiest conversations as Markdown tables; `table` has a row for each of them, in order."""
    difficulty = np.nan_to_num(table["difficulty"].to_numpy(), nan=np.inf)
    order = [place for place in np.argsort(difficulty, kind="stable").tolist() if np.isfinite(difficulty[place])]
    return {
        name: _markdown([(difficulty[place], conversations[place]) for place in places])
        for name, places in (("hardest", order[::-1][:SHOWN]), ("easiest", order[:SHOWN]))
        if places
    }


def _markdown(rows: Sequence[tuple[float, Conversation]]) -> str:
    lines = ["| difficulty | id | question | answer |", "|---|---|---|---|"]
    for difficulty, each in rows:
        said = {message.role: message.content for message in each.messages}
        cells = [markdown_cell(text, CELL) for text in (each.id, said.get("user", ""), said.get("assistant", ""))]
        lines.append(f"| {difficulty:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines)
