"""Load: a store of many artifacts, a plan over many sources, and many small materializations at once.

    python -m benchmarks.load [--artifacts 100000] [--sources 500] [--days 30] [--materializations 200]

Prints what each took, with the 95th percentile, and fails where an update was lost or an artifact is partial.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from lifecycle.artifacts import Artifact, Store, Workspace, fingerprint_of
from lifecycle.digests import digest_json
from lifecycle.files import write_atomically
from lifecycle.garbage import Garbage, find_garbage, remove
from lifecycle.manifest import MANIFEST, Manifest, content_digest, scan
from lifecycle.plan import plan
from lifecycle.recipe.recipe import Recipe, parse_recipe
from lifecycle.references import SNAPSHOT, input_references
from lifecycle.stages import CLEANED_CORPORA, RAW_CORPORA, Stage
from lifecycle.tracking.connection import connect

REST = """
base_model:
  training: {steps: 10, global_batch: 8, sequence_length: 64, micro_batch: 4, optimization: {learning_rate: 1.0e-3}}
instructions:
  sources: [{kind: files, name: own, path: nowhere.jsonl, licence: none}]
  max_tokens: 64
sft:
  training: {steps: 10, global_batch: 8, sequence_length: 64, micro_batch: 4, optimization: {learning_rate: 1.0e-3}}
gates: [{metric: heldout_bits_per_byte/bits_per_byte, model: base, at_most: 9}]
"""
AT_ONCE = 8
REPEATS = 20


def recipe_of(sources: int) -> Recipe:
    """A recipe with so many sources of one file each."""
    fields = "kind: jsonl, language: en, licence: none"
    lines = [f"  - {{name: s{number}, path: nowhere/{number}.jsonl, {fields}}}" for number in range(sources)]
    return parse_recipe("\n".join(["name: load", "sources:", *lines]) + REST, "benchmark")


def write_life(recipe: Recipe, store: Store, day: int, digest: Callable[[str, int], str]) -> None:
    """Raw and cleaned artifacts of every source as they would lie there after one day's run, without running it.

    Args:
        digest: of a source's bytes on a day.
    """
    for source in track(recipe.sources, f"day {day}", transient=True):
        inputs: dict[str, Any] = {}
        for stage in (RAW_CORPORA, CLEANED_CORPORA):
            snapshot = {SNAPSHOT: digest(source.name, day)} if stage is RAW_CORPORA else {}
            inputs = {stage.name: become(recipe, store, stage, source.name, inputs, snapshot, day)}


def become(
    recipe: Recipe, store: Store, stage: Stage, source: str | None, inputs: Any, raw: Mapping[str, str], day: int = 0
) -> Artifact:
    """An artifact that from now on is the asset's."""
    references = input_references(stage, inputs, raw)
    made = publish(store, stage.name, stage.code_version, stage.identity(recipe, source), references, day)
    write_atomically(store.reference_path(recipe.name, stage.name, source), made.model_dump_json())
    return made


def raw_digest(source: str, day: int) -> str:
    """The bytes of a source on that day."""
    return digest_json([source, day])


def publish(store: Store, stage: str, code: str, identity: Any, inputs: Any, day: int) -> Artifact:
    """An artifact of one small file, without the locks and flushes of `Store.materialize`."""
    fingerprint = fingerprint_of(stage, code, identity, {item.name: item.digest for item in inputs})
    if made := store.find(stage, fingerprint):
        return made.artifact  # by a run that was real
    directory = store.directory(stage, fingerprint)
    directory.mkdir(parents=True)
    (directory / "data.txt").write_text(fingerprint)
    files = scan(directory)
    created = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)).isoformat()
    fields = {"stage": stage, "fingerprint": fingerprint, "code_version": code, "identity": identity, "inputs": inputs}
    manifest = Manifest(**fields, digest=content_digest(files), files=files, facts={}, created_at=created, seconds=1.0)
    (directory / MANIFEST).write_text(manifest.sealed().model_dump_json())
    return Artifact(stage=stage, fingerprint=fingerprint, digest=manifest.digest, uri=str(directory))


