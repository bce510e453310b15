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
from lifecycle.recipe.recipe import Recipe
from lifecycle.stages import STAGES, memmap_stages, rounds_of, stages_of
from tests.graph_home import ROOT
from tests.tracking.chain import RECIPE, SNAPSHOTS, make_all, small_recipe

ADDED = """
added_instructions:
  - {round: 2, steps: 20, sources: [{kind: files, name: corrections, path: corrections.jsonl, licence: ours}]}
"""
"""Conversations that the second of the rounds begins with."""
JUDGED = """rounds: 3
kto: {global_batch: 8}
reward_model: {}
preferences:
  sources: [{kind: files, name: labels, path: labels.jsonl, licence: ours}]
"""
EVERYTHING = JUDGED + "  judges: [{kind: reference}]\n"


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
    judges = "  judges: [{kind: reference}, {kind: reward_model}]\n"
    inputs = {stage.name: stage.inputs for stage in stages_of(with_(tmp_path, JUDGED + judges))}
    assert "reward_model" not in inputs["preference_pairs"]
    assert inputs["preference_pairs_r2"][-1] == inputs["preference_pairs_r3"][-1] == "reward_model"
    for less in ("", "rounds: 2\n", "reward_model: {}\n"):
        with pytest.raises(RecipeError, match="`rounds: 2` or more"):
            with_(tmp_path, f"{less}preferences:\n{judges}")
    alone = "  judges: [{kind: reward_model}]\n"
    with pytest.raises(RecipeError, match="cannot judge the first round"):
        with_(tmp_path, JUDGED + alone)


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


def test_a_round_with_conversations_of_its_own_begins_with_fine_tuning(tmp_path: Path) -> None:
    """Pairs are sampled from what was fine-tuned, and it is the reference; the other rounds are as they were."""
    stages = {stage.name: stage for stage in stages_of(with_(tmp_path, "rounds: 3\n" + ADDED))}
    inputs = {name: stage.inputs for name, stage in stages.items()}
    assert inputs["raw_instructions_r2"] == ("corpus",)
    assert inputs["instructions_r2"] == ("raw_instructions_r2", "tokenizer", "heldout_text")
    assert inputs["sft_memmap_r2"] == ("instructions_r2", "tokenizer")
    assert inputs["sft_model_r2"] == ("dpo_model", "sft_memmap_r2")
    assert inputs["preference_pairs_r2"] == ("raw_preferences", "instructions", "sft_model_r2", "heldout_text")
    assert inputs["dpo_model_r2"] == ("sft_model_r2", "preference_pairs_r2")
    assert inputs["dpo_eval_r2"] == ("dpo_model_r2", "sft_model_r2", "preference_pairs_r2", "heldout_text")
    assert inputs["sft_eval_r2"] == ("sft_model_r2", "heldout_text")
    assert inputs["dpo_model_r3"] == ("dpo_model_r2", "preference_pairs_r3")
    order = ("base_eval", "sft_eval", "dpo_eval", "sft_eval_r2", "dpo_eval_r2", "dpo_eval_r3")
    assert inputs["eval_report"] == (*order, "heldout_text"), "each is compared with the one before"
    looked_at = with_(tmp_path, "rounds: 2\nevaluation: {contamination: {}}\n" + ADDED)
    prepared = [stage.name for stage in memmap_stages(looked_at)]
    assert prepared[-3:] == ["raw_instructions_r2", "instructions_r2", "sft_memmap_r2"], "they wait for no model"
    gated = with_(tmp_path, "rounds: 2\n" + ADDED).model_dump(exclude={"gates"})
    gate = {"model": "sft_r2", "metric": "kind_of_object/acc", "compared_to": "dpo", "no_worse_by": 2}
    assert Recipe.model_validate(gated | {"gates": [gate]}).gates[0].model == "sft_r2"
    with pytest.raises(ValueError, match="makes no model sft_r2"):
        Recipe.model_validate(gated | {"gates": [gate], "added_instructions": []})
    assert "instructions_r2" in next(each.inputs for each in stages_of(looked_at) if each.name == "contamination")


