"""Each materialization becomes one MLflow run, once, and a missing server never costs more than a warning."""

import logging
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from lifecycle.artifacts import Published, Store
from lifecycle.recipe.recipe import Recipe
from lifecycle.tracking.connection import connect
from lifecycle.tracking.following import following
from lifecycle.tracking.runs import catch_up, pending, record
from lifecycle.training.journal import Journal
from tests.patience import PATIENCE
from tests.tracking.chain import make_all, writes
from tests.tracking.server import Server


def _record(uri: str, published: Published, store: Store, **tags: str) -> str | None:
    stage = published.artifact.stage
    return record(uri, published, asset=f"small/{stage}", recipe_name="small", tags=tags, store_root=store.root)


def _runs(uri: str):
    """All runs, each with its inputs and outputs, which a search does not return in full."""
    client = connect(uri)
    found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    return [client.get_run(run.info.run_id) for run in found]


RECORD = """
import sys
from lifecycle.artifacts import Store
from lifecycle.tracking.runs import record

store = Store(sys.argv[1])
published = store.find(sys.argv[2], sys.argv[3])
run_id = record(sys.argv[4], published, asset="small/asset", recipe_name="small", tags={}, store_root=store.root)
print(run_id, *sorted({"mlflow", "dagster", "torch"} & set(sys.modules)))
"""


def _in_another_process(uri: str, published: Published, store: Store) -> list[str]:
    """The run id that `record` returns there, and which heavy modules it imported."""
    arguments = [str(store.root), published.artifact.stage, published.artifact.fingerprint, uri]
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", RECORD, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split()


def test_a_run_holds_identity_inputs_figures_journal_and_pictures(tracking_uri: str, store: Store) -> None:
    def build(workspace):
        journal = Journal(workspace.run_dir)
        for step in range(1, 1501):  # more than one batch of MLflow's thousand
            journal.metrics(step, loss=1 / step)
        (workspace.run_dir / "plots").mkdir()
        (workspace.run_dir / "plots" / "loss.png").write_bytes(b"\x89PNG")
        (workspace.out / "tokens.bin").write_bytes(b"tokens")
        (workspace.run_dir / "report.html").write_text("<p>report")
        return {"rows": 7, "ledger": {"dropped, all": 3}, "text": "not a metric", "ok": True}

    identity = {"training": {"steps": 5, "names": ["a", "b"]}, "texts": "x" * 9000, "list": [{"a": 1}]}
    published = store.materialize("pretrain_memmap", "3", identity, (), build)
    run_id = _record(tracking_uri, published, store, **{"lifecycle.partition": "a", "lifecycle.dagster_run_id": "d1"})
    assert run_id is not None
    client = connect(tracking_uri)
    run = client.get_run(run_id)
    assert run.info.run_name == "small/pretrain_memmap/a"
    assert client.get_experiment(run.info.experiment_id).name == "small"
    assert run.info.status == "FINISHED"
    assert run.data.params["training.steps"] == "5"
    assert run.data.params["training.names"] == '["a", "b"]'
    assert run.data.params["list.0.a"] == "1"
    assert len(run.data.params["texts"]) == 6000
    assert run.data.metrics == {"rows": 7, "ledger/dropped_ all": 3, "seconds": published.manifest.seconds, "loss": 1 / 1500}
    assert len(client.get_metric_history(run_id, "loss")) == 1500
    for key, value in {
        "stage": "pretrain_memmap",
        "fingerprint": published.artifact.fingerprint,
        "digest": published.artifact.digest,
        "code_version": "3",
        "dagster_run_id": "d1",
        "partition": "a",
    }.items():
        assert run.data.tags[f"lifecycle.{key}"] == value
    assert "mlflow=3" in run.data.tags["lifecycle.packages"]
    assert "GiB" in run.data.tags["lifecycle.hardware"]
    names = {item.path for item in client.list_artifacts(run_id)}
    assert names == {"manifest.json", "report.html", "plots"}, "reports and pictures, never the data"


def test_recording_again_gives_the_same_run_without_importing_mlflow(tracking_uri: str, store: Store) -> None:
    """Reuse must end in milliseconds: importing mlflow alone takes seconds."""
    published = store.materialize("corpus", "1", {"a": 1}, (), writes("x"))
    first = _record(tracking_uri, published, store)
    assert _record(tracking_uri, published, store) == first
    assert _in_another_process(tracking_uri, published, store) == [first]


def test_an_artifact_made_anew_is_another_run_of_the_same_version(tracking_uri: str, store: Store) -> None:
    published = store.materialize("base_model", "1", {}, (), writes("weights"))
    first = _record(tracking_uri, published, store)
    (published.artifact.path / "data.txt").write_text("damaged")
    time.sleep(1.1)  # the manifest's clock counts seconds
    again = store.materialize("base_model", "1", {}, (), writes("weights"))
    assert not again.reused
    second = _record(tracking_uri, again, store)
    assert second != first
    assert len(connect(tracking_uri).search_model_versions("name = 'small_base'")) == 1


