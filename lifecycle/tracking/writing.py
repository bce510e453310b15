"""Turns one materialization into one MLflow run: parameters, tags, inputs, metrics, small files, and the model."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Param, Run, RunTag

from lifecycle.artifacts import MANIFEST, Artifact, InputReference, Manifest, Published
from lifecycle.tracking.connection import experiment_of
from lifecycle.tracking.models import MODEL_STAGES, find_run, model_id_of, register_model
from lifecycle.training.journal import read_metrics

KEY_CHARACTERS = 250
PARAM_CHARACTERS = 6000
TAG_CHARACTERS = 5000
DATASET_DIGEST_CHARACTERS = 36
METRICS_PER_BATCH = 1000
TAGS_PER_BATCH = 100
LARGEST_FILE = 20_000_000

Item = TypeVar("Item")


def write_run(client: MlflowClient, published: Published, *, asset: str, recipe_name: str, tags: Mapping[str, str]) -> str:
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
    if manifest.stage in MODEL_STAGES:
        register_model(client, run, published.artifact, manifest, recipe_name)
    if run.info.status != "FINISHED":
        client.set_terminated(run_id, end_time=_milliseconds(manifest.created_at))
    return run_id


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
    partition = tags.get("lifecycle.partition")
    run = client.create_run(
        experiment,
        start_time=end - int(manifest.seconds * 1000),
        run_name=f"{asset}/{partition}" if partition else asset,
    )
    run_id = run.info.run_id
    for some in _batches([RunTag(_key(key), value[:TAG_CHARACTERS]) for key, value in tags.items()], TAGS_PER_BATCH):
        client.log_batch(run_id, tags=some)
    params = [Param(_key(key), value[:PARAM_CHARACTERS]) for key, value in flatten(manifest.identity)]
    for some in _batches(params, TAGS_PER_BATCH):
        client.log_batch(run_id, params=some)
    for some in _batches([*_fact_metrics(manifest, end), *_journal_metrics(published.run_dir)], METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=some)
    datasets = [_dataset(item, published.artifact) for item in manifest.inputs]
    models = [LoggedModelInput(model) for model in _input_models(client, manifest.inputs)]
    client.log_inputs(run_id, datasets=datasets, models=models)
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
        run = find_run(client, item.fingerprint, item.digest) if item.stage in MODEL_STAGES else None
        model = model_id_of(run) if run else None
        if model:
            yield model


def _fact_metrics(manifest: Manifest, time: int) -> Iterator[Metric]:
    yield Metric("seconds", manifest.seconds, time, 0)
    for key, value in numbers(manifest.facts):
        if key != "seconds":
            yield Metric(_key(key), value, time, 0)


def _journal_metrics(run_dir: Path) -> Iterator[Metric]:
    for entry in read_metrics(run_dir):
        time = int(entry.get("time", 0) * 1000)
        values = {key: value for key, value in entry.items() if key not in ("step", "time")}
        for key, value in numbers(values):
            yield Metric(_key(key), value, time, int(entry["step"]))


def _files(published: Published) -> Iterator[tuple[Path, str | None]]:
    """What people open: the manifest, reports and pictures; never the data."""
    out = published.artifact.path
    candidates: list[tuple[Path, str | None]] = [(out / MANIFEST, None)]
    candidates += [(path, None) for path in (out / "report.html", out / "report.md", out / "ledger.json") if path.exists()]
    candidates += [(path, "plots") for path in sorted((published.run_dir / "plots").glob("*.png"))]
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
    """A name that MLflow accepts: its own alphabet, and not longer than its column."""
    cleaned = re.sub(r"[^\w\-./ ]", "_", name, flags=re.ASCII).strip("/. ") or "_"
    return re.sub(r"/{2,}", "/", cleaned)[:KEY_CHARACTERS]


def _batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)
