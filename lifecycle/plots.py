"""One way to draw: figures that read well on the light and the dark Dagster page."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#3b6fb6", "#d9822b", "#3a9a6b", "#b04a5a", "#7b5ea7", "#6b7480")
DPI = 110
PALETTE = 64
"""Colours of a picture: a third of the bytes, which Dagster's database keeps with every materialization."""

TITLE_CHARACTERS = 72
"""A longer title goes on in a second line."""
PLOTS = "plots"
"""Directory of a run's pictures."""
PICTURES = {".png": "image/png", ".svg": "image/svg+xml"}
"""Kinds of files that are pictures."""


def pictures_of(run_dir: Path) -> list[Path]:
    """All pictures of a run, by name."""
    return sorted(path for path in (run_dir / PLOTS).glob("*") if path.suffix in PICTURES)


@contextmanager
def plot(run_dir: Path, name: str, title: str, size: tuple[float, float] = (7.0, 3.4)) -> Iterator["Axes"]:
    """Draw into the axes given; the picture is written to `<run_dir>/plots/<name>.png` and shown in the Dagster UI."""
    with panels(run_dir, name, None, size) as (axes,):
        axes.set_title(fill(title, TITLE_CHARACTERS), loc="left", fontsize=10, fontweight="bold")
        yield axes


def over_steps(axes: "Axes") -> None:
    """Name the axis below and give it whole numbers."""
    axes.set_xlabel("step")
    axes.locator_params(axis="x", integer=True)


@contextmanager
def panels(
    run_dir: Path, name: str, title: str | None, size: tuple[float, float], columns: int = 1
) -> Iterator[Sequence["Axes"]]:
    """As `plot`, with several axes side by side under one title.

    The figure is drawn without pyplot and its pixels are taken as they are: half of what `savefig` costs, which counts
    where little else is to be done.
    """
    import matplotlib
    import numpy as np
    from cycler import cycler
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    with matplotlib.rc_context(
        {
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.axisbelow": True,
            "axes.prop_cycle": cycler(color=COLOURS),
            "font.family": ["DejaVu Sans", "Noto Sans CJK SC", "sans-serif"],
        }
    ):
        figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
        canvas = FigureCanvasAgg(figure)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        yield list(figure.subplots(1, columns, squeeze=False)[0])
        canvas.draw()
        drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        image = drawn.quantize(PALETTE, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        directory = run_dir / PLOTS
        directory.mkdir(parents=True, exist_ok=True)
        image.save(directory / f"{name}.png", optimize=True)
