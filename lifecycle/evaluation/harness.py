"""lm-eval (EleutherAI's evaluation harness) on local YAML tasks, with what a model of this project needs set right."""

import logging
import math
import warnings
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml

from lifecycle.errors import RecipeError
from lifecycle.evaluation.results import Metric, TaskResult
from lifecycle.evaluation.statistics import BOOTSTRAP_SAMPLES, Z95, wilson_interval
from lifecycle.recipe.evaluation import EvaluationConfig

logger = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "tasks"
LOWER_IS_BETTER = ("bits_per_byte", "byte_perplexity", "word_perplexity")
SHARES = ("acc", "exact_match")
"""Metrics that are a share of the items: their interval is Wilson's."""
STDERR_ITERATIONS = 1000


def render_tasks(heldout: Path, directory: Path) -> set[str]:
    """Write the shipped tasks to `directory` with the absolute paths of this held-out text; lm-eval reads them there.

    Returns the names of those for which the held-out text has no items (a corpus without documented objects).
    """
    directory.mkdir(parents=True, exist_ok=True)
    missing = set()
    for template in sorted(SHIPPED.glob("*.yaml.jinja")):
        text = jinja2.Template(template.read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined).render(
            heldout=heldout.resolve(), items=(heldout / "items").resolve()
        )
        (directory / template.name.removesuffix(".jinja")).write_text(text, encoding="utf-8")
        task = yaml.safe_load(text)
        if not Path(task["dataset_kwargs"]["data_files"]["test"]).exists():
            missing.add(task["task"])
    return missing


def run_tasks(
    model: Any, tokenizer: Any, heldout: Path, config: EvaluationConfig, run_dir: Path
) -> tuple[dict[str, TaskResult], list[dict[str, Any]], tuple[str, ...]]:
    """Run `config.tasks` with lm-eval.

    Returns the results by task, one row per sample (task, index, prompt, target, answer, score), and the names of the
    tasks that were left out because the held-out text has no items for them.

    Questions are put through the chat template; text for rolling likelihood is not, and starts after the token that
    separates documents.

    Raises:
        RecipeError: a task is not among those that the project ships.
    """
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    without_items = render_tasks(heldout, run_dir / "tasks")
    make_manager: Any = TaskManager
    manager = make_manager(include_path=str(run_dir / "tasks"), include_defaults=False)
    unknown = sorted(set(config.tasks) - set(manager.all_tasks))
    if unknown:
        raise RecipeError(f"evaluation.tasks: {unknown} are not among the tasks found: {sorted(manager.all_tasks)}")
    wanted = [name for name in config.tasks if name not in without_items]
    separator = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.pad_token_id
    # lm-eval's classes and functions are wrapped by decorators that hide their signatures from type checkers.
    make_model: Any = HFLM
    simple_evaluate: Any = lm_eval.simple_evaluate
    language_model = make_model(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=config.batch,
        max_length=min(config.context, model.config.max_position_embeddings),
        prefix_token_id=separator,
        device=str(model.device),
    )
    rolling = _rolling_tasks(run_dir / "tasks")
    results: dict[str, TaskResult] = {}
    samples: list[dict[str, Any]] = []
    for names, chat in (
        ([name for name in wanted if name not in rolling], True),
        ([name for name in wanted if name in rolling], False),
    ):
        if not names:
            continue
        logger.info("lm-eval: %s", ", ".join(names))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Any = simple_evaluate(
                model=language_model,
                tasks=list(names),
                task_manager=manager,
                apply_chat_template=chat,
                bootstrap_iters=STDERR_ITERATIONS,
                random_seed=config.seed,
                numpy_random_seed=config.seed,
                torch_random_seed=config.seed,
                fewshot_random_seed=config.seed,
            )
        for name in names:
            results[name] = _task_result(found, name)
            samples += [_sample(name, sample) for sample in found["samples"][name]]
    missing = tuple(name for name in config.tasks if name in without_items)
    return {name: results[name] for name in wanted}, samples, missing


def _rolling_tasks(folder: Path) -> set[str]:
    """Names of the tasks whose text is not a question."""
    names = set()
    for path in folder.rglob("*.yaml"):
        task = yaml.load(path.read_text(encoding="utf-8"), Loader=_AnyTag)
        if isinstance(task, dict) and task.get("output_type") == "loglikelihood_rolling":
            names.add(task.get("task"))
    return names


class _AnyTag(yaml.SafeLoader):
    """Reads lm-eval's YAML without running the functions that it may name."""


_AnyTag.add_multi_constructor("", lambda loader, suffix, node: None)


def _task_result(found: dict[str, Any], name: str) -> TaskResult:
    figures, samples = found["results"][name], found["samples"][name]
    metrics = {}
    for key, value in figures.items():
        metric, _, filter_name = key.partition(",")
        if not filter_name or metric.endswith("_stderr") or not isinstance(value, (int, float)):
            continue
        stderr = figures.get(f"{metric}_stderr,{filter_name}")
        stderr = float(stderr) if isinstance(stderr, (int, float)) and math.isfinite(stderr) else None
        interval = None if stderr is None else (value - Z95 * stderr, value + Z95 * stderr)
        if metric in SHARES:
            interval = wilson_interval(round(value * len(samples)), len(samples))
        elif metric == "bits_per_byte":
            interval = _bits_interval([sample["bits_per_byte"] for sample in samples])
        metrics[metric] = Metric(
            value=float(value), higher_is_better=metric not in LOWER_IS_BETTER, stderr=stderr, interval=interval
        )
    return TaskResult(n=len(samples), metrics=metrics, chance=_chance(samples))


def _chance(samples: list[dict[str, Any]]) -> float | None:
    """Expected accuracy of a guess: the mean of 1 / choices, where the samples have choices."""
    choices = [len(sample["doc"]["choices"]) for sample in samples if isinstance(sample["doc"].get("choices"), list)]
    return float(np.mean([1 / count for count in choices])) if choices and len(choices) == len(samples) else None


def _bits_interval(pairs: list[tuple[float, int]]) -> tuple[float, float]:
    """Bootstrap over documents of total bits over total bytes; `pairs` are (log-likelihood in nats, bytes)."""
    array = np.asarray(pairs, dtype=np.float64)
    generator = np.random.default_rng(0)
    ratios = []
    for _ in range(BOOTSTRAP_SAMPLES // 10):
        drawn = array[generator.integers(0, len(array), len(array))].sum(0)
        ratios.append(-drawn[0] / drawn[1] / math.log(2))
    low, high = np.percentile(ratios, [2.5, 97.5])
    return (float(low), float(high))


def _sample(task: str, sample: dict[str, Any]) -> dict[str, Any]:
    """One row for `samples.parquet`."""
    answer = sample["filtered_resps"][0] if sample["filtered_resps"] else ""
    choices = sample["doc"].get("choices")
    if isinstance(choices, list) and len(sample["filtered_resps"]) == len(choices):
        answer = choices[int(np.argmax([float(response[0]) for response in sample["filtered_resps"]]))]
    score = sample[sample["metrics"][0]]
    target = (
        choices[sample["target"]] if isinstance(choices, list) and isinstance(sample["target"], int) else sample["target"]
    )
    if isinstance(score, (tuple, list)):
        score = -float(score[0]) / float(score[1]) / math.log(2)
        answer, target = "", str(target)[:200]
    return {
        "task": task,
        "index": int(sample["doc_id"]),
        "prompt": str(sample["doc"].get("prompt", "")),
        "target": str(target),
        "answer": str(answer),
        "score": float(score),
    }
