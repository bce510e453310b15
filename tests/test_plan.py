"""The plan says what would run and why before anything runs, and a run then does exactly that."""

import io
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from lifecycle import references, stages
from lifecycle.artifacts import Artifact, InputReference, Store, Workspace
from lifecycle.changes import changes
from lifecycle.cli import app
from lifecycle.corpora.snapshot import snapshot
from lifecycle.errors import DataError, LifecycleError, RecipeError
from lifecycle.manifest import content_digest, read_manifest, scan
from lifecycle.plan import PlanLine, markdown, plan, render
from lifecycle.recipe.recipe import Recipe
from tests.tracking.chain import SNAPSHOTS, make_all, small_recipe


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return small_recipe(tmp_path)


def _plan(recipe: Recipe, store: Store, **changed: str) -> dict[str, PlanLine]:
    """All lines but the champion's, which always comes last."""
    snapshots = SNAPSHOTS | changed
    *lines, champion = plan(recipe, store, lambda source: snapshots[source.name])
    assert (champion.stage, champion.action) == ("champion", "decide")
    return {f"{line.stage}/{line.source}" if line.source else line.stage: line for line in lines}


def _changed(tmp_path: Path, old: str, new: str) -> Recipe:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return small_recipe(tmp_path, change)


def test_on_an_empty_store_everything_runs(recipe: Recipe, store: Store) -> None:
    lines = _plan(recipe, store)
    assert len(lines) == len(stages.STAGES) + 2, "two stages are there once per source"
    assert {line.action for line in lines.values()} == {"run"}
    assert lines["raw_corpora/packages"].why == "never made before"
    assert lines["corpus"].why == "inputs cleaned_corpora/standard_library, cleaned_corpora/packages will be made anew"
    assert not store.root.exists(), "planning makes nothing"


def test_after_a_run_everything_is_reused_under_the_same_fingerprints(recipe: Recipe, store: Store) -> None:
    made = make_all(recipe, store)
    lines = _plan(recipe, store)
    assert {line.action for line in lines.values()} == {"reuse"}
    report = made["eval_report"]
    assert not isinstance(report, dict)
    assert lines["eval_report"].fingerprint == report.artifact.fingerprint
    assert lines["eval_report"].digest == report.artifact.digest


def test_a_changed_field_is_named_with_both_values(recipe: Recipe, store: Store, tmp_path: Path) -> None:
    make_all(recipe, store)
    lines = _plan(_changed(tmp_path, "steps: 1200", "steps: 1500"), store)
    assert lines["base_model"].why == "training.steps 1200 → 1500"
    assert lines["sft_model"].why == "input base_model will be made anew"
    assert {name for name, line in lines.items() if line.action == "run"} == {
        *("base_model", "base_eval", "sft_model", "sft_eval", "preference_pairs", "dpo_model", "dpo_eval", "eval_report")
    }


def test_a_runtime_field_changes_nothing(recipe: Recipe, store: Store, tmp_path: Path) -> None:
    make_all(recipe, store)
    lines = _plan(_changed(tmp_path, "micro_batch: 4", "micro_batch: 2"), store)
    assert {line.action for line in lines.values()} == {"reuse"}


def test_what_follows_a_change_that_may_give_the_same_bytes_is_a_maybe(recipe: Recipe, store: Store, tmp_path: Path) -> None:
    """A licence, a language tag or a touched file runs its reader again and, most often, nothing else."""
    make_all(recipe, store)
    for lines in (
        _plan(recipe, store, packages="f" * 64),
        _plan(_changed(tmp_path, "licence: BSD-3-Clause", "licence: BSD"), store),
    ):
        assert lines["raw_corpora/packages"].action == "run"
        assert lines["raw_corpora/standard_library"].action == "reuse"
        assert lines["cleaned_corpora/packages"].action == "maybe"
        assert lines["cleaned_corpora/packages"].why == "reused if raw_corpora/packages gives the same bytes as before"
        assert lines["corpus"].why == "reused if cleaned_corpora/packages gives the same bytes as before"
        assert lines["pretrain_memmap"].why == "reused if corpus, tokenizer give the same bytes as before"
        assert lines["eval_report"].action == "maybe"


