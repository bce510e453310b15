"""The evaluation stage: starts the program for one model and says what came out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.evaluation.asked import write_asked
from lifecycle.evaluation.further import Checks, further_metrics
from lifecycle.evaluation.merge import all_answers, all_samples, merge
from lifecycle.evaluation.results import ANSWERS, SAMPLES, Metric, Results
from lifecycle.evaluation.sections import is_detail
from lifecycle.evaluation.shares import read_shares
from lifecycle.jobs import TrainingJob
from lifecycle.plots import plot
from lifecycle.recipe.evaluation import EvaluationConfig

NOT_SHOWN = {"metric", "value", "choices"}
"""Of a sample: what its score is made from."""


def evaluate_model(
    name: str,
    model: Path,
    heldout: Path,
    config: EvaluationConfig,
    out: Path,
    run_dir: Path,
    launch: Callable[[TrainingJob], dict[str, Any]],
    fingerprint: str,
    reference: Path | None = None,
    pairs: Path | None = None,
    checks: Checks = Checks(),
) -> dict[str, Any]:
    """Evaluate the model called `name` (base, sft or dpo) into `out`: `results.json`, `samples.parquet`, `answers.parquet`.

    `config.processes` processes measure a portion each; what they found is put together here.

    With `reference` (the SFT model) and `pairs` (a `preference_pairs` artifact) the reward accuracy on the held-out
    pairs is measured as well.

    Raises:
        ValueError: one of `reference` and `pairs` is given without the other.
        JobFailedError: the program ended badly.
    """
    if (reference is None) != (pairs is None):
        raise ValueError("reward accuracy needs both the reference model and the pairs")
    asked = write_asked(config, run_dir)
    inputs = {"model": str(model), "heldout": str(heldout)}
    if reference is not None and pairs is not None:
        inputs |= {"reference": str(reference), "pairs": str(pairs)}
    timings = launch(
        TrainingJob(
            stage=f"{name}_eval",
            fingerprint=fingerprint,
            program="lifecycle.evaluation.run",
            config={"evaluation": config.model_dump(mode="json")},
            inputs=inputs,
            output=str(out),
            run_dir=str(run_dir),
            processes=config.processes,
        )
    )
    shares = read_shares(run_dir, config.processes)
    results = merge(name, shares, config.seed)
    _write([sample.model_dump(exclude=NOT_SHOWN) | {"score": sample.score} for sample in all_samples(shares)], out / SAMPLES)
    if answers := all_answers(shares):
        _write([answer.model_dump() for answer in answers], out / ANSWERS)
    results = results.model_copy(update={"further": further_metrics(shares, asked, heldout, config, checks, out)})
    results.write(out)
    metrics = results.metrics()
    _plot(run_dir, name, results)
    return {
        "rows": sum(task.n for task in results.tasks.values()),
        "parameters": results.parameters,
        "metrics": {key: round(metric.value, 4) for key, metric in metrics.items()},
        "chance": {task: round(result.chance, 4) for task, result in results.tasks.items() if result.chance is not None},
        "missing": list(results.missing),
        **({"heldout_pairs_too_long": results.preferences.too_long} if results.preferences else {}),
        **timings,
    }


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")


def _plot(run_dir: Path, name: str, results: Results) -> None:
    shares: dict[str, Metric] = {
        key: metric
        for key, metric in results.metrics().items()
        if metric.interval and 0 <= metric.value <= 1 and not is_detail(key)
    }
    with plot(run_dir, "metrics", f"{name}: shares with 95 % intervals") as axes:
        for row, metric in enumerate(shares.values()):
            low, high = metric.interval or (metric.value, metric.value)
            axes.barh(row, metric.value, color="#3b6fb6")
            axes.plot([low, high], [row, row], color="black", linewidth=1.5)
        for row, key in enumerate(shares):
            chance = results.tasks[key.partition("/")[0]].chance if key.partition("/")[0] in results.tasks else None
            if chance is not None:
                axes.plot([chance, chance], [row - 0.4, row + 0.4], color="#b04a5a", linestyle="--", label="chance")
        axes.set_yticks(range(len(shares)), list(shares))
        axes.set_xlim(0, 1)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
