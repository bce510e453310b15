"""From the recipe's tasks to lm-eval's, with their settings, and the key by which the result of each is kept."""

import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lm_eval.utils
from jinja2.sandbox import SandboxedEnvironment
from lm_eval.api.registry import AGGREGATION_REGISTRY
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager

from lifecycle.errors import DataError, LifecycleError, RecipeError
from lifecycle.evaluation.harness_files import known
from lifecycle.evaluation.shares import MetricRule
from lifecycle.evaluation.task_files import LOCAL_READERS, TaskFile, task_files
from lifecycle.evaluation.task_keys import row_digest, task_key
from lifecycle.recipe.evaluation import EvaluationConfig, EvaluationTask

logger = logging.getLogger(__name__)

ROLLING = "loglikelihood_rolling"

_templates: Any = SandboxedEnvironment(
    loader=lm_eval.utils.env.loader, undefined=lm_eval.utils.env.undefined, keep_trailing_newline=True
)
_templates.filters.update(lm_eval.utils.env.filters)
lm_eval.utils.env = _templates  # lm-eval's own gives a task file's templates all of Python


@dataclass(frozen=True)
class LoadedTask:
    """One task of lm-eval with the settings that it is measured with."""

    entry: EvaluationTask
    task: Any
    part: str
    """Its own name: another than the recipe's where that names a group."""
    chat: bool
    items: tuple[int, ...]
    """Those measured, by all processes together, in order."""
    rules: tuple[MetricRule, ...]
    chance: float | None
    """What its file says that guessing gives; None where it says nothing."""
    key: str


def load_tasks(
    config: EvaluationConfig, heldout: Path, chat: bool, model: str, cache_folder: Path
) -> tuple[list[LoadedTask], tuple[str, ...]]:
    """The recipe's tasks in order, and the names of those for which the held-out text has no items.

    Args:
        chat: whether items are put through the chat template where neither recipe nor task file says.
        model: digest of the model, part of every key.
        cache_folder: of this process alone: what `datasets` makes of local files. What comes from the hub is looked for
            in the machine's own cache.

    Raises:
        RecipeError: a task, or what its settings ask for, does not exist or is not allowed.
        DataError: its data cannot be read, or are not on this machine and it runs offline.
    """
    files = {file.entry.task: file for file in task_files(config)}
    loaded: list[LoadedTask] = []
    missing = []
    for entry in config.tasks:
        file = files.get(entry.task)
        if file and not file.has_items(heldout):
            missing.append(entry.task)
            continue
        found = _from_file(file.on(heldout), cache_folder) if file else _from_lm_eval(entry)
        loaded += [_with_settings(entry, part, task, config, chat, model) for part, task in found.items()]
    return loaded, tuple(missing)


def _from_file(file: TaskFile, cache_folder: Path) -> dict[str, Any]:
    config = file.loaded()
    if config.get("dataset_path") in LOCAL_READERS:
        config["dataset_kwargs"] = config["dataset_kwargs"] | {"cache_dir": str(cache_folder)}
    make: Any = ConfigurableTask
    return {file.entry.task: _made(file.entry.task, lambda: make(config=config))}


def _from_lm_eval(entry: EvaluationTask) -> dict[str, Any]:
    found = known(entry.task)
    make: Any = TaskManager
    # The index of all its tasks takes lm-eval ten seconds to read; a task with a file of its own needs none.
    manager = make(include_defaults=not found.single)
    asked = str(found.files[0]) if found.single else entry.task
    tasks: dict[str, Any] = _made(entry.task, lambda: manager.load([asked])["tasks"])
    unsafe = [name for name, task in tasks.items() if getattr(task, "UNSAFE_CODE", False)]
    if unsafe:
        raise RecipeError(
            f"evaluation.tasks: {', '.join(unsafe)} of lm-eval runs what the model writes without a sandbox; use "
            "local_humaneval, which runs it in one"
        )
    return tasks