def test_a_maybe_becomes_a_run_where_something_else_changed_too(recipe: Recipe, store: Store, tmp_path: Path) -> None:
    make_all(recipe, store)
    lines = _plan(_changed(tmp_path, "steps: 300", "steps: 400"), store, packages="f" * 64)
    assert lines["base_model"].action == "maybe"
    assert lines["sft_model"].action == "run"
    assert lines["sft_model"].why == "training.steps 300 → 400; inputs base_model, sft_memmap will be made anew"
    assert lines["dpo_model"].action == "run"
    assert lines["base_eval"].action == "maybe"


def test_a_model_that_is_gone_comes_back_the_same(recipe: Recipe, store: Store) -> None:
    make_all(recipe, store)
    before = _plan(recipe, store)
    evaluation = store.directory("base_eval", before["base_eval"].fingerprint or "")
    shutil.rmtree(evaluation)
    lines = _plan(recipe, store)
    assert lines["base_eval"].action == "run"
    assert lines["eval_report"].action == "maybe"


def test_the_champion_line_says_what_the_gates_will_decide(recipe: Recipe, store: Store) -> None:
    def champion() -> str:
        return plan(recipe, store, lambda source: SNAPSHOTS[source.name])[-1].why

    assert champion() == "on the report that will be made; needs: sft kind_of_object/acc at least 0.4"
    make_all(recipe, store)
    assert "report.json" in champion(), "a report that cannot be read is told before the run"
    report = _plan(recipe, store)["eval_report"]
    directory = store.directory("eval_report", report.fingerprint or "")
    for value, expected in ((0.3, "will be refused: kind_of_object/acc of sft is 0.3, must be at least 0.4"), (0.5, "hold")):
        figures = {"models": {"sft": {"metrics": {"kind_of_object/acc": {"value": value, "higher_is_better": True}}}}}
        (directory / "data.txt").rename(directory / "report.json") if value == 0.3 else None
        (directory / "report.json").write_text(json.dumps(figures))
        _seal(directory)
        assert expected in champion()


def _seal(directory: Path) -> None:
    """Make the manifest that of the files as they are now."""
    manifest = read_manifest(directory)
    (directory / "manifest.json").unlink()
    files = scan(directory)
    changed = manifest.model_copy(update={"files": files, "digest": content_digest(files)}).sealed()
    (directory / "manifest.json").write_text(changed.model_dump_json())


def test_an_input_with_other_bytes_is_named_with_both_digests(recipe: Recipe, store: Store, tmp_path: Path) -> None:
    """The upstream is there in its new form already; only its consumers have to follow."""
    make_all(recipe, store)
    smaller = _changed(tmp_path, "instructions:\n", "tokenizer: {vocab_size: 512}\ninstructions:\n")
    identity = stages.TOKENIZER.identity(smaller, None)
    corpus = _plan(recipe, store)["corpus"]
    reference = InputReference(
        name="corpus", stage="corpus", fingerprint=corpus.fingerprint or "", digest=corpus.digest or ""
    )

    def build(workspace):
        (workspace.out / "tokenizer.json").write_text("smaller")
        return {}

    made = store.materialize("tokenizer", stages.TOKENIZER.code_version, identity, (reference,), build)
    lines = _plan(smaller, store)
    assert lines["tokenizer"].action == "reuse"
    assert f"→ {made.artifact.digest[:8]})" in lines["pretrain_memmap"].why
    assert lines["pretrain_memmap"].why.startswith("input tokenizer changed (")


