"""What is new in a corpus, what a job took, what of a budget is left, and which corpora are kept."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets import automation
from assets.budget import spent_gpu_hours
from lifecycle import retention, stages
from lifecycle.artifacts import Artifact, Store, Workspace
from lifecycle.errors import LifecycleError
from lifecycle.jobs import TrainingJob
from lifecycle.new_text import new_characters
from lifecycle.previous import last_artifact
from lifecycle.recipe.operation import Retention
from lifecycle.retention import remember, retained
from lifecycle.training_due import judge, read_verdict
from lifecycle.usage import Use, counted, gpu_hours, hours_of, uses
from tests.operation.small import curate_source, make, small_recipe

TRAINING = "{training: {threshold: 0.2, device: H100, automatic: {gpu_hours: 5, days: 30}}}"


def write_documents(out: Path, files: list[list[str]]) -> None:
    """Texts by file; the first letter of each is its source."""
    (out / "train").mkdir()
    for number, texts in enumerate(files):
        table = pa.table({"text": texts, "source": [text[0] for text in texts]})
        pq.write_table(table, out / "train" / f"documents-{number:05}.parquet")


def corpus(store: Store, files: list[list[str]]) -> Artifact:
    def build(workspace: Workspace) -> dict[str, Any]:
        write_documents(workspace.out, files)
        return {}

    return store.materialize("corpus", "1", files, (), build).artifact


texts = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, unique=True)


@settings(max_examples=25)
@given(before=texts, after=texts, cut=st.integers(1, 3))
def test_new_text_is_what_a_comparison_of_all_texts_finds(
    tmp_path_factory: pytest.TempPathFactory, before: list[str], after: list[str], cut: int
) -> None:
    """However texts lie in files, and whether a file is in both corpora or not."""
    store = Store(tmp_path_factory.mktemp("store"))
    pieces = [[each[start : start + cut] for start in range(0, len(each), cut)] for each in (before, after)]
    found = new_characters(*(corpus(store, files).path for files in pieces))
    new = set(after) - set(before)
    assert found == {source: size for source in "ab" if (size := sum(len(text) for text in new if text[0] == source))}


def job(store: Store, processes: int = 4) -> TrainingJob:
    return TrainingJob(
        stage="base_model",
        fingerprint="f" * 32,
        program="none",
        config={},
        inputs={},
        output="out",
        run_dir=str(store.run_directory("f" * 32)),
        processes=processes,
    )


def test_what_a_job_took_is_on_record_however_it_ends(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def interrupted() -> None:
        with counted(job(store), "run"):
            (running,) = uses(store.root)
            assert running.seconds is None
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    (ended,) = uses(store.root)
    assert ended.seconds is not None
    assert (ended.processes, ended.run_id) == (4, "run")


def test_what_an_artifact_took_is_that_of_all_jobs_that_ran_for_it(tmp_path: Path) -> None:
    """Several jobs of one stage have fingerprints of their own, and were once found under none."""
    store, artifact = Store(tmp_path), "a" * 32
    inside = {"fingerprint": "b" * 32, "run_dir": str(store.run_directory(artifact) / "sample")}
    for each in ({"run_dir": str(store.run_directory(artifact))}, inside, {}):
        with counted(job(store).model_copy(update=each), "run"):
            pass
    found = list(uses(store.root, artifact))
    assert [each.fingerprint for each in found] == [artifact] * 2
    assert hours_of(store.root, artifact) == gpu_hours(iter(found), 0.0, float("inf"), lambda _: None) > 0


def test_hours_are_those_within_the_period_and_of_killed_runs_until_their_end() -> None:
    use = Use(stage="s", fingerprint="f", processes=8, run_id="r", started=0.0, seconds=7200.0)
    killed = use.model_copy(update={"seconds": None, "processes": 1})
    assert gpu_hours(iter([use]), 0.0, 1e9, lambda _: None) == 16.0
    assert gpu_hours(iter([use]), 3600.0, 1e9, lambda _: None) == 8.0
    assert gpu_hours(iter([use]), 7200.0, 1e9, lambda _: None) == 0.0
    assert gpu_hours(iter([killed]), 0.0, 36000.0, lambda _: 3600.0) == 1.0
    assert gpu_hours(iter([killed]), 0.0, 36000.0, lambda _: None) == 10.0


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Store, Any]:
    """A recipe whose base model was trained on 200 characters; then as many came, and half of the old ones went."""
    recipe, store = small_recipe(tmp_path, TRAINING), Store(tmp_path / "store")

    def memmap(**texts: list[str]) -> None:
        for source in ("books", "news"):
            (tmp_path / source / "first.txt").write_text(str(texts))
            curate_source(store, recipe, source)
        make(store, recipe, stages.CORPUS, write=lambda place: write_documents(place.out, list(texts.values())))
        make(store, recipe, stages.TOKENIZER)
        held = {name: sum(map(len, each)) for name, each in texts.items()}
        rows = [{"source": name, "characters": size, "tokens_held": size // 2} for name, size in held.items()]
        make(store, recipe, stages.PRETRAIN_MEMMAP, sources=rows)

    memmap(b=["b" * 100], n=["n" * 100])
    make(store, recipe, stages.BASE_MODEL)
    memmap(b=["b" * 100], n=["n" * 150, "n" * 50])
    return store, recipe


def asked(recipe: Any, store: Store, instance: dg.DagsterInstance) -> str | None:
    """None where the training sensor launches, else why not."""
    sensor = automation.training_sensor(recipe.operation.training, recipe, store)
    job = dg.define_asset_job("pretrain", dg.AssetSelection.all())

    @dg.asset
    def model() -> None: ...

    defs = dg.Definitions(assets=[model], jobs=[job], sensors=[sensor])
    context = dg.build_sensor_context(instance, repository_def=defs.get_repository_def())
    return defs.resolve_sensor_def(sensor.name).evaluate_tick(context).skip_message


def test_training_is_launched_only_within_the_budget_and_a_refusal_says_what_is_left(
    trained: tuple[Store, Any],
) -> None:
    store, recipe = trained
    base = last_artifact(store, recipe.name, "base_model")
    assert base
    now = time.time()
    use = Use(stage="base_model", fingerprint=base.fingerprint, processes=4, run_id="r", started=now - 7200, seconds=900)
    (store.root / ".usage").mkdir()
    (store.root / ".usage" / f"1-{base.fingerprint}.json").write_text(use.model_dump_json())
    with dg.DagsterInstance.ephemeral() as instance:
        assert "has not looked at this memmap" in (asked(recipe, store, instance) or "")
        verdict = judge(recipe, store)
        assert (verdict.seen_tokens, verdict.new_tokens, verdict.gone_tokens, verdict.due) == (100, 100, 50, True)
        assert "(about 1.00 GPU-hours, measured on the last training)" in verdict.sentence()
        assert read_verdict(recipe, store) == verdict
        assert asked(recipe, store, instance) is None
        other = use.model_copy(update={"fingerprint": "another", "processes": 14})
        (store.root / ".usage" / f"2-{other.fingerprint}.json").write_text(other.model_dump_json())
        assert spent_gpu_hours(instance, store, now - 86400, now) == pytest.approx(4.5)
        refused = asked(recipe, store, instance) or ""
        assert "takes about 1.00 GPU-hours, but 0.50 of 5 GPU-hours in 30 days are left" in refused


def test_corpora_are_kept_by_number_or_age_and_a_reused_one_is_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    day = 0.0
    made = [corpus(store, [[f"a{number}"]]) for number in range(5)]
    monkeypatch.setattr(retention, "time", SimpleNamespace(time=lambda: day * 86400))
    for artifact in [*made, made[0]]:
        day += 1
        remember(store, "r", artifact, Retention(last=2))
    assert [fingerprint for _, fingerprint in retained(store)] == [made[0].fingerprint, made[4].fingerprint]
    remember(store, "other", made[1], Retention(last=1, days=10))
    remember(store, "other", made[2], Retention(last=1, days=10))
    assert len(list(retained(store))) == 4
    day += 20
    assert len(list(retained(store))) == 3
    (store.root / ".kept" / "r.json").write_text("{")
    with pytest.raises(LifecycleError, match=r"r\.json: damaged list of kept corpora"):
        list(retained(store))
