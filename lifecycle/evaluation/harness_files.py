"""lm-eval's own tasks as the files that they are: what a name stands for, without importing lm-eval, which takes seconds.

A recipe names such a task by a word. What it asks, and how, stands in the installed package and in a data set of the hub;
both may change beneath the word, and so the fingerprint of an evaluation holds the digests of the one and the revision of
the other.
"""

import difflib
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lifecycle.digests import digest_file
from lifecycle.errors import RecipeError
from lifecycle.evaluation.task_files import (
    LOCAL_READERS,
    Function,
    has_file,
    leaves,
    parse_fields,
    shipped_names,
)
from lifecycle.recipe.evaluation import EvaluationConfig

NAMES_MEANT = 5
NAMED = re.compile(r"""^["']?(task|group|tag)["']?:[ \t]*["']?([^\s"'\[#]+)""", re.MULTILINE)
TAGS = re.compile(r"""^["']?tag["']?:[ \t]*\n((?:[ \t]*-[^\n]*\n)+)""", re.MULTILINE)
TAG = re.compile(r"""-[ \t]*["']?([^\s"']+)""")


@dataclass(frozen=True)
class Known:
    """What a name of lm-eval's stands for: the file of a task or group, or every file under a tag."""

    files: tuple[Path, ...]
    single: bool
    """Whether it is one task with a file of its own."""


def harness_digests(config: EvaluationConfig) -> dict[str, dict[str, Any]]:
    """What decides each of the recipe's tasks that are lm-eval's own: digests of its files, and the revision of its data.

    Raises:
        RecipeError: a task is neither ours nor lm-eval's.
    """
    return {entry.task: _digests(entry.task) for entry in config.tasks if not has_file(entry)}


def known(name: str) -> Known:
    """What lm-eval knows by this name; raises RecipeError, with those that may have been meant, where it knows nothing."""
    names = _names()
    if name not in names:
        close = difflib.get_close_matches(name, [*shipped_names(), *names], n=NAMES_MEANT)
        raise RecipeError(
            f"evaluation.tasks: {name!r} is neither a task that the project ships ({', '.join(shipped_names())}) nor "
            f"one of lm-eval's{'; did you mean ' + ', '.join(close) + '?' if close else '.'} A task file of your own needs "
            "its path"
        )
    return names[name]


@cache
def _folder() -> Path:
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]).resolve() / "tasks"


@cache
def _names() -> dict[str, Known]:
    names: dict[str, Known] = {}
    for path in sorted(_folder().rglob("*.yaml")):
        text = path.read_text(encoding="utf-8", errors="replace")
        found = NAMED.findall(text) + [("tag", name) for tags in TAGS.findall(text) for name in TAG.findall(tags)]
        for kind, name in found:
            before = names.get(name)
            names[name] = Known((*before.files, path), False) if before else Known((path,), kind == "task")
    return names


def _digests(name: str) -> dict[str, Any]:
    files, data = {}, {}
    for path, fields in _reached(known(name).files):
        files[path.relative_to(_folder()).as_posix()] = digest_file(path)[:16]
        source = fields.get("dataset_path")
        if isinstance(source, str) and source not in LOCAL_READERS:
            data[source] = _revision(source)
    return {"files": dict(sorted(files.items())), "data": dict(sorted(data.items()))}


def _reached(files: tuple[Path, ...]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every file that decides these, once, with its fields: what they include, their functions, a group's tasks."""
    waiting, seen = list(files), set[Path]()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        fields = _fields(path)
        yield path, fields
        included = fields.get("include") or []
        waiting += [(path.parent / each).resolve() for each in ([included] if isinstance(included, str) else included)]
        for each in leaves(fields):
            if isinstance(each, Function):
                waiting.append(path.parent / f"{each.name.rpartition('.')[0].replace('.', '/')}.py")
        if "group" in fields:
            waiting += [file for task in _tasks_of(fields) for file in (_names()[task].files if task in _names() else ())]


def _fields(path: Path) -> dict[str, Any]:
    """Of a task file; none of Python, or where the package has what lm-eval itself could not read."""
    if path.suffix == ".py":
        return {}
    try:
        found = parse_fields(path.read_text(encoding="utf-8"))
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _tasks_of(group: dict[str, Any]) -> Iterator[str]:
    """The names in a group, those of groups that are written within it too."""
    for each in group.get("task") or []:
        if isinstance(each, str):
            yield each
        elif isinstance(each.get("task"), str):
            yield each["task"]
        else:
            yield from _tasks_of(each)


def _revision(dataset: str) -> str | None:
    """The commit of a data set of the hub that this machine has, None where it has none."""
    from huggingface_hub import constants  # seconds, of recipes that need it alone
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=dataset, repo_type="dataset")
    reference = folder / "refs" / "main"
    return reference.read_text(encoding="utf-8").strip() if reference.is_file() else None
