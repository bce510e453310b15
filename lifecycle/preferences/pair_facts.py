"""Preference pairs for people: counts, margins, length balance, agreement, samples side by side."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from lifecycle.ledger import SourceLedger
from lifecycle.pages import markdown_cell
from lifecycle.preferences.agreement import Agreement
from lifecycle.preferences.asked import Judgement
from lifecycle.preferences.drafts import Draft
from lifecycle.preferences.table import Pair

SAMPLES = 15
"""Over all sources; one of each at least."""
CELL_CHARACTERS = 300


def pair_facts(
    train: list[Pair],
    heldout: list[Pair],
    drafts: Sequence[Draft],
    ledgers: Sequence[SourceLedger],
    judgements: Sequence[Judgement],
    agreed: Sequence[Agreement],
) -> dict[str, Any]:
    """Rows, pairs per source, task and language, mean margin, whether chosen answers are merely longer, and what the judges
    did and how far they agree.

    Args:
        drafts: all pairs, those dropped among them: lengths are given of both, before and after.
    """
    pairs = train + heldout
    kept = [draft for draft in drafts if draft.rule is None]
    margins = [draft.margin for draft in kept if draft.margin is not None]
    return {
        "rows": len(pairs),
        "train": len(train),
        "heldout": len(heldout),
        "sources": dict(sorted(Counter(pair.source for pair in pairs).items())),
        "tasks": dict(sorted(Counter(pair.task for pair in pairs).items())),
        "languages": dict(sorted(Counter(draft.language for draft in kept).items())),
        "dropped": {ledger.source: dict(ledger.dropped) for ledger in ledgers},
        "mean_margin": round(sum(margins) / len(margins), 4) if margins else None,
        "length": _lengths(kept),
        "length_before_balance": _lengths(drafts),
        "judges": {each.judge: {"weight": each.weight, **each.facts} for each in judgements},
        "agreement": [_agreement(each) for each in agreed],
        "samples_markdown": _samples(pairs),
    }


def _lengths(drafts: Sequence[Draft]) -> dict[str, float]:
    chosen, rejected = zip(*(draft.lengths() for draft in drafts), strict=True)
    sides = Counter(draft.longer() for draft in drafts)
    return {
        "chosen_mean_words": round(sum(chosen) / len(drafts), 2),
        "rejected_mean_words": round(sum(rejected) / len(drafts), 2),
        "chosen_longer_share": round(sides[1] / len(drafts), 4),
        "chosen_shorter_share": round(sides[-1] / len(drafts), 4),
    }


def _agreement(each: Agreement) -> dict[str, Any]:
    return {
        "judges": list(each.judges),
        "comparisons": each.comparisons,
        "agreed": round(each.agreed, 4),
        "interval": [round(edge, 4) for edge in each.interval],
        "kappa": None if each.kappa is None else round(each.kappa, 4),
    }


def _samples(pairs: list[Pair]) -> str:
    """The first pairs of each source as a Markdown table, side by side."""
    lines = ["| prompt | chosen | rejected |", "|---|---|---|"]
    sources = sorted({pair.source for pair in pairs})
    for source in sources:
        for pair in [pair for pair in pairs if pair.source == source][: max(1, SAMPLES // len(sources))]:
            cells = (
                _cell(pair.prompt[-1].content, None),
                _cell(pair.chosen, pair.chosen_score),
                _cell(pair.rejected, pair.rejected_score),
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(text: str, score: float | None) -> str:
    body = markdown_cell(text, CELL_CHARACTERS)
    return body if score is None else f"{body} ({score:.2f})"
