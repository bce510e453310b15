"""Turns one materialization into one MLflow run: parameters, tags, inputs, metrics, small files, and the model."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Param, Run, RunTag

from lifecycle.artifacts import MANIFEST, Artifact, InputReference, Manifest, Published, Store
from lifecycle.evaluation.report_pages import HTML, MARKDOWN
from lifecycle.evaluation.results import RESULTS, Results
from lifecycle.plots import pictures_of
from lifecycle.tracking.card_records import CARD, current_card
from lifecycle.tracking.cards import About
from lifecycle.tracking.connection import experiment_of
from lifecycle.tracking.models import find_run, is_model, model_id_of, register_model
from lifecycle.training.journal import read_metrics

KEY_CHARACTERS = 250
PARAM_CHARACTERS = 6000
TAG_CHARACTERS = 5000
DATASET_DIGEST_CHARACTERS = 36
METRICS_PER_BATCH = 1000
TAGS_PER_BATCH = 100
LARGEST_FILE = 20_000_000
RECIPE = "recipe.yaml"
"""The whole recipe, beside each run's parameters, which are the stage's part of it."""

Item = TypeVar("Item")


def write_run(
    client: MlflowClient,
    published: Published,
    *,
    asset: str,
    recipe_name: str,
    tags: Mapping[str, str],
    recipe_text: str = "",
) -> str:
    """Write the run of this materialization and return its id; one that is already complete is returned as it is.

    A run that a killed writer left unfinished is deleted and written anew, so that no materialization counts twice.
    """
    manifest = published.manifest
    experiment = experiment_of(client, recipe_name)
    all_tags = _tags(published, asset, recipe_name, tags)
    run = _complete_run(client, experiment, all_tags)
    if run is None:
        run = _create(client, experiment, published, asset, all_tags)
    run_id = run.info.run_id
    if recipe_text and run.info.status != "FINISHED":
        client.log_text(run_id, recipe_text, RECIPE)
    if is_model(manifest.stage):
        about = About(recipe_name, tags.get("lifecycle.description", ""), tags.get("lifecycle.intended_use", ""))
        card = current_card(Store(published.artifact.path.parents[1]), published.artifact, about)
        client.log_text(run_id, card, CARD)
        register_model(client, run, published.artifact, manifest, recipe_name, card)
    if run.info.status != "FINISHED":
        client.set_terminated(run_id, end_time=_milliseconds(manifest.created_at))
    return run_id


def open_run(client: MlflowClient, run_dir: Path, asset: str, recipe_name: str, tags: Mapping[str, str]) -> str:
    """The id of the run that is shown while a stage is being made, with all that its journal says until now."""
    experiment = experiment_of(client, recipe_name)
    journal = read_metrics(run_dir)
    run = _live_run(client, experiment, tags, journal)
    if run is None:
        run = client.create_run(experiment, run_name=_run_name(asset, tags))
        _log_tags(client, run.info.run_id, tags)
    elif run.info.status != "RUNNING":
        client.update_run(run.info.run_id, status="RUNNING")
    log_journal(client, run.info.run_id, journal)
    return run.info.run_id


def log_journal(client: MlflowClient, run_id: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Log metrics of a journal. Those that are there already stay single: MLflow keys them by name, time, step and value."""
    for some in _batches(list(_journal_metrics(entries)), METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=some)


def _live_run(
    client: MlflowClient, experiment: str, tags: Mapping[str, str], journal: Sequence[Mapping[str, Any]]
) -> Run | None:
    """The run opened while this artifact was being made; one with figures that no longer count is deleted instead."""
    query = " and ".join(f"tags.`{key}` = '{tags[key]}'" for key in ("lifecycle.fingerprint", "lifecycle.recipe"))
    valid = {(metric.key, metric.step, metric.timestamp) for metric in _journal_metrics(journal)}
    found = None
    for run in client.search_runs([experiment], query):
        if run.info.status == "FINISHED" or "lifecycle.digest" in run.data.tags:
            continue
        said = (metric for key in run.data.metrics for metric in client.get_metric_history(run.info.run_id, key))
        if found is None and all((metric.key, metric.step, metric.timestamp) in valid for metric in said):
            found = run
        else:
            client.delete_run(run.info.run_id)
    return found


def _run_name(asset: str, tags: Mapping[str, str]) -> str:
    partition = tags.get("lifecycle.partition")
    return f"{asset}/{partition}" if partition else asset


def _log_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    for some in _batches([RunTag(_key(key), value[:TAG_CHARACTERS]) for key, value in tags.items()], TAGS_PER_BATCH):
        client.log_batch(run_id, tags=some)


