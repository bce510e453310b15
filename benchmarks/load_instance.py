"""An instance as it stands after a month: many sources with their artifacts, and their runs and events in Dagster's storage.

Three sources are really run. The runs and events of the last, metadata included, are what all others are copies of, under
names and times of their own: to fill an instance by running 15,000 runs would take a day.
"""

import json
import os
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.utils import make_new_run_id
from dagster._serdes import deserialize_value, serialize_value
from rich.progress import track

from benchmarks.load import become, write_life
from lifecycle.artifacts import Store
from lifecycle.corpora.snapshot import snapshot
from lifecycle.previous import last_artifact
from lifecycle.recipe.recipe import Recipe
from lifecycle.stages import CLEANED_CORPORA, RAW_CORPORA, memmap_stages
from tests.operation.life import LIFE, WORDS

DAY = 86400.0
RECIPE = f"""name: load
sources:
SOURCES
{LIFE}operation:
  schedules: [{{name: nightly, cron: "0 3 * * *"}}]
  drops: [{{name: arriving, sources: [s000, s001]}}]
  retention: {{last: 2}}
  alerts: {{disk_warn: 0.998, disk_fail: 0.999, stale_after_days: 3, webhook: true}}
"""
OF_ALL_RUNS = ("ASSET_MATERIALIZATION", "ASSET_MATERIALIZATION_PLANNED", "RUN_START", "RUN_SUCCESS")
"""Events that Dagster's SQLite storage keeps in the one index that pages read; a run's own file has them all."""


def write_sources(folder: Path, count: int, documents: int = 20) -> Path:
    """So many sources of one file each, and the recipe that names them; returns its path."""
    lines = []
    for number in range(count):
        name = f"s{number:03}"
        write_source(folder / name, number, documents)
        lines.append(source_line(folder, name))
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.replace("SOURCES", "\n".join(lines)), encoding="utf-8")
    return path


def source_line(folder: Path, name: str) -> str:
    """Its line of the recipe."""
    return f'  - {{name: {name}, kind: jsonl, path: "{folder / name}", language: en, licence: none}}'


def write_source(folder: Path, seed: int, documents: int = 20) -> None:
    """The file of one source, an hour old: another seed, another text."""
    draw = random.Random(seed)

    def sentence() -> str:
        return (
            f"The {draw.choice(WORDS)} of the {draw.choice(WORDS)} was near a {draw.choice(WORDS)} {draw.randrange(10**6)}."
        )

    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"text": " ".join(sentence() for _ in range(8))} for _ in range(documents)]
    file = folder / "first.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    hour_ago = file.stat().st_mtime - 3600
    os.utime(file, (hour_ago, hour_ago))


def run_job(defs: dg.Definitions, instance: dg.DagsterInstance, job: str, partition: str | None) -> str:
    """Run a job in this process; returns the run's id."""
    done = defs.resolve_job_def(job).execute_in_process(instance=instance, partition_key=partition)
    assert done.success
    return done.run_id


def fill(instance: dg.DagsterInstance, model: str, sources: Sequence[str], days: int) -> None:
    """A copy of the run `model` for each source and day, the last day's an hour ago."""
    run = instance.get_run_by_id(model)
    assert run
    tag = run.tags["dagster/partition"]
    storage = instance.event_log_storage
    sharded = isinstance(storage, SqliteEventLogStorage)
    events = [serialize_value(each) for each in instance.all_logs(model) if not sharded or _is_indexed(each)]
    for day in track(range(days), "days", transient=True):
        copies: list[EventLogEntry] = []
        for place, source in enumerate(sources):
            run_id = make_new_run_id()
            shift = -DAY * (days - 1 - day) - 3600.0 + place
            names = [(f'"{tag}"', f'"{source}"'), (model, run_id)]
            created = datetime.now(UTC).timestamp() + shift
            copy = deserialize_value(_replaced(serialize_value(run), names), dg.DagsterRun)
            instance.run_storage.add_historical_run(copy, datetime.fromtimestamp(created, UTC))  # type: ignore[attr-defined]
            for text in events:
                event = deserialize_value(_replaced(text, names), EventLogEntry)
                copies.append(event._replace(timestamp=event.timestamp + shift))
        if sharded:
            _store_in_index(storage, copies)
        else:
            for batch in _batches(copies, 1000):
                storage.store_event_batch(batch)


def _is_indexed(event: EventLogEntry) -> bool:
    return event.dagster_event is not None and event.dagster_event.event_type_value in OF_ALL_RUNS


def _store_in_index(storage: SqliteEventLogStorage, events: Sequence[EventLogEntry]) -> None:
    """What `store_event` writes to the index of a SQLite storage, in one transaction.

    It would also make a database for each run (0.3 s), which only the page of that run reads.
    """
    with storage.index_transaction() as connection:
        for event in events:
            number = connection.execute(storage.prepare_insert_event(event)).inserted_primary_key[0]
            if event.dagster_event and event.dagster_event.asset_key:
                storage._store_asset_event_tags(connection, [event], [number])
                storage._store_asset_event(connection, event, number)


def _replaced(text: str, names: Sequence[tuple[str, str]]) -> str:
    for old, new in names:
        text = text.replace(old, new)
    return text


def _batches(events: Sequence[EventLogEntry], size: int) -> Iterator[Sequence[EventLogEntry]]:
    for start in range(0, len(events), size):
        yield events[start : start + size]


def write_artifacts(recipe: Recipe, store: Store) -> None:
    """All artifacts up to the memmap, of the sources' files as they are: nothing is due."""
    write_life(recipe, store, 0, lambda name, _: snapshot(recipe.source(name), store.results / RAW_CORPORA.name).digest)
    cleaned = {
        source.name: last_artifact(store, recipe.name, CLEANED_CORPORA.name, source.name) for source in recipe.sources
    }
    made: dict[str, Any] = {CLEANED_CORPORA.name: cleaned}
    for stage in memmap_stages(recipe):
        made[stage.name] = become(recipe, store, stage, None, {name: made[name] for name in stage.inputs}, {})