def materialize(task: tuple[Path, str, int]) -> float:
    """One small materialization with its record in MLflow; every fourth one is asked for by four callers."""
    from lifecycle.tracking.runs import record

    root, uri, number = task
    began = time.perf_counter()

    def build(workspace: Workspace) -> dict[str, Any]:
        (workspace.out / "data.txt").write_text(str(number // 4))
        return {"rows": 1}

    store = Store(root)
    made = store.materialize("corpus", "1", {"number": number // 4}, (), build)
    record(uri, made, asset="load/corpus", recipe_name="load", tags={}, store_root=root)
    return time.perf_counter() - began


def main() -> None:
    """Run all three, in a folder that is removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=int, default=100_000)
    parser.add_argument("--sources", type=int, default=500)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--materializations", type=int, default=200)
    asked = parser.parse_args()
    console, table = Console(), Table("what", "count", "median s", "95th percentile s")
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        store = Store(Path(folder) / "store")
        recipe = recipe_of(asked.sources)
        for day in range(asked.days):
            write_life(recipe, store, day, raw_digest)
        others = max(0, asked.artifacts - 2 * asked.sources * asked.days)
        for number in track(range(others), "other artifacts", transient=True):
            publish(store, "pretrain_memmap", "1", {"number": number}, (), 0)
        taken = [timed(lambda: check_plan(recipe, store, asked.days - 1)) for _ in range(REPEATS)]
        add(table, f"plan, {asked.sources} sources x {asked.days} days, {asked.artifacts:,} artifacts", taken)
        garbage: list[Garbage] = []
        add(table, "gc, looking", [timed(lambda: garbage.extend(find_garbage(store, (), -60.0)))])
        add(table, f"gc, removing {len(garbage):,}", [timed(lambda: list(remove(store, garbage)))])
        assert not find_garbage(store, (), -60.0)
        check_plan(recipe, store, asked.days - 1)  # what is in use is still there
        home = Path(folder) / "home"
        uri = f"sqlite:///{home / 'mlflow.db'}"
        home.mkdir()
        connect(uri)  # a database is made once, not by every caller
        tasks = [(home / "store", uri, number) for number in range(asked.materializations)]
        with ProcessPoolExecutor(AT_ONCE) as pool:
            add(table, f"materializations with their records, {AT_ONCE} at once", list(pool.map(materialize, tasks)))
        check_nothing_lost(home, uri, asked.materializations)
    console.print(table)
    console.print(f"{os.cpu_count()} processors; load average {os.getloadavg()[0]:.1f}; nothing lost, nothing partial")


def check_plan(recipe: Recipe, store: Store, day: int) -> None:
    """Plan, and make sure that it found what lies there."""
    lines = plan(recipe, store, lambda source: raw_digest(getattr(source, "name", ""), day), select=["cleaned_corpora"])
    assert {line.action for line in lines} == {"reuse"}, {line.action for line in lines}


def check_nothing_lost(home: Path, uri: str, count: int) -> None:
    """Every artifact whole and once in the store, and once in MLflow."""
    from lifecycle.tracking.runs import catch_up

    assert catch_up(uri, home / "store") == 0, "records wait that nobody wrote"
    wanted = -(-count // 4)
    found = sorted((home / "store" / "corpus").iterdir())
    assert len(found) == wanted
    for directory in found:
        assert Store(home / "store").find("corpus", directory.name)
        assert json.loads((directory / MANIFEST).read_text())["facts"] == {"rows": 1}
    client = connect(uri, create=False)
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=10 * count)
    assert len({run.data.tags["lifecycle.fingerprint"] for run in runs}) == len(runs) == wanted


def timed(work: Any) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def add(table: Table, what: str, seconds: list[float]) -> None:
    """A line of the table."""
    late = statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
    table.add_row(what, str(len(seconds)), f"{statistics.median(seconds):.2f}", f"{late:.2f}")


if __name__ == "__main__":
    main()
