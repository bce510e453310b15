"""What somebody should hear of: failed runs, failed checks (gates among them), a full disk, a corpus that nothing feeds."""

import shutil
import time
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from assets.launches import RECIPE_TAG
from lifecycle.recipe.operation import Alerts
from lifecycle.recipe.recipe import Recipe
from lifecycle.stages import CORPUS
from resources.stages import StageRunner
from resources.webhook import Webhook

DISK = "disk_has_room"
LOOK_SECONDS = 300
DAY = 86400.0


def freshness(alerts: Alerts | None) -> dg.FreshnessPolicy | None:
    """How old the corpus may be, as Dagster shows it on the asset's page."""
    if alerts is None or alerts.stale_after_days is None:
        return None
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(days=alerts.stale_after_days))


def alert_checks(recipe: Recipe) -> list[dg.AssetChecksDefinition]:
    """The check of the disk, or none where the recipe has no section `operation.alerts`."""
    alerts = recipe.operation.alerts
    if alerts is None:
        return []

    @dg.asset_check(
        asset=[recipe.name, CORPUS.name],
        name=DISK,
        description="Room on the file system of the store. When it fails: `lifecycle gc` lists what may go.",
    )
    def disk_has_room(runner: StageRunner) -> dg.AssetCheckResult:
        usage = shutil.disk_usage(runner.store.open().root)
        return disk_result(alerts, usage.used / (usage.used + usage.free), usage.free)

    return [disk_has_room]


def disk_result(alerts: Alerts, share: float, free: int) -> dg.AssetCheckResult:
    """The verdict on a share of the disk in use, with so many bytes free."""
    severity = dg.AssetCheckSeverity.ERROR if share > alerts.disk_fail else dg.AssetCheckSeverity.WARN
    said = f"{share:.1%} of the store's disk is in use, {free / 1e9:.1f} GB are free"
    return dg.AssetCheckResult(
        passed=share <= alerts.disk_warn, severity=severity, description=said, metadata={"share": share, "free bytes": free}
    )


def alert_sensors(recipe: Recipe) -> Iterator[dg.SensorDefinition]:
    """What sends alerts, where the recipe says `operation.alerts.webhook: true`. Each thing is told once."""
    alerts = recipe.operation.alerts
    if alerts is None or not alerts.webhook:
        return
    yield _of_failed_runs(recipe)
    yield _of_failed_checks(recipe)
    if alerts.stale_after_days:
        yield stale_corpus_sensor(recipe, alerts.stale_after_days)


def _of_failed_runs(recipe: Recipe) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="alert_failed_runs",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends each failed run with the first line of its error, and the checks that failed in it.",
    )
    def tell(context: dg.RunFailureSensorContext, webhook: Webhook) -> dg.SkipReason:
        run = context.dagster_run
        if not _is_of(run, recipe):
            return dg.SkipReason("a run of another recipe")
        lines = [f"{recipe.name}: run {run.run_id[:8]} of {run.job_name} failed"]
        steps = [event.step_failure_data.error for event in context.get_step_failure_events()]
        lines += [_first_line(error) for error in steps if error] or [context.failure_event.message or ""]
        return _sent(webhook, [*lines, *_failed_checks(context.instance, run)])

    return tell


def _of_failed_checks(recipe: Recipe) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name="alert_failed_checks",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends the checks that failed in a run that ended well: gates, the disk, training that is due.",
    )
    def tell(context: dg.RunStatusSensorContext, webhook: Webhook) -> dg.SkipReason:
        failed = _failed_checks(context.instance, context.dagster_run) if _is_of(context.dagster_run, recipe) else []
        if not failed:
            return dg.SkipReason("no check failed")
        run = context.dagster_run
        return _sent(webhook, [f"{recipe.name}: run {run.run_id[:8]} of {run.job_name}", *failed])

    return tell


def stale_corpus_sensor(recipe: Recipe, days: float) -> dg.SensorDefinition:
    """Tells once of each corpus that has become older than so many days."""

    @dg.sensor(
        name="alert_stale_corpus",
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Sends when no new corpus was made for {days:g} days.",
    )
    def tell(context: dg.SensorEvaluationContext, webhook: Webhook) -> dg.SkipReason:
        event = context.instance.get_latest_materialization_event(dg.AssetKey([recipe.name, CORPUS.name]))
        if event is None:
            return dg.SkipReason("there is no corpus yet")
        age = (time.time() - event.timestamp) / DAY
        if age <= days:
            return dg.SkipReason(f"the corpus is {age:.1f} days old")
        if context.cursor == str(event.timestamp):
            return dg.SkipReason(f"the corpus is {age:.1f} days old; it was told")
        context.update_cursor(str(event.timestamp))
        return _sent(webhook, [f"{recipe.name}: no new corpus for {age:.1f} days (the recipe allows {days:g})"])

    return tell


def _is_of(run: dg.DagsterRun, recipe: Recipe) -> bool:
    """Whether a run is the recipe's: by the tag of its job, else (a run of chosen assets) by the assets."""
    tagged = run.tags.get(RECIPE_TAG)
    return tagged == recipe.name if tagged else any(key.path[0] == recipe.name for key in run.asset_selection or ())


def _failed_checks(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """A line for each check that failed in a run."""
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [entry.dagster_event.event_specific_data for entry in entries if entry.dagster_event]
    failed = [each for each in found if isinstance(each, dg.AssetCheckEvaluation) and not each.passed]
    return [
        f"{each.severity.value} {each.asset_key.path[-1]}, {each.check_name}: {each.description or ''}" for each in failed
    ]


def _first_line(error: object) -> str:
    cause = error
    while getattr(cause, "cause", None):
        cause = cause.cause  # type: ignore[attr-defined]
    return str(getattr(cause, "message", "")).strip().split("\n")[0]


def _sent(webhook: Webhook, lines: list[str]) -> dg.SkipReason:
    """A sensor that launches nothing ends with a reason: here what became of the alert."""
    problem = webhook.send("\n".join(lines))
    return dg.SkipReason(f"sent: {lines[0]}" if problem is None else f"not sent ({problem}): {lines[0]}")
