"""lm-eval (EleutherAI's evaluation harness) on local YAML tasks, with what a model of this project needs set right."""

import logging
import warnings
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml

from lifecycle.errors import RecipeError
from lifecycle.evaluation.shares import Sample
from lifecycle.portions import Portion
from lifecycle.recipe.evaluation import EvaluationConfig

logger = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "tasks"


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


def measure_tasks(
    model: Any, tokenizer: Any, heldout: Path, config: EvaluationConfig, folder: Path, portion: Portion
) -> tuple[list[Sample], tuple[str, ...]]:
    """Measure this portion of the items of `config.tasks` with lm-eval.

    Returns one sample per item, and the names of the tasks that were left out because the held-out text has no items for
    them. Questions are put through the chat template; text for rolling likelihood is not, and starts after the token that
    separates documents.

    Args:
        folder: where the rendered tasks are written; it belongs to this process alone.

    Raises:
        RecipeError: a task is not among those that the project ships.
    """
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    without_items = render_tasks(heldout, folder)
    make_manager: Any = TaskManager
    manager = make_manager(include_path=str(folder), include_defaults=False)
    unknown = sorted(set(config.tasks) - set(manager.all_tasks))
    if unknown:
        raise RecipeError(f"evaluation.tasks: {unknown} are not among the tasks found: {sorted(manager.all_tasks)}")
    own = {name: portion.of(range(count)) for name, count in _items(folder).items() if name in config.tasks}
    wanted = [name for name in config.tasks if own.get(name)]
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
    rolling = _rolling_tasks(folder)
    samples: list[Sample] = []
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
                samples={name: list(own[name]) for name in names},
                apply_chat_template=chat,
                bootstrap_iters=0,  # `merge` takes the figures from the samples of all portions
                random_seed=config.seed,
                numpy_random_seed=config.seed,
                torch_random_seed=config.seed,
                fewshot_random_seed=config.seed,
            )
        samples += [_sample(name, sample) for name in names for sample in found["samples"][name]]
    return samples, tuple(name for name in config.tasks if name in without_items)


def _items(folder: Path) -> dict[str, int]:
    """How many items each rendered task has."""
    counts = {}
    for path in folder.glob("*.yaml"):
        task = yaml.safe_load(path.read_text(encoding="utf-8"))
        items = Path(task["dataset_kwargs"]["data_files"]["test"])
        if items.exists():
            counts[task["task"]] = sum(bool(line.strip()) for line in items.read_bytes().splitlines())
    return counts


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


def _sample(task: str, sample: dict[str, Any]) -> Sample:
    answer = sample["filtered_resps"][0] if sample["filtered_resps"] else ""
    choices = sample["doc"].get("choices")
    if isinstance(choices, list) and len(sample["filtered_resps"]) == len(choices):
        answer = choices[int(np.argmax([float(response[0]) for response in sample["filtered_resps"]]))]
    metric = sample["metrics"][0]
    value, target = sample[metric], sample["target"]
    if isinstance(choices, list) and isinstance(target, int):
        target = choices[target]
    if isinstance(value, (tuple, list)):  # the whole text is the target
        answer, target = "", str(target)[:200]
    return Sample(
        task=task,
        index=int(sample["doc_id"]),
        prompt=str(sample["doc"].get("prompt", "")),
        target=str(target),
        answer=str(answer),
        metric=metric,
        value=(float(value[0]), float(value[1])) if isinstance(value, (tuple, list)) else float(value),
        choices=len(choices) if isinstance(choices, list) else None,
    )