def _complete_run(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> Run | None:
    same = ("lifecycle.fingerprint", "lifecycle.digest", "lifecycle.created_at")
    query = " and ".join(f"tags.`{key}` = '{tags[key]}'" for key in same)
    complete = None
    for run in client.search_runs([experiment], query):
        if run.info.status == "FINISHED":
            complete = run
        else:
            client.delete_run(run.info.run_id)
    return complete


def _create(client: MlflowClient, experiment: str, published: Published, asset: str, tags: Mapping[str, str]) -> Run:
    manifest = published.manifest
    end = _milliseconds(manifest.created_at)
    journal = read_metrics(published.run_dir)
    run = _live_run(client, experiment, tags, journal) or client.create_run(
        experiment, start_time=end - int(manifest.seconds * 1000), run_name=_run_name(asset, tags)
    )
    run_id = run.info.run_id
    _log_tags(client, run_id, tags)
    params = [Param(_key(key), value[:PARAM_CHARACTERS]) for key, value in flatten(manifest.identity)]
    for some in _batches(params, TAGS_PER_BATCH):
        client.log_batch(run_id, params=some)
    for some in _batches(list(_fact_metrics(manifest, end)), METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=some)
    log_journal(client, run_id, journal)
    datasets = [_dataset(item, published.artifact) for item in manifest.inputs]
    models = [LoggedModelInput(model) for model in _input_models(client, manifest.inputs)]
    client.log_inputs(run_id, datasets=datasets, models=models)
    if (published.artifact.path / RESULTS).exists():
        for measured in _input_models(client, manifest.inputs[:1]):
            client.log_batch(run_id, metrics=list(_scores(published.artifact.path, measured, end)))
    for path, folder in _files(published):
        client.log_artifact(run_id, str(path), folder)
    return client.get_run(run_id)


def _tags(published: Published, asset: str, recipe_name: str, extra: Mapping[str, str]) -> dict[str, str]:
    manifest = published.manifest
    return {key: str(value) for key, value in extra.items() if value is not None} | {
        "lifecycle.asset": asset,
        "lifecycle.recipe": recipe_name,
        "lifecycle.stage": manifest.stage,
        "lifecycle.fingerprint": manifest.fingerprint,
        "lifecycle.digest": manifest.digest,
        "lifecycle.code_version": manifest.code_version,
        "lifecycle.created_at": manifest.created_at,
        "lifecycle.uri": published.artifact.uri,
    }


def _dataset(item: InputReference, made: Artifact) -> DatasetInput:
    """An input by reference: MLflow keeps its name, address and digest, never the data."""
    store = made.path.parents[1]
    uri = f"snapshot:{item.digest}" if item.stage == "snapshot" else str(store / item.stage / item.fingerprint)
    tags = {"stage": item.stage, "fingerprint": item.fingerprint, "digest": item.digest}
    return DatasetInput(
        Dataset(
            name=item.name,
            digest=item.digest[:DATASET_DIGEST_CHARACTERS],
            source_type="local",
            source=json.dumps({"uri": uri}),
        ),
        [InputTag("mlflow.data.context", "input"), *(InputTag(f"lifecycle.{key}", value) for key, value in tags.items())],
    )


def _input_models(client: MlflowClient, inputs: Sequence[InputReference]) -> Iterator[str]:
    for item in inputs:
        run = find_run(client, item.fingerprint, item.digest) if is_model(item.stage) else None
        model = model_id_of(run) if run else None
        if model:
            yield model


def _fact_metrics(manifest: Manifest, time: int) -> Iterator[Metric]:
    yield Metric("seconds", manifest.seconds, time, 0)
    for key, value in numbers(manifest.facts):
        if key != "seconds":
            yield Metric(_key(key), value, time, 0)


def _scores(evaluation: Path, model_id: str, time: int) -> Iterator[Metric]:
    """What an evaluation found, as figures of the model that it measured."""
    for name, metric in Results.read(evaluation).metrics().items():
        yield Metric(_key(name), metric.value, time, 0, model_id=model_id)


def _journal_metrics(entries: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    for entry in entries:
        time = int(entry.get("time", 0) * 1000)
        values = {key: value for key, value in entry.items() if key not in ("step", "time", "kind")}
        for key, value in numbers(values):
            yield Metric(_key(key), value, time, int(entry["step"]))


def _files(published: Published) -> Iterator[tuple[Path, str | None]]:
    """What people open: the manifest, reports and pictures; never the data."""
    out = published.artifact.path
    candidates: list[tuple[Path, str | None]] = [(out / MANIFEST, None)]
    pages = (published.run_dir / HTML, published.run_dir / MARKDOWN, out / "ledger.json")
    candidates += [(path, None) for path in pages if path.exists()]
    candidates += [(path, "plots") for path in pictures_of(published.run_dir)]
    return ((path, folder) for path, folder in candidates if path.stat().st_size <= LARGEST_FILE)


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested JSON data with dotted names; a list of plain values is one leaf."""
    if isinstance(value, Mapping):
        children = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value):
        children = [(str(index), item) for index, item in enumerate(value)]
    else:
        yield prefix or "value", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return
    for key, item in children:
        yield from flatten(item, f"{prefix}.{key}" if prefix else key)


def numbers(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numeric leaves of nested facts with slashed names; truth values and lists are not metrics."""
    for key, value in facts.items():
        name = f"{prefix}/{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from numbers(value, name)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def _key(name: str) -> str:
    """A name that MLflow accepts: letters of any script, and not longer than its column."""
    cleaned = re.sub(r"[^\w\-./ ]", "_", name).strip("/. ") or "_"
    return re.sub(r"/{2,}", "/", cleaned)[:KEY_CHARACTERS]


def _batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)
