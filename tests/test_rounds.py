"""Rounds of preferences, and the optional trainings beside them: which stages a recipe has, and what follows from it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lifecycle.artifacts import Published, Store
from lifecycle.errors import LifecycleError, RecipeError
from lifecycle.plan import plan
from lifecycle.recipe import Recipe
from lifecycle.stages import STAGES, rounds_of, stages_of
from tests.graph_home import ROOT
from tests.tracking.chain import RECIPE, SNAPSHOTS, make_all, small_recipe

EVERYTHING = "rounds: 3\nkto: {global_batch: 8}\nreward_model: {}\n"


def with_(tmp_path: Path, more: str) -> Recipe:
    return small_recipe(tmp_path, lambda text: text + more)


def lines_of(recipe: Recipe, store: Store) -> dict[str, Any]:
    return {line.stage: line for line in plan(recipe, store, lambda source: SNAPSHOTS[source.name])}


def test_a_recipe_of_one_round_has_the_stages_of_every_recipe(tmp_path: Path) -> None:
    """So its fingerprints are those from before there were rounds."""
    assert stages_of(small_recipe(tmp_path)) == STAGES


def test_each_round_begins_with_the_model_of_the_one_before(tmp_path: Path) -> None:
    """A cycle is not possible: every stage comes after all of its inputs."""
    stages = stages_of(with_(tmp_path, EVERYTHING))
    seen: set[str] = set()
    for stage in stages:
        assert set(stage.inputs) <= seen, stage.name
        seen.add(stage.name)
    inputs = {stage.name: stage.inputs for stage in stages}
    assert inputs["preference_pairs_r2"] == ("raw_preferences", "instructions", "dpo_model", "heldout_text")
    assert inputs["dpo_model_r2"] == ("dpo_model", "preference_pairs_r2")
    assert inputs["preference_pairs_r3"] == ("raw_preferences", "instructions", "dpo_model_r2", "heldout_text")
    assert inputs["dpo_model_r3"] == ("dpo_model_r2", "preference_pairs_r3")
    assert inputs["dpo_eval_r3"] == ("dpo_model_r3", "dpo_model_r2", "preference_pairs_r3", "heldout_text")
    evaluations = ("base_eval", "sft_eval", "dpo_eval", "dpo_eval_r2", "dpo_eval_r3", "kto_eval")
    assert inputs["eval_report"] == (*evaluations, "heldout_text")


def test_the_recipes_own_reward_model_judges_from_the_second_round_on(tmp_path: Path) -> None:
    judges = "preferences: {judges: [{kind: reference}, {kind: reward_model}]}\n"
    inputs = {stage.name: stage.inputs for stage in stages_of(with_(tmp_path, EVERYTHING + judges))}
    assert "reward_model" not in inputs["preference_pairs"]
    assert inputs["preference_pairs_r2"][-1] == inputs["preference_pairs_r3"][-1] == "reward_model"
    for wrong in (judges, "rounds: 2\n" + judges, "reward_model: {}\n" + judges):
        with pytest.raises(RecipeError, match="`rounds: 2` or more"):
            with_(tmp_path, wrong)
    alone = "preferences: {judges: [{kind: reward_model}]}\n"
    with pytest.raises(RecipeError, match="cannot judge the first round"):
        with_(tmp_path, EVERYTHING + alone)


def test_another_round_reuses_the_first_ones(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    make_all(small_recipe(tmp_path), store)
    lines = lines_of(with_(tmp_path, "rounds: 2\n"), store)
    run = [name for name, line in lines.items() if line.action == "run"]
    assert run == ["preference_pairs_r2", "dpo_model_r2", "dpo_eval_r2", "eval_report"]
    assert lines["preference_pairs_r2"].why == "never made before"
    assert lines["champion"].why.startswith("on the report that will be made")
    two = with_(tmp_path, "rounds: 2\n")
    make_all(two, store)
    assert {line.action for name, line in lines_of(two, store).items() if name != "champion"} == {"reuse"}
    changed = small_recipe(tmp_path, lambda text: text + "rounds: 2\ndpo: {beta: 0.2}\n")
    lines = lines_of(changed, store)
    assert lines["preference_pairs_r2"].action == "run", "a model made with another setting gives other answers"
    assert lines["preference_pairs"].action == "reuse"


def test_the_champion_is_the_last_rounds_model_and_was_measured_with_all_before_it(tmp_path: Path) -> None:
    from assets.evaluation import _check_measured

    recipe, store = with_(tmp_path, "rounds: 2\n"), Store(tmp_path / "store")
    made = {name: each.artifact for name, each in make_all(recipe, store).items() if isinstance(each, Published)}
    runner: Any = SimpleNamespace(recipe=recipe, store=SimpleNamespace(open=lambda: store))
    last = made[rounds_of(recipe)[-1].model.name]
    assert last.stage == "dpo_model_r2"
    _check_measured(runner, made["eval_report"], last)
    for other in (last.model_copy(update={"digest": "0" * 32}), made["dpo_model"]):
        with pytest.raises(LifecycleError, match=f"measured a dpo_model_r2 .* has {other.digest}; materialize dpo_eval_r2"):
            _check_measured(runner, made["eval_report"], other)


def test_the_graph_has_the_assets_that_the_recipe_asks_for(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE + EVERYTHING, encoding="utf-8")
    program = (
        "import json; from assets.definitions import defs; graph = defs.resolve_asset_graph();"
        "print(json.dumps({k.path[-1]: sorted(p.path[-1] for p in graph.get(k).parent_keys)"
        " for k in graph.get_all_asset_keys()}))"
    )
    environment = os.environ | {"LIFECYCLE_HOME": str(tmp_path), "LIFECYCLE_RECIPE": str(recipe)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    parents = json.loads(done.stdout.strip().splitlines()[-1])
    stages = {
        stage.name: sorted(stage.inputs) for stage in stages_of(small_recipe(tmp_path, lambda text: text + EVERYTHING))
    }
    assert parents.pop("plan") == [], "it makes no artifact"
    champion = parents.pop("champion")
    assert champion == ["dpo_model_r3", "eval_report"]
    assert parents == stages
