"""By what the result of a task is kept: everything that decides what a model says of its items."""

import hashlib
import inspect
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from lm_eval.api.task import ConfigurableTask

from lifecycle.digests import digest_file, digest_json

CODE_VERSION = "1"
"""Of everything that decides a kept result and is no input, file or setting; raise it where samples change."""
WHERE_FROM = ("dataset_kwargs", "metadata", "task_alias", "tag")
"""Fields of a task that say where its data lie, or nothing that decides a result: its data count row by row."""


def task_key(model: str, task: Any, rows: Sequence[Iterable[Any]], settings: dict[str, Any]) -> str:
    """The key of one task's result.

    Args:
        model: digest of the model, its tokenizer and chat template with it.
        rows: the items, and the worked examples that may stand before them.
        settings: what the recipe says of it.
    """
    made_from = {"model": model, "task": _described(task), "data": [_rows_digest(each) for each in rows]}
    return digest_json(made_from | {"settings": settings, "code": [CODE_VERSION, version("lm_eval")]})


def row_digest(row: Any) -> bytes:
    """SHA-256 of one item, whatever the order of its fields."""
    return hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)).digest()


def _described(task: Any) -> Any:
    """The task's configuration as plain data; functions count by the content of their files."""
    config = {key: value for key, value in vars(task.config).items() if key not in WHERE_FROM}
    own = type(task)
    return _plain(config | ({} if own is ConfigurableTask else {"class": own}))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if callable(value):
        source = inspect.getsourcefile(inspect.unwrap(getattr(value, "func", value)))
        return [getattr(value, "__qualname__", str(type(value))), digest_file(Path(source)) if source else None]
    return _plain(vars(value))


def _rows_digest(rows: Iterable[Any]) -> str:
    state = hashlib.sha256()
    for row in rows:
        state.update(row_digest(row))
    return state.hexdigest()
