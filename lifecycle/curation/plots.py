"""The pictures of curation: what was dropped and why, and how long the documents are."""

from collections.abc import Mapping
from pathlib import Path

from lifecycle.charts import collision_chart, length_chart
from lifecycle.plots import COLOURS
from lifecycle.svg import write_bars, write_lines

BY_LENGTH = "documents per doubling of length, against characters"


def plot_drops(run_dir: Path, name: str, read: int, dropped: Mapping[str, int]) -> None:
    """Bars of dropped documents by rule, largest first, with their share of what was read; none where there are none."""
    if not dropped:
        return
    rules = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    title = f"{name}: {read - sum(dropped.values()):,} of {read:,} documents kept"
    bars = [(rule, count, f"{count:,} ({count / read:.1%})") for rule, count in rules]
    write_bars(run_dir, "dropped_by_rule", title, bars, "documents dropped", COLOURS[1])


def plot_length_bins(run_dir: Path, series: Mapping[str, Mapping[int, int]]) -> None:
    """Lengths at several places of the way.

    Args:
        series: by name, documents by the least length of their bin (`lifecycle.ledger.length_bin`).
    """
    colours = (COLOURS[5], COLOURS[1], COLOURS[0])[: len(series)]
    write_lines(run_dir, "lengths", "Documents by length", length_chart(series), colours, BY_LENGTH)


def plot_collision_curve(run_dir: Path, bands: int, rows: int, threshold: float) -> None:
    """Probability that two documents of a given similarity become candidates; `threshold` is marked."""
    chart = collision_chart(bands, rows, threshold)
    foot = "probability to be compared, against Jaccard similarity"
    write_lines(run_dir, "minhash_probability", f"MinHash with {bands} bands of {rows} rows", chart, COLOURS[:1], foot)
