"""The evaluation stage: starts the program for one model and says what came out."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.evaluation.asked import write_asked
from lifecycle.evaluation.drawn import draw_heldout
from lifecycle.evaluation.further import Checks, further_metrics
from lifecycle.evaluation.kept import keep_tasks
from lifecycle.evaluation.merge import all_answers, all_tasks, merge
from lifecycle.evaluation.results import ANSWERS, SAMPLES, Metric, Results
from lifecycle.evaluation.sections import is_detail
from lifecycle.evaluation.shares import TaskShare, read_shares
from lifecycle.jobs import TrainingJob
from lifecycle.plots import plot
from lifecycle.recipe.evaluation import EvaluationConfig

SAMPLE_ROWS = pa.schema(
    [
        ("task", pa.string()),
        ("part", pa.string()),
        ("index", pa.int64()),
        ("prompt", pa.string()),
        ("request", pa.string()),
        ("target", pa.string()),
        ("answer", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("loglikelihoods", pa.list_(pa.float64())),
        ("truncated", pa.bool_()),
        ("metric", pa.string()),
        ("score", pa.float64()),
        ("metrics", pa.map_(pa.string(), pa.float64())),
    ]
)
"""A row of `samples.parquet`: `score` is the figure of `metric`, the one that is shown; `metrics` has every one."""


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
    *,
    digest: str = "",
    kept: Path | None = None,
    checks: Checks = Checks(),
) -> dict[str, Any]:
    """Evaluate the model called `name` (base, sft or dpo) into `out`: `results.json`, `samples.parquet`, `answers.parquet`.

    `config.processes` processes measure a portion each; what they found is put together here.

    With `reference` (the SFT model) and `pairs` (a `preference_pairs` artifact) the reward accuracy on the held-out
    pairs is measured as well. With `kept` (`Store.results`) and the model's `digest` a task that was measured before, on
    the same model, data and settings, is not measured again.

    Raises:
        ValueError: one of `reference` and `pairs` is given without the other.
        JobFailedError: the program ended badly.
    """
    if (reference is None) != (pairs is None):
        raise ValueError("reward accuracy needs both the reference model and the pairs")
    asked = write_asked(config, run_dir)
    inputs = {"model": str(model), "heldout": str(draw_heldout(heldout, config, run_dir))}
    if reference is not None and pairs is not None:
        inputs |= {"reference": str(reference), "pairs": str(pairs)}
    timings = launch(
        TrainingJob(
            stage=f"{name}_eval",
            fingerprint=fingerprint,
            program="lifecycle.evaluation.run",
            config={
                "evaluation": config.model_dump(mode="json"),
                "chat": name != "base",
                "digest": digest,
                "kept": str(kept) if kept else None,
            },
            inputs=inputs,
            output=str(out),
            run_dir=str(run_dir),
            processes=config.processes,
        )
    )
    shares = read_shares(run_dir, config.processes)
    results = merge(name, shares, config.seed)
    tasks = all_tasks(shares)
    if kept:
        keep_tasks(kept, shares)
    rows = [row for task in tasks for row in _rows(task, results.tasks[task.task].shown)]
    pq.write_table(pa.Table.from_pylist(rows, schema=SAMPLE_ROWS), out / SAMPLES, compression="zstd")
    if answers := all_answers(shares):
        pq.write_table(pa.Table.from_pylist([answer.model_dump() for answer in answers]), out / ANSWERS, compression="zstd")
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
        "reused": [task.part for task in tasks if task.reused],
        **({"heldout_pairs_too_long": results.preferences.too_long} if results.preferences else {}),
        **timings,
    }


def _rows(task: TaskShare, shown: str | None) -> Iterator[dict[str, Any]]:
    for sample in task.samples:
        scores = {rule.name: sample.score(rule.name) for rule in task.rules}
        yield sample.model_dump(exclude={"values"}) | {
            "task": task.task,
            "part": task.part,
            "metric": shown,
            "score": scores.get(shown) if shown else None,
            "metrics": [(name, score) for name, score in scores.items() if score is not None],
        }


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