def test_a_database_that_was_deleted_is_filled_again(tracking_uri: str, store: Store, migrated: bytes) -> None:
    """Old receipts made promotion fail for ever: the new database had no such model and nothing recorded it."""
    published = store.materialize("base_model", "1", {}, (), writes("weights"))
    first = _record(tracking_uri, published, store)
    path = Path(tracking_uri.removeprefix("sqlite:///"))
    replacement = path.with_name("new.db")
    replacement.write_bytes(migrated)
    replacement.replace(path)
    second, *_ = _in_another_process(tracking_uri, published, store)  # this one has the deleted file open
    assert second not in ("None", first)


def test_two_recipes_that_share_an_artifact_are_both_recorded(tracking_uri: str, store: Store) -> None:
    published = store.materialize("base_model", "1", {}, (), writes("weights"))
    runs = {
        name: record(tracking_uri, published, asset="base_model", recipe_name=name, tags={}, store_root=store.root)
        for name in ("one", "two", "one")
    }
    assert len(set(runs.values())) == 2
    client = connect(tracking_uri)
    assert {model.name for model in client.search_registered_models()} == {"one_base", "two_base"}


def test_a_lost_receipt_finds_the_run_again_and_a_half_written_run_is_replaced(tracking_uri: str, store: Store) -> None:
    """A writer killed between its first and its last request must not leave a second run for the same thing."""
    published = store.materialize("corpus", "1", {"a": 1}, (), writes("x"))
    first = _record(tracking_uri, published, store)
    (published.run_dir / "tracking.json").unlink()
    assert _record(tracking_uri, published, store) == first
    connect(tracking_uri).update_run(first, status="RUNNING")
    (published.run_dir / "tracking.json").write_text("{damaged")
    second = _record(tracking_uri, published, store)
    assert second not in (None, first)
    assert [run.info.run_id for run in _runs(tracking_uri)] == [second]


def test_models_are_linked_to_their_parents_and_registered_once(tracking_uri: str, store: Store, recipe: Recipe) -> None:
    made = make_all(recipe, store)
    for published in made.values():
        for each in [published] if isinstance(published, Published) else published.values():
            assert _record(tracking_uri, each, store) is not None
    client = connect(tracking_uri)
    by_stage = {run.data.tags["lifecycle.stage"]: run for run in _runs(tracking_uri)}
    base, sft = by_stage["base_model"].outputs.model_outputs[0], by_stage["sft_model"].outputs.model_outputs[0]
    assert [item.model_id for item in by_stage["sft_model"].inputs.model_inputs] == [base.model_id]
    assert [item.model_id for item in by_stage["dpo_model"].inputs.model_inputs] == [sft.model_id]
    assert [item.model_id for item in by_stage["base_eval"].inputs.model_inputs] == [base.model_id]
    names = {item.dataset.name for item in by_stage["corpus"].inputs.dataset_inputs}
    assert names == {"cleaned_corpora/standard_library", "cleaned_corpora/packages"}
    dpo = made["dpo_model"]
    assert isinstance(dpo, Published)
    version = client.get_model_version_by_alias("small_dpo", "candidate")
    assert version.source == dpo.artifact.uri
    assert version.tags["lifecycle.digest"] == dpo.artifact.digest
    assert len(client.search_model_versions("name = 'small_dpo'")) == 1


