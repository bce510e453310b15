"""Preference pairs for people: counts, margins, length balance, samples side by side, plots."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lifecycle.ledger import SourceLedger
from lifecycle.plots import plot
from lifecycle.preferences.score import words
from lifecycle.preferences.table import Pair

SAMPLES = 5
CELL_CHARACTERS = 300


def pair_facts(train: list[Pair], heldout: list[Pair], ledgers: Sequence[SourceLedger]) -> dict[str, Any]:
    """Rows, pairs per source and task, mean margin, and whether chosen answers are merely longer."""
    pairs = train + heldout
    margins = [margin for pair in pairs if (margin := _margin(pair)) is not None]
    chosen, rejected = ([len(words(text)) for text in side] for side in (_side(pairs, "chosen"), _side(pairs, "rejected")))
    return {
        "rows": len(pairs),
        "train": len(train),
        "heldout": len(heldout),
        "sources": dict(sorted(Counter(pair.source for pair in pairs).items())),
        "tasks": dict(sorted(Counter(pair.task for pair in pairs).items())),
        "dropped": {ledger.source: dict(ledger.dropped) for ledger in ledgers},
        "mean_margin": round(sum(margins) / len(margins), 4) if margins else None,
        "length": {
            "chosen_mean_words": round(sum(chosen) / len(chosen), 2),
            "rejected_mean_words": round(sum(rejected) / len(rejected), 2),
            "chosen_longer_share": round(sum(a > b for a, b in zip(chosen, rejected, strict=True)) / len(pairs), 4),
        },
        "samples_markdown": _samples(pairs),
    }


def pair_plots(run_dir: Path, pairs: list[Pair], sampled: SourceLedger) -> None:
    """Scores of both sides, and what became of every conversation that was asked."""
    with plot(run_dir, "scores", "Reference scores of the pairs") as axes:
        for side in ("chosen", "rejected"):
            scores = [score for pair in pairs if (score := getattr(pair, f"{side}_score")) is not None]
            axes.hist(scores, bins=20, range=(0, 1), alpha=0.6, label=side)
        axes.set_xlabel("reference score")
        axes.set_ylabel("pairs")
        axes.legend(frameon=False)
    outcomes = {"kept": sampled.kept, **sampled.dropped}
    with plot(run_dir, "outcomes", "What became of the conversations") as axes:
        axes.barh(list(outcomes), list(outcomes.values()))
        axes.set_xlabel("conversations")


def _margin(pair: Pair) -> float | None:
    if pair.chosen_score is None or pair.rejected_score is None:
        return None
    return pair.chosen_score - pair.rejected_score


def _side(pairs: list[Pair], name: str) -> list[str]:
    return [getattr(pair, name) for pair in pairs]


def _samples(pairs: list[Pair]) -> str:
    """The first pairs of each source as a Markdown table, side by side."""
    lines = ["| prompt | chosen | rejected |", "|---|---|---|"]
    for source in sorted({pair.source for pair in pairs}):
        for pair in [pair for pair in pairs if pair.source == source][:SAMPLES]:
            cells = (
                _cell(pair.prompt[-1].content, None),
                _cell(pair.chosen, pair.chosen_score),
                _cell(pair.rejected, pair.rejected_score),
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(text: str, score: float | None) -> str:
    short = text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"
    for character in "\\|*_`<>#[]":
        short = short.replace(character, "\\" + character)
    body = short.replace("\n", " ⏎ ")
    return body if score is None else f"{body} ({score:.2f})"
