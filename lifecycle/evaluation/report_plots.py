"""The report's pictures for Dagster and MLflow; its page draws its own, which follow the reader's light or dark setting."""

from pathlib import Path
from typing import Any

from lifecycle.evaluation.figures import ANSWER_SCORE, BEFORE_ALIGNMENT, BITS, REWARDS, WIN_RATE, is_drawn
from lifecycle.plots import plot


def write_plots(report: dict[str, Any], run_dir: Path) -> None:
    """Shares and bits per byte of all models, and the rounds of DPO where there are several, to `<run_dir>/plots`."""
    _plots(report, run_dir)
    _plot_rounds(report, run_dir)


def _plots(report: dict[str, Any], run_dir: Path) -> None:
    models, shares = report["models"], [row for row in report["rows"] if is_drawn(row)]
    height = 0.75 / len(models)
    with plot(
        run_dir, "shares", "Shares and scores by model, with 95 % intervals", size=(7.0, 1.2 + 0.7 * len(shares))
    ) as axes:
        for offset, name in enumerate(models):
            for position, row in enumerate(shares):
                metric = row["values"][name]
                if metric:
                    place = position + height * (offset - (len(models) - 1) / 2)
                    _bar(axes, place, 0.88 * height, metric, f"C{offset}", name if position == 0 else None)
        axes.set_yticks(range(len(shares)), [row["metric"] for row in shares])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.legend(frameon=False)
    bits = next((row for row in report["rows"] if row["metric"] == BITS), None)
    if bits:
        bars = {name: metric["value"] for name, metric in bits["values"].items() if metric}
        bars |= {"xz -9e": report["baselines"]["xz_bits_per_byte"], "gzip -9": report["baselines"]["gzip_bits_per_byte"]}
        with plot(run_dir, "bits_per_byte", "Bits per byte of held-out text (lower is better)") as axes:
            axes.bar(list(bars), list(bars.values()), color=["#3b6fb6"] * (len(bars) - 2) + ["#6b7480"] * 2)


def _plot_rounds(report: dict[str, Any], run_dir: Path) -> None:
    """What each round of DPO made of SFT, for recipes of several rounds."""
    rounds = [name for name in report["models"] if name.partition("_")[0] in (BEFORE_ALIGNMENT, "dpo")]
    if len(rounds) < 3:
        return
    with plot(run_dir, "rounds", "Round by round, with 95 % intervals") as axes:
        for colour, key in enumerate((REWARDS, WIN_RATE, ANSWER_SCORE)):
            found = [(place, report["models"][name]["metrics"].get(key)) for place, name in enumerate(rounds)]
            points = [(place, metric) for place, metric in found if metric]
            if points:
                axes.plot([place for place, _ in points], [metric["value"] for _, metric in points], "o-", label=key)
            for place, metric in points:
                axes.plot([place, place], metric["interval"], color=f"C{colour}", linewidth=1)
        axes.set_xticks(range(len(rounds)), rounds)
        axes.set_ylim(0, 1)
        axes.legend(frameon=False)


def _bar(axes: Any, position: float, height: float, metric: dict[str, Any], colour: str, label: str | None) -> None:
    axes.barh(position, metric["value"], height=height, color=colour, label=label)
    if metric["interval"]:
        axes.plot(metric["interval"], [position, position], color="black", linewidth=1)
