"""lm-eval (EleutherAI's evaluation harness) on the tasks of a recipe, with what a model of this project needs set right."""

import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from lifecycle.errors import RecipeError
from lifecycle.evaluation.kept import kept_task
from lifecycle.evaluation.loading import ROLLING, LoadedTask, load_tasks, metric_name
from lifecycle.evaluation.shares import Sample, TaskShare
from lifecycle.files import write_atomically
from lifecycle.portions import Portion
from lifecycle.recipe.evaluation import EvaluationConfig

logger = logging.getLogger(__name__)

TEXT_SHOWN = 200
"""Characters of a text that is measured whole."""


def measure_tasks(
    model: Any,
    tokenizer: Any,
    heldout: Path,
    config: EvaluationConfig,
    folder: Path,
    portion: Portion,
    *,
    chat: bool = True,
    digest: str = "",
    kept: Path | None = None,
    say: Callable[[str], None] = logger.info,
) -> tuple[list[TaskShare], tuple[str, ...]]:
    """Measure this portion of the items of every task of the recipe with lm-eval.

    Returns a share of each task, in the recipe's order, and the names of those that were left out because the held-out text
    has no items for them. A task whose result is kept is not measured again, nor is one that a killed run of this process
    was done with.

    Args:
        folder: where this process alone keeps its own.
        chat: whether items are put through the chat template where neither recipe nor task file says.
        digest: of the model; part of what a result is kept by.
        kept: where results are kept between runs; None measures everything.

    Raises:
        RecipeError: a task, or what its settings ask for, does not exist or is not allowed.
        DataError: the data of a task cannot be read.
    """
    tasks, missing = load_tasks(config, heldout, chat, digest, folder / "datasets")
    language_model = _language_model(model, tokenizer, config)
    for each in tasks:
        _check_room(each, language_model, tokenizer)
    shares = []
    for each in tasks:
        done = folder / f"{each.key}.json"
        share = (kept and kept_task(kept, each.key, portion)) or _read(done)
        if share is None:
            started = time.monotonic()
            share = _measure(each, language_model, tokenizer, config, portion)
            write_atomically(done, share.model_dump_json())
            say(f"{each.part}: {len(share.samples)} items in {time.monotonic() - started:.1f} s")
        else:
            say(f"{each.part}: reused, {len(share.samples)} items (result {each.key[:12]})")
        # What is kept may have been measured under another name, or with another metric to show.
        shares.append(share.model_copy(update={"task": each.entry.task, "part": each.part, "shown": each.entry.metric}))
    return shares, missing


def _read(path: Path) -> TaskShare | None:
    """What a killed run left behind, if it is whole."""
    try:
        return TaskShare.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _language_model(model: Any, tokenizer: Any, config: EvaluationConfig) -> Any:
    from lm_eval.models.huggingface import HFLM

    separator = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.pad_token_id
    # lm-eval's classes and functions are wrapped by decorators that hide their signatures from type checkers.
    make: Any = HFLM
    return make(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=config.batch,
        max_length=min(config.context, model.config.max_position_embeddings),
        prefix_token_id=separator,
        device=str(model.device),
    )


def _check_room(loaded: LoadedTask, language_model: Any, tokenizer: Any) -> None:
    """What lm-eval would stop at, or get wrong, in the middle of the evaluation."""
    name = loaded.entry.task
    if loaded.chat and not tokenizer.chat_template:
        raise RecipeError(f"evaluation.tasks.{name}: the model has no chat template; set chat_template: false")
    tokens = _new_tokens(loaded.task, language_model)
    if tokens >= language_model.max_length:
        raise RecipeError(
            f"evaluation.tasks.{name}: generates up to {tokens} tokens, and evaluation.context (or the model) has room for "
            f"{language_model.max_length} with the question; raise evaluation.context, or leave the task out"
        )


def _new_tokens(task: Any, language_model: Any) -> int:
    if task.OUTPUT_TYPE != "generate_until":
        return 0
    return int((task.get_config("generation_kwargs") or {}).get("max_gen_toks", language_model.max_gen_toks))


