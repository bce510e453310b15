"""Who is told of what, once, through a real HTTP server; and that a webhook that is away is nobody's fault."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from assets import alerts
from assets.launches import intent_tags
from lifecycle.recipe.operation import Alerts
from resources.webhook import URL, Webhook
from tests.operation.hook import Hook, hook
from tests.operation.small import small_recipe

ALL = "{alerts: {webhook: true, stale_after_days: 3}}"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    with hook() as running:
        monkeypatch.setenv(URL, running.url)
        yield running


def test_a_webhook_gets_slacks_json_and_only_when_it_is_set(served: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Webhook().send("A run failed.") is None
    assert served.bodies == [{"text": "A run failed."}]
    monkeypatch.delenv(URL)
    assert Webhook().send("Again.") == f"{URL} is not set"
    assert len(served.bodies) == 1


@pytest.mark.parametrize(
    ("answers", "problem", "requests"),
    [
        ([(503, {}), (429, {"Retry-After": "0"}), (200, {})], None, 3),
        ([(500, {})], "status 500 at each of 3 attempts", 3),
        ([(404, {})], "status 404", 1),
        ([(302, {"Location": "http://127.0.0.1:9/"})], "status 302", 1),
    ],
)
def test_what_may_pass_is_tried_again_with_limits(
    served: Hook, answers: list[tuple[int, dict[str, str]]], problem: str | None, requests: int
) -> None:
    served.answers = answers
    assert Webhook(pause=0.01).send("text") == problem
    assert len(served.bodies) == requests


def test_a_server_that_is_away_is_a_reason_without_its_address(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The address is a secret: whoever has it may write into the channel."""
    with hook() as gone:
        url = gone.url
    monkeypatch.setenv(URL, url)
    assert Webhook(pause=0.01).send("text") == "ConnectionError at each of 3 attempts"
    assert "secret" not in caplog.text
    monkeypatch.setenv(URL, "no address at all")
    assert Webhook(pause=0.01).send("text") == "InvalidURL at each of 3 attempts"


def test_failed_runs_and_failed_checks_are_told_with_what_to_know(served: Hook, tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, ALL)
    key = dg.AssetKey([recipe.name, "eval_report"])

    @dg.asset(key=key, check_specs=[dg.AssetCheckSpec("gates_hold", asset=key)])
    def report() -> dg.MaterializeResult:
        failed = dg.AssetCheckResult(passed=False, check_name="gates_hold", description="accuracy 0.1, not at least 0.4")
        return dg.MaterializeResult(check_results=[failed])

    @dg.asset(key=[recipe.name, "base_model"], deps=[key])
    def model() -> None:
        raise ValueError("no room on the disk\nand more lines")

    tags = intent_tags(recipe.name, "evaluate")
    good = dg.define_asset_job("evaluate", [report], tags=tags)
    bad = dg.define_asset_job("everything", [report, model], tags=tags)
    others = dg.define_asset_job("others", [report, model], tags=intent_tags("another", "evaluate"))
    defs = dg.Definitions(assets=[report, model], jobs=[good, bad, others])
    sensors = {sensor.name: sensor for sensor in alerts.alert_sensors(recipe)}
    with dg.DagsterInstance.ephemeral() as instance:
        for job, success in (("evaluate", True), ("everything", False), ("others", False)):
            done = defs.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)
            assert done.success == success
            run = done.dagster_run
            event = done.get_run_success_event() if success else done.get_run_failure_event()
            context = dg.build_run_status_sensor_context(
                sensor_name="told",
                dagster_instance=instance,
                dagster_run=run,
                dagster_event=event,
                resources={"webhook": Webhook()},
            )
            if success:
                sensors["alert_failed_checks"](context)
            else:
                sensors["alert_failed_runs"](context.for_run_failure())
    checks, failure = (body["text"] for body in served.bodies)
    assert "of evaluate\nERROR eval_report, gates_hold: accuracy 0.1, not at least 0.4" in checks
    assert "of everything failed\nValueError: no room on the disk\nERROR eval_report, gates_hold" in failure


def test_a_corpus_that_nothing_feeds_is_told_once(served: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_recipe(tmp_path, ALL)
    sensor = alerts.stale_corpus_sensor(recipe, 3.0)
    day = 0.0
    monkeypatch.setattr(alerts, "time", SimpleNamespace(time=lambda: time.time() + day * 86400))
    cursor: str | None = None
    said = []
    with dg.DagsterInstance.ephemeral() as instance:
        for day in (0.0, 1.0, 2.5, 3.5, 4.0, 30.0):
            context = dg.build_sensor_context(instance, cursor=cursor, resources={"webhook": Webhook()})
            said.append(sensor.evaluate_tick(context).skip_message)
            cursor = context.cursor
            if not day:
                instance.report_runless_asset_event(dg.AssetMaterialization([recipe.name, "corpus"]))
    assert said[0] == "there is no corpus yet"
    assert len(served.bodies) == 1
    assert "no new corpus for 3.5 days" in served.bodies[0]["text"]


@pytest.mark.parametrize(
    ("share", "passed", "severity"), [(0.5, True, "WARN"), (0.85, False, "WARN"), (0.97, False, "ERROR")]
)
def test_the_disk_warns_before_it_fails(share: float, passed: bool, severity: str) -> None:
    result = alerts.disk_result(Alerts(), share, 10**9)
    assert result.passed == passed
    assert passed or result.severity.value == severity