def _made(name: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except LifecycleError:
        raise
    except (
        Exception
    ) as error:  # lm-eval and datasets raise whatever comes along: a missing data set alone comes as five kinds
        raise DataError(
            f"evaluation.tasks: {name}: its data cannot be loaded: {type(error).__name__}: {error}\nIs it a data set of the "
            "hub that this machine has not? Evaluation runs offline unless HF_HUB_OFFLINE=0 is set: set it once with a "
            "network, or point HF_HOME to a cache that holds it; or name a local_… task, or a task file of your own"
        ) from error


def _with_settings(
    entry: EvaluationTask, part: str, task: Any, config: EvaluationConfig, chat: bool, model: str
) -> LoadedTask:
    metadata = task.get_config("metadata") or {}
    rolling = task.OUTPUT_TYPE == ROLLING
    shots = 0 if rolling else entry.fewshot if entry.fewshot is not None else task.get_config("num_fewshot") or 0
    task.set_config("num_fewshot", shots)
    asked = entry.chat_template if entry.chat_template is not None else metadata.get("chat_template", chat)
    documents = list(task.eval_docs)
    same = metadata.get("fewshot_of_same")
    pool = list(task.sampler.df) if shots else []
    if shots:
        among = _shows_test_items(task)
        _check_shots(entry.task, shots + among, pool, documents, same)
        _draw_by_item(task, config.seed, pool, same)
    items = tuple(range(len(documents)))
    if entry.max_items is not None and entry.max_items < len(documents):
        items = tuple(sorted(random.Random(config.seed).sample(items, entry.max_items)))
    rules = metric_rules(task)
    names = [rule.name for rule in rules]
    if entry.metric is not None and entry.metric not in names:
        raise RecipeError(
            f"evaluation.tasks.{entry.task}.metric: {entry.metric!r} is none of its metrics: {', '.join(names)}"
        )
    chosen = bool(asked) and not rolling
    settings = {"fewshot": shots, "chat": chosen, "items": items, "seed": config.seed, "context": config.context}
    key = task_key(model, task, [documents, pool], settings)
    return LoadedTask(entry, task, part, chosen, items, rules, metadata.get("chance"), key)


def metric_rules(task: Any) -> tuple[MetricRule, ...]:
    """What becomes of the values of each metric; a task with several filters has each metric once by filter."""
    filters = [each.name for each in getattr(task, "_filters", [])]
    better, names = task.higher_is_better(), {function: name for name, function in AGGREGATION_REGISTRY.items()}
    rules = []
    for metric, function in task.aggregation().items():
        name = names.get(function)
        if name is None:
            logger.warning("%s: %s is not shown: its aggregation is a function of the task's own", task.task_name, metric)
            continue
        for each in filters if len(filters) > 1 else [""]:
            called = metric_name(metric, each)
            rules.append(MetricRule(name=called, aggregation=name, higher_is_better=bool(better.get(metric, True))))
    return tuple(rules)


def metric_name(metric: str, by_filter: str) -> str:
    """How a metric is called; of several filters each has its own."""
    return f"{metric}_{by_filter}" if by_filter else metric


def _shows_test_items(task: Any) -> bool:
    """Whether worked examples come from the items that are measured; then an item is never shown with its own answer.

    lm-eval leaves the item out only where the task file says that they share a split, not where there is no other.
    """
    shared, split = task.fewshot_cfg, task.get_config("test_split")
    others = shared.split or shared.samples or task.has_training_docs() or task.has_validation_docs()
    if split is not None and not others:
        shared.split = split
    return shared.split == split


def _check_shots(name: str, shots: int, pool: Sequence[Any], documents: Iterable[Any], same: str | None) -> None:
    """Raises RecipeError unless there are as many worked examples for every item."""
    sizes = [len(each) for each in _groups(pool, same).values()] if same else [len(pool)]
    lacking = same and {document[same] for document in documents} - set(_groups(pool, same))
    if lacking or min(sizes, default=0) < shots:
        raise RecipeError(
            f"evaluation.tasks.{name}.fewshot: {shots} worked examples are needed, and the task has "
            f"{0 if lacking else min(sizes, default=0)} to show"
        )


def _groups(pool: Sequence[Any], same: str) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for example in pool:
        groups[example[same]].append(example)
    return groups


def _draw_by_item(task: Any, seed: int, pool: Sequence[Any], same: str | None) -> None:
    """Draw the worked examples of an item by the item alone: lm-eval draws them one item after the other, so that they
    would change with the items that a process measures. With `same`, from examples that agree with the item in that column.
    """
    build, groups = task.fewshot_context, _groups(pool, same) if same else {}

    def context(document: Any, *arguments: Any, **options: Any) -> Any:
        task.set_fewshot_seed(int.from_bytes(row_digest({"seed": seed, "item": document})[:8], "big"))
        if same:
            task.sampler.replace_df(groups[document[same]])
        return build(document, *arguments, **options)

    task.fewshot_context = context
