"""Pictures of a run's tasks and languages: validation losses, and the weights that CoBa gave."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lifecycle.plots import COLOURS, over_steps, plot

PICTURES = (
    ("validation_loss/task/", "validation_loss_per_task", "Validation loss per task", "nats per trained token"),
    ("validation_loss/language/", "validation_loss_per_language", "Validation loss per language", "nats per trained token"),
    ("task_loss/", "task_loss", "Loss of each task on CoBa's held-out conversations", "nats per trained token"),
    ("task_weight/", "task_weights", "Weight of each task (CoBa)", "weight"),
)
"""Beginning of the metrics' names, name of the picture, title, and unit."""
LINES = ("-", "--", ":")
"""One after the other where there are more tasks than colours."""


def draw_tasks(run_dir: Path, metrics: Sequence[dict[str, Any]]) -> None:
    """One picture for each kind of figure that the metrics have, one line for each task or language."""
    for prefix, name, title, unit in PICTURES:
        names = sorted({key for entry in metrics for key in entry if key.startswith(prefix)})
        if not names:
            continue
        with plot(run_dir, name, title) as axes:
            for number, key in enumerate(names):
                points = [(entry["step"], entry[key]) for entry in metrics if key in entry]
                line = LINES[number // len(COLOURS) % len(LINES)]
                axes.plot(*zip(*points, strict=True), line, linewidth=1, marker=".", label=key.removeprefix(prefix))
            over_steps(axes)
            axes.set_ylabel(unit)
            axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
