"""Soak: thirty days of ticks over many sources, by Dagster's own evaluation with the clock set forward.

    python -m benchmarks.soak [--sources 500] [--days 30] [--changes 6] [--looks 24]

Each day some sources have other bytes, and one of them cannot be read on any day. The schedule and the drop ask for runs,
which run in this process with stages that only write a file; then the memmaps are asked for. Prints by day the runs, the
size of Dagster's databases, the memory of this process and what a tick took.
"""

import argparse
import gc
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import psutil
from dagster._core.test_utils import freeze_time
from rich.console import Console
from rich.table import Table

from assets import automation
from assets.jobs import MEMMAPS
from benchmarks.load_instance import RECIPE, source_line, write_artifacts, write_source
from lifecycle.artifacts import Store
from lifecycle.recipe.recipe import parse_recipe
from lifecycle.stages import memmap_stages
from tests.operation.small import curate_job, make

BROKEN = "s002"


class Month:
    """The home of a recipe, a Dagster instance, and a clock."""

    def __init__(self, folder: Path, sources: int, instance: dg.DagsterInstance) -> None:
        lines = [source_line(folder, f"s{number:03}") for number in range(sources)]
        for number in range(sources):
            write_source(folder / f"s{number:03}", number, documents=2)
        self.recipe = parse_recipe(RECIPE.replace("SOURCES", "\n".join(lines)), "soak")
        self.store = Store(folder / "store")
        write_artifacts(self.recipe, self.store)
        self.folder, self.instance = folder, instance
        self.now = datetime.now(UTC)
        self.runs: list[bool] = []
        self.ticks: dict[str, list[float]] = {}
        self._cursors: dict[str, str | None] = {}
        self._curate = curate_job(self.store, self.recipe, {BROKEN})
        self._memmaps = self._memmaps_job()
        found = list(automation.automation(self.recipe, self.store))
        self._repository = dg.Definitions(
            jobs=[self._curate, self._memmaps],
            schedules=[each for each in found if isinstance(each, dg.ScheduleDefinition)],
            sensors=[each for each in found if isinstance(each, dg.SensorDefinition)],
        ).get_repository_def()
        automation.time = SimpleNamespace(time=lambda: self.now.timestamp())  # type: ignore[assignment]

    def _memmaps_job(self) -> dg.JobDefinition:
        @dg.op(name="all_sources")
        def all_sources() -> None:
            for stage in memmap_stages(self.recipe):
                make(self.store, self.recipe, stage)

        @dg.job(name=MEMMAPS, tags={"lifecycle/recipe": self.recipe.name, "lifecycle/intent": MEMMAPS})
        def memmaps() -> None:
            all_sources()

        return memmaps

    def change(self, source: str, seed: int) -> None:
        """Other bytes, an hour old by this clock."""
        write_source(self.folder / source, seed, documents=2)
        hour_ago = self.now.timestamp() - 3600
        os.utime(self.folder / source / "first.jsonl", (hour_ago, hour_ago))

    def schedule(self) -> None:
        """One tick of the schedule, and the runs that it asks for."""
        with freeze_time(self.now):
            context = dg.build_schedule_context(
                self.instance, scheduled_execution_time=self.now, repository_def=self._repository
            )
            began = time.perf_counter()
            tick = self._repository.get_schedule_def("nightly").evaluate_tick(context)
            self.ticks.setdefault("nightly", []).append(time.perf_counter() - began)
            self._run(self._curate, tick.run_requests or ())

    def sensor(self, name: str) -> None:
        """One tick of a sensor, and the runs that it asks for."""
        with freeze_time(self.now):
            cursor = self._cursors.get(name)
            context = dg.build_sensor_context(self.instance, cursor=cursor, repository_def=self._repository)
            began = time.perf_counter()
            tick = self._repository.get_sensor_def(name).evaluate_tick(context)
            self.ticks.setdefault(name, []).append(time.perf_counter() - began)
            self._cursors[name] = tick.cursor
            self._run(self._memmaps if name.startswith("memmaps") else self._curate, tick.run_requests or ())

    def _run(self, job: dg.JobDefinition, requests: Sequence[dg.RunRequest]) -> None:
        for request in requests:
            done = job.execute_in_process(
                instance=self.instance,
                partition_key=request.partition_key,
                tags=dict(request.tags),
                raise_on_error=False,
            )
            self.runs.append(done.success)


def main() -> None:
    """A month, and a table of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("sources", 500), ("days", 30), ("changes", 6), ("looks", 24)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    console, draw = Console(), random.Random(0)
    table = Table("day", "runs", "failed", "databases MB", "memory MB", "nightly s")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, dg.instance_for_test(temp_dir=folder) as instance:
        month = Month(Path(folder) / "home", asked.sources, instance)
        start = month.now.replace(hour=3, minute=0)
        for day in range(asked.days):
            names = {f"s{draw.randrange(asked.sources):03}" for _ in range(asked.changes)} | {BROKEN}
            month.now = start + timedelta(days=day + 1)
            for name in sorted(names):
                month.change(name, draw.randrange(10**9))
            month.schedule()
            for hour in range(asked.looks):
                month.now += timedelta(hours=23 / asked.looks)
                month.sensor("arriving")
                if hour % 6 == 0:
                    month.sensor("memmaps_follow_sources")
            if day % 3 == 0 or day == asked.days - 1:
                table.add_row(
                    str(day + 1), str(len(month.runs)), str(month.runs.count(False)), *figures(Path(folder), month)
                )
                console.log(f"day {day + 1}: {len(month.runs)} runs")
        for name, taken in month.ticks.items():
            late = statistics.quantiles(taken, n=20)[-1]
            console.print(
                f"{name}: {len(taken)} ticks, median {statistics.median(taken):.2f} s, 95th percentile {late:.2f} s"
            )
    console.print(table)
    console.print(f"{os.cpu_count()} processors; load average {os.getloadavg()[0]:.1f}")


def figures(folder: Path, month: Month) -> tuple[str, str, str]:
    """Size of the databases, memory, and the last nightly tick."""
    gc.collect()
    size = sum(path.stat().st_size for path in folder.rglob("*.db"))
    memory = psutil.Process().memory_info().rss
    return f"{size / 1e6:.0f}", f"{memory / 1e6:.0f}", f"{month.ticks['nightly'][-1]:.2f}"


if __name__ == "__main__":
    main()