def test_fine_tuning_in_a_round_takes_all_of_its_conversations_and_its_own_steps(tmp_path: Path) -> None:
    """Forty corrections under a threshold made for forty thousand conversations would be none, or no held-out ones."""
    decided = "sft:\n  heldout: {share: 0.1}\n  phases: {into: 2}\n  balance: {per: task, coba: {}}\n"
    chosen = "embeddings: {kind: lexical}\n  selection: {keep: 0.5, by: {column: answer_characters}}\n  sources:"

    def text(given: str) -> str:
        return (
            given.replace("sft:\n", decided).replace("sources: [{kind: doc", f"{chosen} [{{kind: doc")
            + "rounds: 2\n"
            + ADDED
        )

    recipe = small_recipe(tmp_path, text)
    own = recipe.in_round(2)
    assert [source.name for source in own.instructions.sources if source.kind == "files"] == ["corrections"]
    assert (own.instructions.selection, own.instructions.embeddings, own.instructions.scores) == (None, None, None)
    assert (own.sft.heldout, own.sft.phases, own.sft.balance.coba) == (None, None, None)
    assert own.sft.balance.per == "task"
    assert own.sft.training == recipe.sft.training.model_copy(update={"steps": 20})
    assert recipe.in_round(1) is recipe


def test_conversations_added_to_a_later_round_change_nothing_before_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    plain, added = with_(tmp_path, "rounds: 2\n"), with_(tmp_path, "rounds: 2\n" + ADDED)
    make_all(plain, store)
    lines = {
        line.stage: line
        for line in plan(added, store, lambda source: SNAPSHOTS.get(getattr(source, "name", ""), "bytes of corrections"))
    }
    tuned = ["raw_instructions_r2", "instructions_r2", "sft_memmap_r2", "sft_model_r2"]
    after = ["preference_pairs_r2", "dpo_model_r2", "sft_eval_r2", "dpo_eval_r2", "eval_report"]
    assert [name for name, line in lines.items() if line.action == "run"] == [*tuned, *after]
    assert {stage.name: stage.identity(added, None) for stage in stages_of(plain) if not stage.per_source} == {
        stage.name: stage.identity(plain, None) for stage in stages_of(plain) if not stage.per_source
    }
    decided = {stage.name: stage.identity(added, None) for stage in stages_of(added) if stage.name in tuned}
    more = {"steps: 20": "steps: 21", "corrections.jsonl": "others.jsonl"}
    for (old, new), changed in zip(more.items(), ("sft_model_r2", "raw_instructions_r2"), strict=True):
        other = with_(tmp_path, "rounds: 2\n" + ADDED.replace(old, new))
        now = {stage.name: stage.identity(other, None) for stage in stages_of(other) if stage.name in tuned}
        assert [name for name in tuned if now[name] != decided[name]] == [changed]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("rounds: 1\n" + ADDED, "round 2 stands there twice, or is none of this recipe's 1"),
        ("rounds: 2\n" + ADDED + ADDED.splitlines()[2] + "\n", "round 2 stands there twice"),
        (
            "rounds: 3\n" + ADDED + ADDED.splitlines()[2].replace("round: 2", "round: 3") + "\n",
            r"\['corrections'\] stand more than once",
        ),
        ("rounds: 2\n" + ADDED.replace("round: 2", "round: 1"), "added_instructions"),
    ],
)
def test_additions_that_belong_to_no_round_are_refused(tmp_path: Path, more: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        with_(tmp_path, more)


def test_the_champion_is_the_last_rounds_model_and_was_measured_with_all_before_it(tmp_path: Path) -> None:
    from assets.evaluation import _check_measured

    recipe, store = with_(tmp_path, "rounds: 2\n" + ADDED), Store(tmp_path / "store")
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
    recipe.write_text(RECIPE + EVERYTHING + ADDED, encoding="utf-8")
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
    stages = {stage.name: sorted(stage.inputs) for stage in stages_of(with_(tmp_path, EVERYTHING + ADDED))}
    assert parents.pop("plan") == [], "it makes no artifact"
    champion = parents.pop("champion")
    assert champion == ["dpo_model_r3", "eval_report"]
    assert parents == stages