def test_a_changed_code_version_is_named(recipe: Recipe, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make_all(recipe, store)
    newer = tuple(replace(stage, code_version="next") if stage.name == "corpus" else stage for stage in stages.STAGES)
    monkeypatch.setattr(stages, "STAGES", newer)
    assert _plan(recipe, store)["corpus"].why == f"code version {stages.CORPUS.code_version} → next"


def test_damage_is_told_before_the_run(recipe: Recipe, store: Store) -> None:
    make_all(recipe, store)
    artifact = _plan(recipe, store)["corpus"]
    path = store.directory("corpus", artifact.fingerprint or "") / "data.txt"
    path.write_text("changed")
    line = _plan(recipe, store)["corpus"]
    assert line.action == "run"
    assert str(path) in line.why
    assert path.exists(), "planning sets nothing aside"


def test_the_recipes_own_last_artifact_is_compared_with_not_another_recipes_newer_one(
    recipe: Recipe, store: Store, tmp_path: Path
) -> None:
    make_all(recipe, store)
    mine = _plan(recipe, store)["base_model"]
    reference = store.root / ".refs" / "small" / "base_model" / "artifact.json"
    reference.parent.mkdir(parents=True)
    artifact = Artifact(stage="base_model", fingerprint=mine.fingerprint or "", digest=mine.digest or "", uri="anywhere")
    reference.write_text(artifact.model_dump_json())
    make_all(_changed(tmp_path, "steps: 1200", "steps: 7"), store)
    lines = _plan(_changed(tmp_path, "steps: 1200", "steps: 1500"), store)
    assert lines["base_model"].why == "training.steps 1200 → 1500"


def test_the_table_shows_brackets_of_values_as_they_are(recipe: Recipe, store: Store, tmp_path: Path) -> None:
    make_all(recipe, store)
    lines = _plan(_changed(tmp_path, "packages: [numpy]", "packages: [numpy, bold]"), store)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(list(lines.values())))
    text = console.export_text()
    assert 'packages ["numpy"] → ["numpy", "bold"]' in text
    assert "to run" in text


def test_inputs_must_be_those_of_the_stage_table() -> None:
    with pytest.raises(LifecycleError, match=r"tokenizer.*corpus"):
        references.input_references(stages.TOKENIZER, {})


def test_a_given_model_counts_by_its_bytes_not_by_its_place(tmp_path: Path) -> None:
    def starting(directory: str) -> Recipe:
        place = f"start: {{path: {tmp_path / directory}}}\n  training: {{steps: 1200"
        return small_recipe(tmp_path, lambda text: text.replace("training: {steps: 1200", place))

    for directory in ("here", "there", "other"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "model.safetensors").write_text("other" if directory == "other" else "same")
    digests = {name: snapshot(starting(name).base_model.start).digest for name in ("here", "there", "other")}
    assert digests["here"] == digests["there"] != digests["other"]
    identities = [stages.BASE_MODEL.identity(starting(name), None) for name in ("here", "there")]
    assert identities[0] == identities[1]
    assert "architecture" not in identities[0], "it is the model's own"


def test_the_plan_reuses_a_base_model_only_of_the_same_given_model(store: Store, tmp_path: Path) -> None:
    def starting(steps: str) -> Recipe:
        place = f"start: {{hub: some/model, revision: {'a' * 40}}}\n  training: {{steps: {steps}"
        return small_recipe(tmp_path, lambda text: text.replace("training: {steps: 1200", place))

    recipe = starting("1200")
    make_all(recipe, store, until="pretrain_memmap")
    lines = plan(recipe, store, lambda source: SNAPSHOTS.get(getattr(source, "name", ""), "given"))
    base = next(line for line in lines if line.stage == "base_model")
    assert (base.action, base.why) == ("run", "never made before")
    other = plan(recipe, store, lambda source: SNAPSHOTS.get(getattr(source, "name", ""), "another"))
    assert base.fingerprint != next(line for line in other if line.stage == "base_model").fingerprint


def test_a_source_that_is_gone_blocks_what_follows_and_nothing_else(recipe: Recipe, store: Store) -> None:
    """The plan said "run" and the run failed an hour later; or the plan itself ended with an error and said nothing else."""

    def snapshot_of(source: object) -> str:
        name = getattr(source, "name", "")
        if name == "packages":
            raise DataError("packages: nothing matches /data/*.jsonl")
        return SNAPSHOTS[name]

    lines = {line.name: line for line in plan(recipe, store, snapshot_of)}
    assert lines["raw_corpora/packages"].action == "blocked"
    assert lines["raw_corpora/packages"].why == "packages: nothing matches /data/*.jsonl"
    assert lines["cleaned_corpora/packages"].why == "waits for raw_corpora/packages"
    assert lines["raw_corpora/standard_library"].action == "run"
    assert lines["cleaned_corpora/standard_library"].action == "run"
    assert lines["corpus"].why == "waits for cleaned_corpora/packages"
    assert lines["dpo_model"].action == "blocked"


