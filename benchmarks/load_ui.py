"""Load: the Dagster UI's own queries, and ticks as the daemon evaluates them, over a month of many sources.

    python -m benchmarks.load_ui HOME [--sources 500] [--days 30] [--repeats 20]

Lays out HOME if it is not there (ten minutes), starts the project's code location and `dagster-webserver` on it, opens the
pages in Chromium to see what the UI asks for, and asks each of these queries again over HTTP, one at a time.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
from playwright.sync_api import Request as Asked
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks.load_instance import fill, run_job, write_artifacts, write_source, write_sources
from lifecycle.artifacts import Store
from lifecycle.recipe.recipe import Recipe, load_recipe
from tests.ports import free_port

PAGES = {
    "graph": "/asset-groups/?expanded=global@global:1_corpora",
    "catalogue": "/assets",
    "asset": "/assets/load/cleaned_corpora",
    "partitions": "/assets/load/cleaned_corpora?view=partitions",
    "events": "/assets/load/cleaned_corpora?view=events",
    "corpus": "/assets/load/corpus",
    "runs": "/runs",
    "automation": "/automation",
    "overview": "/overview",
}
SECONDS_ON_A_PAGE = 12
AIM = 2.0
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


@dataclass(frozen=True)
class Query:
    """One GraphQL request of a page, as Chromium sent it."""

    page: str
    name: str
    body: str


def main() -> None:
    """Lay out, look, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--sources", type=int, default=500)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=20)
    asked = parser.parse_args()
    base = asked.home.resolve()
    if not (base / "recipe.yaml").exists():
        lay_out(base, asked.sources, asked.days)
    else:
        prepare(base)
    console = Console(width=140)
    with webserver(base) as (address, process):
        kept = base / "queries.json"
        if not kept.exists():
            kept.write_text(json.dumps([asdict(query) for query in captured(address)], indent=1), encoding="utf-8")
        queries = [Query(**each) for each in json.loads(kept.read_text(encoding="utf-8"))]
        rows = []
        for query in queries:
            before = cpu_seconds(process)
            taken = [timed(lambda query=query: ask(address, query)) for _ in range(asked.repeats)]
            rows.append((query, taken, (cpu_seconds(process) - before) / len(taken)))
    table = Table("page", "query", "median s", "95th percentile s", "of the processors s")
    for query, taken, cpu in sorted(rows, key=lambda row: -late(row[1])):
        table.add_row(query.page, query.name, f"{statistics.median(taken):.3f}", f"{late(taken):.3f}", f"{cpu:.3f}")
    console.print(table)
    every = [seconds for _, taken, _ in rows for seconds in taken]
    console.print(f"all {len(every)} queries: median {statistics.median(every):.3f} s, 95th percentile {late(every):.3f} s")
    console.print(ticks(load_recipe(base / "recipe.yaml"), asked.repeats))
    console.print(f"{os.cpu_count()} processors; load average {os.getloadavg()[0]:.1f}")


def prepare(base: Path) -> None:
    """Make this home that of this process and its children."""
    from assets.run import prepare_home

    prepare_home(base / "home", base / "recipe.yaml")


def lay_out(base: Path, sources: int, days: int) -> None:
    """The home of a recipe with so many sources after so many days."""
    base.mkdir(parents=True, exist_ok=True)
    write_sources(base, sources)
    prepare(base)
    import dagster as dg

    from assets.definitions import defs

    names = [f"s{number:03}" for number in range(sources)]
    with dg.DagsterInstance.get() as instance:
        model = [run_job(defs, instance, "curate", name) for name in names[:3]][-1]
        fill(instance, model, names, days)
    recipe = load_recipe(base / "recipe.yaml")
    write_artifacts(recipe, Store(base / "home" / "store"))


@contextmanager
def webserver(base: Path) -> Iterator[tuple[str, psutil.Process]]:
    """`dagster-webserver` with the project's code location: its address and process."""
    port = free_port()
    command = [sys.executable, "-m", "dagster_webserver", "-m", "assets.definitions", "-h", "127.0.0.1", "-p", str(port)]
    with (base / "webserver.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert process.poll() is None, (base / "webserver.log").read_text()
            try:
                with urlopen(f"{address}/server_info", timeout=5):
                    break
            except OSError:
                time.sleep(0.5)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def captured(address: str) -> list[Query]:
    """What the UI asks its server for when these pages are opened, each query of a page once."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser_path, "no Chromium on this machine (Debian: apt-get install chromium)"
    found: dict[tuple[str, str], Query] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=list(FLAGS))
        for name, path in PAGES.items():
            page = browser.new_page(viewport={"width": 1800, "height": 1000})

            def note(request: Asked, name: str = name) -> None:
                if request.url.endswith("/graphql") or "/graphql?" in request.url:
                    body = request.post_data or ""
                    operation = str(json.loads(body).get("operationName"))
                    found.setdefault((name, operation), Query(name, operation, body))

            page.on("request", note)
            page.goto(address + path)
            page.wait_for_timeout(1000 * SECONDS_ON_A_PAGE)
            page.close()
        browser.close()
    return list(found.values())


def cpu_seconds(process: psutil.Process) -> float:
    """That a process and its children have had of the processors."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def ask(address: str, query: Query) -> None:
    """Send it, and read all of the answer, which must hold no error."""
    request = Request(f"{address}/graphql", query.body.encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=120) as response:
        answer = json.loads(response.read())
    assert not answer.get("errors"), (query.name, answer["errors"])


def ticks(recipe: Recipe, repeats: int) -> Table:
    """The sensors, and the schedule over all sources while none, one and all have changed, asked as the daemon asks.

    What a tick asks for is not launched.
    """
    import dagster as dg
    from dagster._core.definitions.timestamp import TimestampWithTimezone
    from dagster._core.test_utils import create_test_daemon_workspace_context
    from dagster._core.workspace.load_target import ModuleTarget

    table = Table("tick", "asks for runs", "count", "median s", "95th percentile s")
    target = ModuleTarget("assets.definitions", attribute=None, working_directory=os.getcwd(), location_name="load")
    with dg.DagsterInstance.get() as instance, create_test_daemon_workspace_context(target, instance) as process:
        location = next(iter(process.create_request_context().code_locations))
        repository = next(iter(location.get_repositories().values()))

        def schedule() -> int:
            now = TimestampWithTimezone(datetime.now(UTC).timestamp(), "UTC")
            found = location.get_schedule_execution_data(instance, repository.handle, "nightly", now, None)
            return len(found.run_requests or ())

        def sensor(name: str) -> Callable[[], int]:
            def look() -> int:
                found = location.get_sensor_execution_data(instance, repository.handle, name, None, None, None, None, None)
                return len(found.run_requests or ())

            return look

        def add(name: str, work: Callable[[], int], count: int) -> None:
            counts: set[int] = set()
            taken = [timed(lambda: counts.add(work())) for _ in range(count)]
            numbers = ", ".join(map(str, sorted(counts)))
            table.add_row(name, numbers, str(count), f"{statistics.median(taken):.2f}", f"{late(taken):.2f}")

        for each in repository.get_sensors():
            add(each.name, sensor(each.name), repeats)
        add("nightly", schedule, repeats)
        folders = [Path(str(getattr(source, "path"))) for source in recipe.sources]  # noqa: B009 - only sources of files have one
        for changed in (folders[-1:], folders):
            for folder in changed:
                write_source(folder, time.time_ns())
            add("nightly", schedule, 3)
    return table


def timed(work: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def late(seconds: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(seconds, n=20)[-1]


if __name__ == "__main__":
    main()
