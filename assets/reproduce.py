"""`lifecycle reproduce`: a registered model made again in an empty home, and its whole life compared."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from assets.run import PROJECT
from lifecycle.artifacts import Store
from lifecycle.cli import console
from lifecycle.errors import LifecycleError
from lifecycle.tracking.reproduction import (
    Compared,
    Recorded,
    compare,
    other_code,
    other_inputs,
    other_packages,
    recorded,
)

CODE = "code"
RECIPE = "recipe.yaml"


def reproduce(tracking_uri: str, model: str, directory: Path) -> bool:
    """Make `model` again in the new home `directory`; whether every artifact has the same bytes as then.

    Where the code has moved on, the commit that made it is checked out into `directory/code` and runs.

    Raises:
        LifecycleError: `directory` exists, the model is not known whole, raw files have changed or are gone, its code is
            not to be had, or the run failed.
    """
    if directory.exists():
        raise LifecycleError(f"{directory} exists already: name a directory that does not")
    made = recorded(tracking_uri, model)
    if changed := other_inputs(made):
        raise LifecycleError(
            f"{model} cannot be made again, its raw files are not what they were:\n  " + "\n  ".join(changed)
        )
    code = other_code(made)
    for title, found in (("other packages, which may show", other_packages(made)), ("other code", code)):
        _tell(title, found)
    if made.dirty:
        _tell("its code had changes that no commit holds, so it may come out otherwise", [f"on top of commit {made.commit}"])
    directory.mkdir(parents=True)
    (directory / RECIPE).write_text(made.recipe_text, encoding="utf-8")
    try:
        place = checkout(made, directory / CODE) if code else None
    except LifecycleError:
        shutil.rmtree(directory)  # nothing was made: the same command is to work when the code is there
        raise
    run_graph(made, directory, place)
    results = compare(made, Store(directory / "store"))
    console.print(_table(model, results))
    first = next((each for each in results if not each.same), None)
    if first:
        console.print(f"the first that differs is {first.name}", markup=False, highlight=False)
    return first is None


def checkout(made: Recorded, directory: Path) -> Path:
    """The code of the commit that made the model, in a clone: a work tree would stay on the repository's list.

    Raises:
        LifecycleError: this code is in no repository, or its repository has no such commit.
    """
    if made.commit is None:
        raise LifecycleError(
            "the model was made by other code, and no commit of it is on record: install that code and run this again"
        )
    _git(made, "clone", "--quiet", "--no-checkout", "--", str(PROJECT), str(directory))
    _git(made, "-C", str(directory), "checkout", "--quiet", "--detach", made.commit)
    console.print(f"its code, commit {made.commit}, is in {directory}", markup=False, highlight=False, soft_wrap=True)
    return directory


def _git(made: Recorded, *arguments: str) -> None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LifecycleError(
            f"the model was made by other code (commit {made.commit}), which is not to be had from {PROJECT}: "
            f"{done.stderr.strip()}. Fetch that commit there, or install it, and run this again"
        )


def run_graph(made: Recorded, directory: Path, code: Path | None) -> None:
    """Run the graph as far as the model; older code, which may not know how to stop there, runs it whole."""
    select = [] if code else ["--select", made.root.stage]
    places = ["--recipe", str(directory / RECIPE), "--home", str(directory)]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(code or PROJECT), *_further_paths()])}
    variables["PYTHONSAFEPATH"] = "1"  # or the code in the present directory would come first, here and in every job
    variables.pop("LIFECYCLE_TRACKING_URI", None)  # what is made again is no new version
    done = subprocess.run([sys.executable, "-m", "assets.cli", "run", *places, *select], env=variables, check=False)
    if done.returncode:
        raise LifecycleError(f"the run failed with status {done.returncode}; it lies in {directory}")


def _further_paths() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _table(model: str, results: Sequence[Compared]) -> Table:
    same = sum(each.same for each in results)
    table = Table(title=f"{model}: {same} of {len(results)} artifacts have the same bytes", title_justify="left")
    for column in ("asset", "then", "now", ""):
        table.add_column(column)
    for each in results:
        verdict = "[green]the same[/]" if each.same else "[red]differs[/]" if each.after else "[red]not made[/]"
        table.add_row(each.name, each.before[:12], (each.after or "")[:12], verdict)
    return table


def _tell(title: str, found: Sequence[str]) -> None:
    if found:
        console.print(f"{title}:", markup=False, highlight=False)
        for line in found:
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