def test_the_command_has_a_status_for_a_ci_of_recipes(tmp_path: Path) -> None:
    missing = f"- {{name: gone, kind: jsonl, path: {tmp_path / 'nothing.jsonl'}, licence: x, language: en}}\n"
    small_recipe(tmp_path, lambda text: text.replace("sources:\n", f"sources:\n  {missing}", 1))
    words = ["plan", "--recipe", str(tmp_path / "recipe.yaml"), "--home", str(tmp_path)]
    done = CliRunner().invoke(app, [*words, "--json"])
    lines = {(line["stage"], line["source"]): line for line in json.loads(done.stdout)}
    assert done.exit_code == 1
    assert "nothing.jsonl" in lines["raw_corpora", "gone"]["why"]
    done = CliRunner().invoke(app, [*words, "--select", "raw_corpora"])
    assert done.exit_code == 1
    assert "BLOCKED" in done.stdout
    assert CliRunner().invoke(app, [*words, "--select", "heldout"]).exit_code == 1
    small_recipe(tmp_path)
    done = CliRunner().invoke(app, [*words, "--json", "--select", "raw_corpora"])
    assert done.exit_code == 0
    assert {line["action"] for line in json.loads(done.stdout)} == {"run"}, "what a pull request would make is no failure"


def test_select_plans_an_asset_and_what_it_is_made_from(recipe: Recipe, store: Store) -> None:
    def planned(*names: str) -> list[str]:
        lines = plan(recipe, store, lambda source: SNAPSHOTS[source.name], select=names)
        return list(dict.fromkeys(line.stage for line in lines))

    assert planned("tokenizer") == ["raw_corpora", "cleaned_corpora", "corpus", "tokenizer"]
    assert planned("tokenizer", "raw_instructions")[-1] == "raw_instructions"
    assert planned("champion")[-1] == "champion"
    with pytest.raises(RecipeError, match=r"small has no asset tokeniser; it has: raw_corpora, .*champion"):
        planned("tokeniser")


def test_the_cost_is_that_of_the_last_time_in_proportion_to_the_tokens(recipe: Recipe, store: Store, tmp_path: Path) -> None:
    def trained(workspace: Workspace) -> dict[str, Any]:
        (workspace.out / "model.safetensors").write_bytes(bytes(1000))
        time.sleep(0.05)
        return {"seconds_training": 1800.0, "processes": 8, "device": "NVIDIA H100"}

    make_all(recipe, store, build={"base_model": trained})
    made = _plan(recipe, store)["base_model"]
    assert made.cost is None, "what is reused costs nothing"
    line = _plan(_changed(tmp_path, "steps: 1200", "steps: 2400"), store)["base_model"]
    assert line.cost is not None
    manifest = read_manifest(store.directory("base_model", made.fingerprint or ""))
    assert line.cost.basis == "scaled"
    assert line.cost.seconds == pytest.approx(2 * manifest.seconds, abs=1e-3)
    assert line.cost.gpu_hours == 8.0
    assert line.cost.disk == 1000
    after = _plan(_changed(tmp_path, "steps: 1200", "steps: 2400"), store)["sft_model"]
    assert after.cost is not None
    assert (after.cost.basis, after.cost.gpu_hours) == ("measured", 0.0)
    assert _plan(recipe, Store(tmp_path / "other"))["base_model"].cost is None, "nothing is known, nothing is said"
    text = markdown([line])
    assert "| base_model | **run** |" in text
    assert "8.00 GPU-h" in text


def test_lists_of_named_things_are_compared_by_name() -> None:
    before = {"rules": [{"name": "a", "limit": 1}, {"name": "b", "limit": 2}], "words": ["x"]}
    now = {"rules": [{"name": "b", "limit": 3}, {"name": "c", "limit": 2}], "words": ["x", "y"]}
    assert changes(before, now) == [
        "rules[a] is gone",
        "rules[b].limit 2 → 3",
        "rules[c] is new",
        'words ["x"] → ["x", "y"]',
    ]
    assert changes(before, before) == []
