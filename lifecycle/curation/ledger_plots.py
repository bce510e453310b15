"""The pictures of the whole way for the Dagster UI: what became of each source's text, and what the corpus is made of."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from lifecycle.curation.account import STAGES, Way
from lifecycle.curation.plots import plot_length_bins
from lifecycle.plots import COLOURS, plot

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
    names = [f"{name}  {sum(count):,}" for (name, _), count in zip(groups, counts, strict=True)]
    with plot(out, "drop_funnel", "Documents read, and what became of them", size=(7.0, 1.3 + 0.22 * len(names))) as axes:
        left = [0.0] * len(names)
        for place, (fate, colour) in enumerate(FATES):
            shares = [100 * count[place] / max(1, sum(count)) for count in counts]
            axes.barh(names, shares, left=left, color=colour, label=fate, height=0.75)
            left = [begin + share for begin, share in zip(left, shares, strict=True)]
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of the documents read")
        axes.tick_params(axis="y", labelsize=7)
        axes.margins(y=0.01)
        axes.figure.legend(loc="outside lower center", ncols=len(FATES), frameon=False, fontsize=7)


def _plot_bars(out: Path, name: str, title: str, counts: Mapping[str, int], unit: str = "characters") -> None:
    total = max(1, sum(counts.values()))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ordered[:BARS]
    if len(ordered) > BARS:
        shown.append((f"{len(ordered) - BARS} others", sum(count for _, count in ordered[BARS:])))
    shown.reverse()
    with plot(out, name, f"{title}: {total:,} {unit}", size=(7.0, 1.2 + 0.22 * len(shown))) as axes:
        bars = axes.barh([label for label, _ in shown], [count for _, count in shown], color=COLOURS[0])
        axes.bar_label(bars, [f" {count / total:.1%}" for _, count in shown], fontsize=7)
        axes.tick_params(axis="y", labelsize=7)
        axes.margins(x=0.1, y=0.01)
        axes.set_xlabel(unit)
