"""The data map: conversations as points on a plane, near to each other where they are alike, before and after selection."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.plots import panels
from lifecycle.recipe.selection import DataMap

FEWEST = 20
"""Of fewer points no map is made."""
NAMED = 12
"""Sources with a colour of their own; the smallest share one."""
GREY = "#9aa3ad"
Points = NDArray[np.float32]


def map_points(vectors: NDArray[np.float32], ids: Sequence[str], config: DataMap, seed: int) -> Points:
    """Where each row lies on the map, shape (rows, 2), NaN where more than `max_points` rows leave no room for it.

    t-SNE with a start from the two largest principal components, which keeps what is far apart far apart (Kobak and
    Berens 2019), by openTSNE; one thread, because sums over several come in any order, which t-SNE makes much of.
    """
    points = np.full((len(ids), 2), np.nan, dtype=np.float32)
    drawn = np.array(sorted(range(len(ids)), key=lambda place: _hash(ids[place]))[: config.max_points], dtype=np.int64)
    drawn.sort()
    if len(drawn) < FEWEST or vectors.shape[1] < 2:
        return points
    from openTSNE import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(config.perplexity, (len(drawn) - 1) / 3)
    with threadpool_limits(limits=1):
        embedding: Any = TSNE  # its stubs know no fractions for perplexity
        fitted = embedding(perplexity=perplexity, metric="cosine", initialization="pca", random_state=seed, n_jobs=1).fit(
            vectors[drawn]
        )
    points[drawn] = np.asarray(fitted)
    return points


def _hash(id: str) -> bytes:
    return hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest()


def draw_before(sources: Sequence[str], points: Points, label: str, run_dir: Path) -> None:
    """The map of everything, coloured by source."""
    with panels(run_dir, "data_map", f"Data map, {label}", size=(7.0, 5.4)) as (axes,):
        _draw(axes, points, *_named(sources), np.ones(len(sources), dtype=bool))
        axes.figure.legend(loc="outside right upper", frameon=False, fontsize=7)


def draw_selection(
    sources: Sequence[str], clusters: NDArray[np.int64], kept: NDArray[np.bool_], points: Points, label: str, run_dir: Path
) -> None:
    """The map before and after selection, side by side, coloured by source and coloured by cluster."""
    by_cluster = (np.array([_turning(number) for number in range(int(clusters.max()) + 1)])[clusters], {})
    for name, (colours, legend) in (("source", _named(sources)), ("cluster", by_cluster)):
        title = f"Data map by {name}, {label}"
        with panels(run_dir, f"data_map_by_{name}", title, size=(9.6, 4.6), columns=2) as (before, after):
            for axes, what, shown in ((before, "before", np.ones(len(kept), dtype=bool)), (after, "after selection", kept)):
                _draw(axes, points, colours, legend, shown)
                axes.set_title(f"{what}: {int(shown.sum()):,} conversations", fontsize=9)
            if legend:
                before.figure.legend(
                    *before.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=7
                )


def _draw(axes, points: Points, colours: NDArray[np.str_], legend: dict[str, str], shown: NDArray[np.bool_]) -> None:
    there = shown & np.isfinite(points[:, 0])
    some = points[np.isfinite(points[:, 0])]
    axes.scatter(points[there, 0], points[there, 1], c=colours[there], s=3, linewidths=0)
    for name, colour in legend.items():
        axes.scatter([], [], c=colour, s=16, label=name)
    if len(some):
        axes.set_xlim(some[:, 0].min(), some[:, 0].max())
        axes.set_ylim(some[:, 1].min(), some[:, 1].max())
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _named(sources: Sequence[str]) -> tuple[NDArray[np.str_], dict[str, str]]:
    """The colour of every conversation by its source, and the legend."""
    ordered = [name for name, _ in sorted(Counter(sources).items(), key=lambda item: (-item[1], item[0]))]
    legend = {name: _turning(place) for place, name in enumerate(ordered[:NAMED])}
    others = {f"{len(ordered) - NAMED} others": GREY} if len(ordered) > NAMED else {}
    return np.array([legend.get(source, GREY) for source in sources]), legend | others


def _turning(number: int) -> str:
    """Colours that go round by the golden angle, so that neighbours in number differ; readable on light and dark."""
    from matplotlib.colors import hsv_to_rgb, to_hex

    red, green, blue = hsv_to_rgb(
        ((number * 0.381966) % 1, 0.75 - 0.25 * (number // 8 % 2), 0.75 - 0.2 * (number // 4 % 2))
    ).tolist()
    return to_hex((red, green, blue))