def _measure(
    loaded: LoadedTask, language_model: Any, tokenizer: Any, config: EvaluationConfig, portion: Portion
) -> TaskShare:
    import lm_eval
    from transformers import set_seed

    own = list(portion.of(loaded.items))
    rows: list[dict[str, Any]] = []
    if own:
        set_seed(config.seed)
        evaluate: Any = lm_eval.evaluate
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = evaluate(
                lm=language_model,
                task_dict={"tasks": {loaded.part: loaded.task}, "groups": {}, "group_map": {}},
                samples={loaded.part: own},
                apply_chat_template=loaded.chat,
                fewshot_as_multiturn=loaded.chat,
                bootstrap_iters=0,  # `merge` takes the figures from the samples of all portions
                confirm_run_unsafe_code=config.allow_code_execution,
            )
        rows = found["samples"][loaded.part]
    several = len(getattr(loaded.task, "_filters", [])) > 1
    by_item: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_item.setdefault(int(row["doc_id"]), []).append(row)
    room = language_model.max_length - _new_tokens(loaded.task, language_model)
    samples = tuple(_sample(loaded, by_item[index], several, tokenizer, room) for index in sorted(by_item))
    return TaskShare(
        task=loaded.entry.task,
        part=loaded.part,
        key=loaded.key,
        rules=loaded.rules,
        chance=loaded.chance,
        samples=samples,
    )


def _sample(loaded: LoadedTask, rows: list[dict[str, Any]], several: bool, tokenizer: Any, room: int) -> Sample:
    """One item from lm-eval's rows of it, one for each filter."""
    task, first = loaded.task, rows[0]
    document, said = first["doc"], first["filtered_resps"]
    wanted = {rule.name for rule in loaded.rules}
    values = {
        name: _as_json(row[metric])
        for row in rows
        for metric in row["metrics"]
        if (name := metric_name(metric, row["filter"] if several else "")) in wanted
    }
    question, target = task.doc_to_text(document), first["target"]
    choices = [str(each) for each in task.doc_to_choice(document)] if task.OUTPUT_TYPE == "multiple_choice" else None
    nats: tuple[float, ...] = ()
    answer = str(said[0]) if said else ""
    if task.OUTPUT_TYPE == ROLLING:
        nats, answer, target = (float(said[0]),), "", str(target)[:TEXT_SHOWN]
    elif task.OUTPUT_TYPE == "loglikelihood":
        nats, answer = (float(said[0][0]),), str(target) if said[0][1] else ""
    elif choices is not None:
        nats = tuple(float(each[0]) for each in said[: len(choices)])
        answer = choices[int(np.argmax(nats))]
        target = choices[question] if isinstance(question, int) else _chosen(choices, target)
    request, rest = _request(task, first["arguments"])
    return Sample(
        index=int(first["doc_id"]),
        prompt=str(target) if isinstance(question, int) else str(question),
        request=request,
        target=str(target),
        answer=answer,
        choices=tuple(choices) if choices is not None else None,
        loglikelihoods=nats,
        truncated=bool(request) and len(tokenizer(request + rest)["input_ids"]) > room,
        values=values,
    )


def _chosen(choices: list[str], target: Any) -> Any:
    return choices[target] if isinstance(target, int) and 0 <= target < len(choices) else target


def _request(task: Any, arguments: list[Any]) -> tuple[str, str]:
    """What the model was given, and the longest of what was measured behind it; a text that is measured whole is neither."""
    if task.OUTPUT_TYPE == ROLLING:
        return "", ""
    longest = "" if task.OUTPUT_TYPE == "generate_until" else max((str(each[1]) for each in arguments), key=len)
    return str(arguments[0][0]), longest


def _as_json(value: Any) -> Any:
    """A figure, or what an aggregation takes, without numpy's types."""
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_as_json(each) for each in value]
    return value.item() if isinstance(value, np.generic) else float(value) if isinstance(value, (bool, int)) else value
