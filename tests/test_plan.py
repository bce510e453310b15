"""The plan says what would run and why before anything runs, and a run then does exactly that."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from lifecycle import stages
from lifecycle.artifacts import Artifact, InputReference, Store
from lifecycle.errors import LifecycleError
from lifecycle.plan import PlanLine, plan, render
from lifecycle.recipe import Recipe
from tests.tracking.chain import SNAPSHOTS, make_all, small_recipe


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return small_recipe(tmp_path)


def _plan(recipe: Recipe, store: Store, **changed: str) -> dict[str, PlanLine]:
    snapshots = SNAPSHOTS | changed
    lines = plan(recipe, store, lambda source: snapshots[source.name])
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


def test_new_raw_bytes_run_what_reads_them_and_stop_where_the_bytes_come_out_the_same(recipe: Recipe, store: Store) -> None:
    make_all(recipe, store)
    lines = _plan(recipe, store, packages="f" * 64)
    assert lines["raw_corpora/packages"].why == f"input snapshot changed ({SNAPSHOTS['packages'][:8]} → ffffffff)"
    assert lines["raw_corpora/standard_library"].action == "reuse"
    assert lines["cleaned_corpora/packages"].why == "input raw_corpora/packages will be made anew"
    assert lines["corpus"].why == "input cleaned_corpora/packages will be made anew"


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

    made = store.materialize("tokenizer", "1", identity, (reference,), build)
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
        stages.input_references(stages.TOKENIZER, {})
