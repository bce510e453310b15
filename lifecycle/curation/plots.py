"""The pictures of curation: what was dropped and why, and how long the documents are."""

from collections.abc import Mapping
from pathlib import Path

from lifecycle.charts import densities
from lifecycle.plots import COLOURS, plot


def plot_drops(run_dir: Path, name: str, read: int, dropped: Mapping[str, int]) -> None:
    """Bars of dropped documents by rule, largest first, with their share of what was read."""
    rules = sorted(dropped.items(), key=lambda item: (item[1], item[0]))
    title = f"{name}: {read - sum(dropped.values()):,} of {read:,} documents kept"
    with plot(run_dir, "dropped_by_rule", title, size=(7.0, 1.4 + 0.3 * max(1, len(rules)))) as axes:
        bars = axes.barh([rule for rule, _ in rules], [count for _, count in rules], color=COLOURS[1])
        axes.bar_label(bars, [f" {count:,} ({count / read:.1%})" for _, count in rules], fontsize=8)
        axes.margins(x=0.2)
        axes.set_xlabel("documents dropped")


def plot_length_bins(run_dir: Path, series: Mapping[str, Mapping[int, int]]) -> None:
    """Lengths at several places of the way.

    Args:
        series: by name, documents by the least length of their bin (`lifecycle.ledger.length_bin`).
    """
    with plot(run_dir, "lengths", "Documents by length") as axes:
        for colour, (name, counts) in zip((COLOURS[5], COLOURS[1], COLOURS[0]), series.items(), strict=False):
            steps = densities(counts)
            edges = [edge for begin, end, _ in steps for edge in (begin, begin, end, end)]
            heights = [height for *_, density in steps for height in (0.0, density, density, 0.0)]
            axes.fill_between(edges, heights, color=colour, alpha=0.25, linewidth=0)
            axes.plot(edges, heights, label=name, color=colour, linewidth=1)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(lambda length, _: f"{length:,.0f}")  # 10³ as a formula costs as much as the rest
        axes.set_ylim(bottom=0)
        axes.set_xlabel("characters")
        axes.set_ylabel("documents per doubling")
        axes.legend(frameon=False)


def plot_collision_curve(run_dir: Path, bands: int, rows: int) -> None:
    """Probability that two documents of a given similarity become candidates."""
    import numpy as np

    similarity = np.linspace(0, 1, 200)
    with plot(run_dir, "minhash_probability", f"MinHash with {bands} bands of {rows} rows", size=(5.0, 3.0)) as axes:
        axes.plot(similarity, 1 - (1 - similarity**rows) ** bands)
        axes.set_xlabel("Jaccard similarity of two documents")
        axes.set_ylabel("probability to be compared")
