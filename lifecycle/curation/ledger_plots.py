"""The pictures of the whole way for the Dagster UI: what became of each source's text, and what the corpus is made of."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from lifecycle.curation.account import STAGES, Way
from lifecycle.curation.plots import plot_length_bins
from lifecycle.plots import COLOURS
from lifecycle.svg import write_bars, write_shares

BARS = 40
"""Sources and languages shown one by one; the smallest share a bar."""
FATES = (
    ("trained on", COLOURS[0]),
    ("held out", COLOURS[2]),
    ("not readable", COLOURS[5]),
    ("dropped in cleaning", COLOURS[1]),
    ("dropped over all sources", COLOURS[3]),
)


def write_plots(found: Mapping[str, Way], out: Path) -> None:
    """Write the pictures into `<out>/plots`."""
    _plot_fates(out, found)
    _plot_bars(
        out, "characters_by_source", "Corpus by source", {name: way.total.characters_kept for name, way in found.items()}
    )
    languages: Counter[str] = Counter()
    for way in found.values():
        languages.update(way.total.languages)
    _plot_bars(out, "languages", "Corpus by language", languages, "documents")
    ledgers = [[way.stages[stage] for way in found.values()] for stage in STAGES]
    plot_length_bins(
        out,
        {
            "read": sum((Counter(each.lengths_read) for each in ledgers[0]), Counter()),
            "after cleaning": sum((Counter(each.lengths_kept) for each in ledgers[1]), Counter()),
            "in the corpus": sum((Counter(each.lengths_kept) for each in ledgers[2]), Counter()),
        },
    )


def _fates(ways: list[Way]) -> list[int]:
    lost = [sum(sum(way.stages[stage].dropped.values()) for way in ways) for stage in STAGES]
    return [sum(way.train for way in ways), sum(way.heldout for way in ways), *lost]


def _plot_fates(out: Path, found: Mapping[str, Way]) -> None:
    """One bar of 100 % a source, in the order of their size, largest on top; the smallest sources together."""
    ordered = sorted(found.items(), key=lambda item: -item[1].total.read)
    groups = [(name, [way]) for name, way in ordered[:BARS]]
    if len(ordered) > BARS:
        groups.append((f"{len(ordered) - BARS} others", [way for _, way in ordered[BARS:]]))
    groups.append(("all", list(found.values())))
    counts = [_fates(ways) for _, ways in groups]
    rows = [(f"{name}  {sum(count):,}", count) for (name, _), count in zip(groups, counts, strict=True)]
    title = "Documents read, and what became of them"
    write_shares(out, "drop_funnel", title, rows, FATES, "% of the documents read")


def _plot_bars(out: Path, name: str, title: str, counts: Mapping[str, int], unit: str = "characters") -> None:
    total = max(1, sum(counts.values()))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ordered[:BARS]
    if len(ordered) > BARS:
        shown.append((f"{len(ordered) - BARS} others", sum(count for _, count in ordered[BARS:])))
    bars = [(label, count, f"{count / total:.1%}") for label, count in shown]
    write_bars(out, name, f"{title}: {total:,} {unit}", bars, unit)
