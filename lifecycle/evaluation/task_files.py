"""Task files: YAML as lm-eval reads it, those that we ship and those that a recipe points at, read as data.

lm-eval's own reader follows any path and imports any function that a file names. Here a file of `path` reaches nothing
outside its folder, and `!function` is code: it counts only where the recipe says so.
"""

import importlib
import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from lifecycle.corpora.paths import expand
from lifecycle.digests import digest_file
from lifecycle.errors import RecipeError
from lifecycle.recipe.evaluation import EvaluationConfig, EvaluationTask

SHIPPED = Path(__file__).parent / "tasks"
FUNCTIONS = Path(__file__).parent / "benchmarks"
SHIPPED_FUNCTIONS = "lifecycle.evaluation.benchmarks"
HELDOUT = "${HELDOUT}"
"""In shipped files: the directory of the `heldout_text` artifact."""
LOCAL_READERS = ("json", "csv", "parquet", "text")
"""What `datasets` reads local files with; its other readers (of pickles, of folders) are not for a file of `path`."""
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
CODE = ("class", "custom_dataset", "unsafe_code", "use_prompt")
"""Fields of a task that name code."""


@dataclass(frozen=True)
class Function:
    """What `!function module.name` in a task file names."""

    name: str
    file: Path | None
    """Of a function beside the task file; a shipped one lives in `SHIPPED_FUNCTIONS`."""

    def load(self) -> Callable[..., Any]:
        """Import it; raises RecipeError where there is none of this name."""
        module_name, _, attribute = self.name.rpartition(".")
        if self.file is None:
            return getattr(importlib.import_module(f"{SHIPPED_FUNCTIONS}.{module_name}"), attribute)
        spec = importlib.util.spec_from_file_location(f"task_functions_{digest_file(self.file)[:16]}", self.file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if not hasattr(module, attribute):
            raise RecipeError(f"{self.file}: has no function {attribute!r}, which its task file names")
        return getattr(module, attribute)


@dataclass(frozen=True)
class TaskFile:
    """One task, read whole."""

    entry: EvaluationTask
    config: dict[str, Any]
    """What lm-eval makes a task of; functions are `Function`s until `loaded`."""
    files: tuple[Path, ...] = field(default=())
    """Everything that decides it: task files, functions, local data. Held-out text is an input of its own."""

    def loaded(self) -> dict[str, Any]:
        """`config` with its functions imported."""
        return _replaced(self.config, lambda value: value.load() if isinstance(value, Function) else value)

    def on(self, heldout: Path) -> "TaskFile":
        """With the paths of this held-out text."""
        arguments = _replaced(self.config.get("dataset_kwargs") or {}, lambda value: _of(heldout, value))
        return replace(self, config=self.config | {"dataset_kwargs": arguments})

    def has_items(self, heldout: Path) -> bool:
        """Whether the held-out text gave what this task asks of; true of tasks that ask nothing of it."""
        asked = [each for each in leaves(self.config.get("dataset_kwargs")) if str(each).startswith(HELDOUT)]
        return all(Path(_of(heldout, each)).exists() for each in asked)


def _of(heldout: Path, value: Any) -> Any:
    return value.replace(HELDOUT, str(heldout.resolve())) if isinstance(value, str) else value


def shipped_names() -> list[str]:
    """Tasks that a recipe may name without a path."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml") if not path.stem.startswith("_"))


def task_files(config: EvaluationConfig) -> list[TaskFile]:
    """Those of the recipe's tasks that are files, ours or the user's; the others are lm-eval's own.

    Raises:
        RecipeError: a file is missing, is no task, reaches outside its folder, or names code that the recipe does not
            allow.
        DataError: its data are missing.
    """
    return [file for file in (read_task_file(entry, config) for entry in config.tasks) if file]


def file_digests(config: EvaluationConfig) -> dict[str, list[str]]:
    """What the files of each task say, by its name, wherever they lie."""
    return {file.entry.task: [digest_file(path) for path in file.files] for file in task_files(config)}


def has_file(entry: EvaluationTask) -> bool:
    """Whether a task is a file of ours or the user's; otherwise it is one of lm-eval's own."""
    return entry.path is not None or (not entry.task.startswith("_") and (SHIPPED / f"{entry.task}.yaml").is_file())


def read_task_file(entry: EvaluationTask, config: EvaluationConfig) -> TaskFile | None:
    """The file of one task, checked; None where it has none. Raises as `task_files` does."""
    if not has_file(entry):
        return None
    if entry.path is None:
        path = SHIPPED / f"{entry.task}.yaml"
        reader = _Reader(entry.task, path.parent, shipped=True)
    else:
        found = expand(entry.path, f"evaluation.tasks.{entry.task}.path")
        if len(found) != 1 or not isinstance(found[0][0], Path):
            raise RecipeError(f"evaluation.tasks.{entry.task}.path: {entry.path!r} must name one local task file")
        path = found[0][0].resolve()
        reader = _Reader(entry.task, path.parent, shipped=False)
    task = reader.read(path)
    if task.get("task") != entry.task:
        raise RecipeError(
            f"{path}: its task is called {task.get('task')!r}; the recipe must give the same name, not {entry.task!r}"
        )
    if entry.path is None:
        if task.get("unsafe_code") and not config.allow_code_execution:
            raise RecipeError(
                f"evaluation.tasks: {entry.task} runs programs that the model writes; set evaluation.allow_code_execution: "
                "true where you accept that (docs/evaluation-tasks.md says what the sandbox keeps out and what it does not)"
            )
    else:
        _refuse_code(path, task, config.allow_task_python)
    reader.resolve_data(path, task)
    return TaskFile(entry, task, tuple(dict.fromkeys(reader.files)))


class _Reader:
    """Reads one task's YAML files, and remembers what they were."""

    def __init__(self, name: str, root: Path, shipped: bool) -> None:
        self.name, self.root, self.shipped = name, root.resolve(), shipped
        self.files: list[Path] = []

    def read(self, path: Path, including: tuple[Path, ...] = ()) -> dict[str, Any]:
        """The fields of `path` over those of what it includes."""
        if path in including:
            raise RecipeError(f"{path}: includes itself by way of {', '.join(map(str, including))}")
        self.files.append(path)
        try:
            found = parse_fields(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RecipeError(f"{path}: cannot be read as a task file: {error}") from error
        if not isinstance(found, dict):
            raise RecipeError(f"{path}: a task file is a mapping of fields, this holds {type(found).__name__}")
        if "group" in found:
            raise RecipeError(f"{path}: is a group; name its tasks in the recipe, each with its file")
        found = _replaced(found, lambda value: self._located(path, value))
        included = found.pop("include", [])
        merged: dict[str, Any] = {}
        for each in [included] if isinstance(included, str) else included:
            merged |= self.read(self.within(path, str(each)), (*including, path))
        return merged | found

    def within(self, file: Path, name: str) -> Path:
        """The file called `name` in `file`; raises RecipeError where that is no file of the folder."""
        target = (file.parent / name).resolve()
        if not target.is_relative_to(self.root):
            raise RecipeError(f"{file}: {name!r} leads out of {self.root}; a task's files lie in its folder or below")
        if not target.is_file():
            raise RecipeError(f"{file}: names {name!r}, and there is no file {target}")
        return target

    def resolve_data(self, path: Path, task: dict[str, Any]) -> None:
        """Turn the paths under `dataset_kwargs` into absolute ones; raises DataError where one is missing."""
        arguments = task.get("dataset_kwargs") or {}
        if self.shipped:
            task["dataset_kwargs"] = _replaced(arguments, self._shipped_data)
        elif "data_files" in arguments:
            task["dataset_kwargs"] = arguments | {
                "data_files": _replaced(arguments["data_files"], lambda name: self._own_data(path, name))
            }

    def _shipped_data(self, name: Any) -> Any:
        if not isinstance(name, str) or name.startswith(HELDOUT):
            return name
        (found, _), *_ = expand(name, f"evaluation.tasks: {self.name}")
        self.files.append(Path(str(found)))
        return str(found)

    def _own_data(self, path: Path, name: Any) -> Any:
        found = expand(os.path.join(self.root, os.path.expandvars(str(name))), f"{path}: dataset_kwargs.data_files")
        names = [self.within(path, str(file)) for file, _ in found]
        self.files += names
        return str(names[0]) if len(names) == 1 else [str(each) for each in names]

    def _located(self, path: Path, value: Any) -> Any:
        """A function that `path` names, with the file that it is in."""
        if not isinstance(value, Function):
            return value
        module = value.name.rpartition(".")[0].replace(".", "/")
        file = FUNCTIONS / f"{module}.py" if self.shipped else self.within(path, f"{module}.py")
        self.files.append(file)
        return value if self.shipped else replace(value, file=file)


class _Names(yaml.SafeLoader):
    """Safe, and `!function` is read as what it names."""


def _function(loader: yaml.SafeLoader, node: Any) -> Function:
    return Function(str(loader.construct_scalar(node)), None)


_Names.add_constructor("!function", _function)


def parse_fields(text: str) -> Any:
    """What a task file says, `!function` as a `Function`; raises yaml.YAMLError."""
    return yaml.load(text, _Names)


def _refuse_code(path: Path, task: dict[str, Any], allowed: bool) -> None:
    """What in a user's task file is code, or fetches some."""
    if task.get("unsafe_code"):
        raise RecipeError(f"{path}: unsafe_code: the sandbox is for the tasks that we ship alone (local_humaneval)")
    named = [key for key in CODE if task.get(key)]
    named += ["!function"] if any(isinstance(each, Function) for each in leaves(task)) else []
    named += ["hf_evaluate"] if any("hf_evaluate" in each for each in task.get("metric_list") or []) else []
    if named and not allowed:
        raise RecipeError(
            f"{path}: names code ({', '.join(named)}), which would run as this evaluation does; set "
            "evaluation.allow_task_python: true where you trust it"
        )
    dataset, arguments = str(task.get("dataset_path") or ""), task.get("dataset_kwargs") or {}
    local = dataset in LOCAL_READERS
    on_the_hub = bool(HUB_NAME.fullmatch(dataset)) and not Path(dataset).exists()
    if local != ("data_files" in arguments) or not (local or on_the_hub or "custom_dataset" in task):
        raise RecipeError(
            f"{path}: dataset_path {dataset!r}: give one of {', '.join(LOCAL_READERS)} with dataset_kwargs.data_files, "
            "files in this folder; or `owner/name` of a dataset on the hub, without data_files"
        )
    refused = sorted(set(arguments) & {"data_dir", "trust_remote_code", "cache_dir"})
    if refused:
        raise RecipeError(f"{path}: dataset_kwargs: {', '.join(refused)} cannot be given here")


def _replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with every leaf changed."""
    if isinstance(value, dict):
        return {key: _replaced(each, change) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, change) for each in value]
    return change(value)


def leaves(value: Any) -> Iterator[Any]:
    """Every value in mappings and lists, at any depth."""
    children: Sequence[Any] = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if not isinstance(value, (dict, list)):
        yield value
    for each in children:
        yield from leaves(each)
