"""Thirty days of ticks against a real Dagster instance: a condition that keeps failing must not launch a run at every tick.

A bare condition on failed executions once launched 368,000 runs.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from assets import automation
from lifecycle.artifacts import Store
from lifecycle.recipe.recipe import Recipe
from tests.operation.small import curate_job, curate_source, small_recipe

NUMBERS = itertools.count()
START = datetime(2026, 1, 1, tzinfo=UTC)
OPERATION = """{schedules: [{name: nightly, cron: "0 3 * * *", sources: [news, books]}],
  drops: [{name: arriving, sources: [news]}]}"""


class Days:
    """A Dagster instance, a store and a clock; what a tick asks for is run, really, and may fail."""

    def __init__(self, directory: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        name = f"small_{next(NUMBERS)}"  # a recipe of its own in an instance that all tests share
        self.recipe: Recipe = small_recipe(directory, OPERATION, lambda text: text.replace("small", name, 1))
        self.store = Store(directory / "store")
        self.news = directory / "news" / "first.txt"
        self.broken: set[str] = set()
        self.runs: list[tuple[datetime, str, bool]] = []
        self.now = START
        self._instance = instance
        self._cursor: str | None = None
        self._job = curate_job(self.store, self.recipe, self.broken)
        schedule = automation.source_schedule(self.recipe.operation.schedules[0], self.recipe, self.store)
        sensor = automation.drop_sensor(self.recipe.operation.drops[0], self.recipe, self.store)
        self._defs = dg.Definitions(jobs=[self._job], schedules=[schedule], sensors=[sensor])
        self._schedule, self._sensor = self._defs.resolve_schedule_def("nightly"), self._defs.resolve_sensor_def("arriving")
        monkeypatch.setattr(automation, "time", SimpleNamespace(time=lambda: self.now.timestamp()))
        for name in ("news", "books"):
            os.utime(directory / name / "first.txt", (0, 0))

    def write(self, text: str) -> None:
        """Bytes of `news`, written two hours ago if they are new."""
        if self.news.read_text() == text:
            return
        self.news.write_text(text)
        os.utime(self.news, (self.now.timestamp() - 7200,) * 2)

    def schedule(self) -> str | None:
        """One tick of the schedule, and why it was skipped if it was."""
        with freeze_time(self.now):
            context = dg.build_schedule_context(
                self._instance, scheduled_execution_time=self.now, repository_def=self._defs.get_repository_def()
            )
            tick = self._schedule.evaluate_tick(context)
            self._run(tick.run_requests or ())
        return tick.skip_message

    def sensor(self) -> str | None:
        with freeze_time(self.now):
            context = dg.build_sensor_context(
                self._instance, cursor=self._cursor, repository_def=self._defs.get_repository_def()
            )
            tick = self._sensor.evaluate_tick(context)
            self._cursor = tick.cursor
            self._run(tick.run_requests or ())
        return tick.skip_message

    def _run(self, requests: Sequence[dg.RunRequest]) -> None:
        for request in requests:
            done = self._job.execute_in_process(
                instance=self._instance, partition_key=request.partition_key, tags=dict(request.tags), raise_on_error=False
            )
            assert request.partition_key
            self.runs.append((self.now, request.partition_key, done.success))


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def days(tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Days:
    return Days(tmp_path, instance, monkeypatch)


def test_a_source_that_fails_every_day_for_thirty_days_makes_seven_runs(days: Days) -> None:
    """Every day brings other bytes, so that each is a change of its own; and the source beside it is read as ever."""
    days.broken.add("news")
    for day in range(30):
        days.now = START + timedelta(days=day, hours=3)
        days.write(f"Day {day}.")
        skipped = days.schedule()
        if skipped:
            assert "books: nothing changed" in skipped
            assert "news: " in skipped
            assert "times in a row; next attempt after" in skipped
    assert [(when - START).days for when, name, _ in days.runs if name == "news"] == [0, 1, 2, 3, 5, 9, 17]
    assert [(name, success) for _, name, success in days.runs if name == "books"] == [("books", True)]


def test_a_drop_that_fails_for_thirty_days_is_tried_seven_times_and_looked_at_when_it_is_mended(days: Days) -> None:
    days.broken.add("news")
    for hour in range(0, 720, 4):
        days.now = START + timedelta(hours=hour)
        days.write(f"Day {hour // 24}.")
        days.sensor()
    assert len(days.runs) == 7
    assert not any(success for _, _, success in days.runs)
    days.broken.clear()
    curate_source(days.store, days.recipe, "news")  # a person mended it and launched the job by hand
    days.now += timedelta(hours=1)
    assert days.sensor() == "news: nothing changed"


def test_a_success_makes_the_next_change_immediate_again(days: Days) -> None:
    days.broken.add("news")
    days.schedule()
    days.now += timedelta(hours=1)
    assert "failed 1 times in a row" in (days.schedule() or "")
    days.broken.clear()
    days.now += timedelta(hours=6)
    days.schedule()
    assert [success for _, name, success in days.runs if name == "news"] == [False, True]
    days.now += timedelta(minutes=1)
    days.write("New.")
    days.schedule()
    assert [success for _, name, success in days.runs if name == "news"] == [False, True, True]


def test_unchanged_bytes_end_in_a_skipped_tick_that_says_so(days: Days) -> None:
    days.schedule()
    assert [name for _, name, _ in days.runs] == ["news", "books"]
    for _ in range(5):
        days.now += timedelta(days=1)
        os.utime(days.news, (days.now.timestamp() - 7200,) * 2)  # another time, the same bytes
        assert days.schedule() == "news, books: nothing changed"
    assert len(days.runs) == 2


def test_a_file_that_still_grows_is_not_taken(days: Days) -> None:
    """A sensor looks twice; a schedule, which looks once a day, leaves what was written within the last minute."""
    assert "changed since the last look" in (days.sensor() or "")
    for line in range(5):
        days.write("A line.\n" * (line + 1))
        assert "changed since the last look" in (days.sensor() or "")
    assert days.runs == []
    days.sensor()
    assert [name for _, name, _ in days.runs] == ["news"]
    days.write("More.")
    os.utime(days.news, (days.now.timestamp() - 20,) * 2)
    skipped = days.schedule() or ""
    assert "first.txt was written 20 s ago" in skipped or "books" in {name for _, name, _ in days.runs}
    assert [name for _, name, _ in days.runs].count("news") == 1


def test_a_tick_without_time_leaves_sources_to_the_next_one(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 500 sources due at once Dagster ended the tick after 60 s, each time, and nothing was ever launched."""
    with monkeypatch.context() as patch:
        patch.setattr(automation, "LONGEST_TICK", -1.0)
        assert days.schedule() == "news, books: this tick has no time left; the next one looks"
    days.schedule()
    assert [name for _, name, _ in days.runs] == ["news", "books"]


def test_a_source_that_is_gone_is_a_reason_and_no_run(days: Days) -> None:
    days.news.unlink()
    days.schedule()
    assert [name for _, name, _ in days.runs] == ["books"]
    assert "no file matches" in (days.schedule() or "")