def test_no_server_is_a_warning_and_the_next_record_catches_up(
    server: Server, store: Store, recipe: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    made = make_all(recipe, store, until="base_model")
    base = made["base_model"]
    memmap = made["pretrain_memmap"]
    assert isinstance(base, Published)
    assert isinstance(memmap, Published)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert _record(server.uri, base, store) is None
        assert _record(server.uri, memmap, store) is None
    assert time.monotonic() - started < 120, "a missing server may cost seconds, not minutes"
    assert "does not answer" in caplog.text
    assert "2 record(s) wait" in caplog.text
    assert len(pending(store.root)) == 2
    server.start()
    again = store.materialize("tokenizer", "1", {}, (), writes("tokens"))
    assert _record(server.uri, again, store) is not None
    assert pending(store.root) == []
    runs = {run.data.tags["lifecycle.stage"]: run for run in _runs(server.uri)}
    assert set(runs) == {"tokenizer", "base_model", "pretrain_memmap"}
    assert _record(server.uri, base, store) == runs["base_model"].info.run_id
    version = connect(server.uri).get_model_version_by_alias("small_base", "candidate")
    assert version.tags["lifecycle.uri"] == base.artifact.uri, "a server takes no path as source, so the tag says where"
    server.stop()
    with caplog.at_level(logging.WARNING):
        assert _record(server.uri, store.materialize("x", "1", {}, (), writes("x")), store) is None
    assert len(pending(store.root)) == 1


def test_one_bad_record_does_not_hold_up_the_others(
    tracking_uri: str, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    queue = store.root / ".tracking" / "pending"
    queue.mkdir(parents=True)
    (queue / "half.json").write_text('{"stage": "corp')
    gone = store.materialize("gone", "1", {}, (), writes("x"))
    assert _record("http://127.0.0.1:9", gone, store) is None
    (gone.artifact.path / "data.txt").write_text("damaged")
    published = store.materialize("corpus", "1", {}, (), writes("x"))
    assert _record(tracking_uri, published, store) is not None
    assert catch_up(tracking_uri, store.root) == 0
    assert [path.name for path in queue.iterdir()] == ["half.damaged"]
    assert "half.damaged" in caplog.text


def test_a_plain_path_as_tracking_uri_is_named(tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    assert _record(str(tmp_path / "mlruns"), store.materialize("x", "1", {}, (), writes("x")), store) is None
    assert "sqlite:///" in caplog.text


def _live(uri: str, store: Store, fingerprint: str):
    tags = {"lifecycle.fingerprint": fingerprint, "lifecycle.recipe": "small", "lifecycle.stage": "base_model"}
    return following(
        uri, store.run_directory(fingerprint), asset="small/base_model", recipe_name="small", tags=tags, poll=0.05
    )


def _losses(uri: str) -> list[tuple[int, float]]:
    """(step, loss) of the one run there is; none while there is no run."""
    runs = _runs(uri)
    assert len(runs) <= 1
    client = connect(uri)
    return sorted(
        (metric.step, metric.value) for run in runs for metric in client.get_metric_history(run.info.run_id, "loss")
    )


def _wait_for(losses: list[tuple[int, float]], uri: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while _losses(uri) != losses:
        assert time.monotonic() < deadline, _losses(uri)
        time.sleep(0.1)


def test_tasks_with_chinese_names_are_metrics_of_their_own(tracking_uri: str, store: Store) -> None:
    """With signs outside ASCII replaced, two tasks whose names have two characters each became one curve."""
    run_dir = store.run_directory("f" * 32)
    with _live(tracking_uri, store, "f" * 32):
        Journal(run_dir).metrics(1, **{"loss": 1.0, "task_weight/翻译": 0.25, "task_weight/写作": 0.75})
        _wait_for([(1, 1.0)], tracking_uri)
    (run,) = _runs(tracking_uri)
    assert {name: run.data.metrics[f"task_weight/{name}"] for name in ("翻译", "写作")} == {"翻译": 0.25, "写作": 0.75}


def test_metrics_arrive_while_the_stage_runs_and_once(tracking_uri: str, store: Store) -> None:
    """A training of days showed nothing in MLflow before its end; and a continued one must not show a step twice."""

    def build(workspace):
        fingerprint = workspace.run_dir.name
        with suppress(KeyboardInterrupt), _live(tracking_uri, store, fingerprint):
            journal = Journal(workspace.run_dir)
            for step in (1, 2, 3):
                journal.metrics(step, loss=float(step))
            _wait_for([(1, 1.0), (2, 2.0), (3, 3.0)], tracking_uri)
            assert _runs(tracking_uri)[0].info.status == "RUNNING"
            raise KeyboardInterrupt
        assert _runs(tracking_uri)[0].info.status == "FAILED"
        with _live(tracking_uri, store, fingerprint):
            journal = Journal(workspace.run_dir)
            journal.resume(1)
            journal.metrics(2, loss=2.0)
            _wait_for([(1, 1.0), (2, 2.0)], tracking_uri)
            journal.metrics(3, loss=3.0)
            _wait_for([(1, 1.0), (2, 2.0), (3, 3.0)], tracking_uri)
        (workspace.out / "weights").write_text("x")
        return {"tokens": 5}

    published = store.materialize("base_model", "1", {"a": 1}, (), build)
    live = _runs(tracking_uri)[0].info.run_id
    assert _record(tracking_uri, published, store) == live
    assert _losses(tracking_uri) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    run = connect(tracking_uri).get_run(live)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["tokens"] == 5
    assert run.data.params == {"a": "1"}


def test_a_server_that_goes_away_costs_a_warning_and_no_metric(
    server: Server, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    server.start()

    def build(workspace):
        journal = Journal(workspace.run_dir)
        with _live(server.uri, store, workspace.run_dir.name):
            journal.metrics(1, loss=1.0)
            _wait_for([(1, 1.0)], server.uri)
            server.stop()
            journal.metrics(2, loss=2.0)
        (workspace.out / "weights").write_text("x")
        return {}

    with caplog.at_level(logging.WARNING):
        published = store.materialize("base_model", "1", {}, (), build)
    assert caplog.text.count("no metrics to MLflow") == 1
    server.start()
    assert _record(server.uri, published, store) is not None
    assert _losses(server.uri) == [(1, 1.0), (2, 2.0)]
