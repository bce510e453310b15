"""The pictures of the quality model, on held-out samples."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lifecycle.plots import COLOURS, plot

Judged = tuple[NDArray[np.bool_], NDArray[np.float64]]
"""Whether each held-out sample is a good one, and its score."""


def plot_precision_recall(run_dir: Path, heldout: Mapping[str, Judged]) -> None:
    """Precision over recall of good documents, a line for each language."""
    from sklearn.metrics import precision_recall_curve

    with plot(run_dir, "precision_recall", "Quality model on held-out samples", size=(5.0, 3.4)) as axes:
        for language, (good, scores) in heldout.items():
            precision, recall, _ = precision_recall_curve(good, scores)
            axes.plot(recall, precision, label=language)
        axes.set_xlabel("recall: good documents kept")
        axes.set_ylabel("precision: good among kept")
        axes.set_ylim(0, 1.03)
        axes.legend(frameon=False)


def plot_scores(run_dir: Path, heldout: Mapping[str, Judged], limits: Mapping[str, float]) -> None:
    """Scores of good and other held-out documents, a picture for each language, with the calibrated threshold."""
    bins = [float(edge) for edge in np.linspace(0, 1, 41)]
    for language, (good, scores) in heldout.items():
        with plot(run_dir, f"scores_{language}", f"Scores of held-out samples: {language}") as axes:
            axes.hist(scores[~good].tolist(), bins=bins, label="negative", color=COLOURS[1], alpha=0.7)
            axes.hist(scores[good].tolist(), bins=bins, label="positive", color=COLOURS[0], alpha=0.7)
            axes.axvline(limits[language], color=COLOURS[3], label=f"min_score {limits[language]:g}")
            axes.set_yscale("symlog")
            axes.set_xlabel("score")
            axes.set_ylabel("documents")
            axes.legend(frameon=False)
