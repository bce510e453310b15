"""The documents are built strictly, and every command in them is one that the command line takes."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import assets.cli
from lifecycle.cli import app
from lifecycle.recipe.recipe import Recipe, parse_recipe
from lifecycle.stages import STAGES
from tests.documented import PAGES, commands, without_variables, words
from tests.graph_home import ROOT

USAGE = typer.BadParameter.__base__ or Exception
"""Everything that is wrong with the words of a command."""
YAML = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
RECIPES = ROOT / "deploy" / "recipes"
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)


def _refusal(words: list[str]) -> str | None:
    """What the command line has against this command; nothing is run. A command named alone may lack its arguments."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("lifecycle", [], resilient_parsing=True)
    try:
        name, command, rest = group.resolve_command(context, words)
        command.make_context(name, [*rest], parent=context, resilient_parsing=len(words) == 1)
    except typer.Exit:  # --help
        return None
    except USAGE as error:
        return error.format_message()
    return None


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_of_a_page_is_one_that_there_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renamed option leaves a page wrong for everybody who copies from it."""
    assert assets.cli.app is app
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LIFECYCLE_CLUSTER", "cluster.yaml")
    targets = TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
    for line in commands(path):
        command = without_variables(words(line))
        if command[:1] == ["make"]:
            assert command[1] in targets, line
        if command[:1] != ["lifecycle"] or command[1:] in ([], ["--help"]) or "…" in line:
            continue
        refusal = _refusal(command[1:])
        assert refusal is None, f"{path.name}: {line}: {refusal}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_part_of_a_recipe_on_a_page_is_one_that_is_accepted(path: Path) -> None:
    """In place of the same sections of a recipe that we ship. A page showed gates that no recipe could have together."""
    for block in YAML.findall(path.read_text(encoding="utf-8")):
        stated = yaml.safe_load(block)
        if not set(stated) <= set(Recipe.model_fields):
            continue  # another kind of file, or what stands within a section
        shipped = yaml.safe_load((RECIPES / ("demo.yaml" if "gates" in stated else "own_text.yaml")).read_text("utf-8"))
        shipped["base_model"]["architecture"]["max_positions"] = 32_768
        shipped["reward_model"] = {}  # a judge may be the recipe's own
        if "operation" in stated:
            shipped["sources"] = [shipped["sources"][0] | {"name": name} for name in ("news", "forum", "uploads")]
        if "instructions" in stated:
            stated["instructions"] = shipped["instructions"] | stated["instructions"]
        parse_recipe(yaml.safe_dump(shipped | stated, allow_unicode=True), path.name)


def test_arrows_of_the_pictures_are_those_of_the_graph() -> None:
    """A solid arrow is an input of a stage; the picture may leave some out."""
    picture = (ROOT / "README.md").read_text(encoding="utf-8").partition("```mermaid\n")[2].partition("```")[0]
    chains = [line.strip().split(" --> ") for line in picture.splitlines() if "-->" in line]
    arrows = {pair for chain in chains for pair in pairwise(chain)}
    real = {(given, stage.name) for stage in STAGES for given in stage.inputs} | {("eval_report", "champion")}
    assert arrows <= real
    assert {name for arrow in arrows for name in arrow} == {stage.name for stage in STAGES} | {"champion"}


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Links, anchors and the pages that the code writes: every field of a recipe and every rule has a row."""
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    fields = (tmp_path / "site" / "reference" / "recipe" / "index.html").read_text(encoding="utf-8")
    for name in ("sequence_length", "zero_stage", "on_spike", "min_margin"):
        assert f"<code>{name}</code>" in fields
    rules = (tmp_path / "site" / "reference" / "rules" / "index.html").read_text(encoding="utf-8")
    assert rules.count("<code>gopher_") > 20
