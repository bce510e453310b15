"""Commands and the scheduled sweep around the cluster that `LIFECYCLE_CLUSTER` describes."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
from rich.table import Table

from lifecycle.errors import JobFailedError
from lifecycle.machine import Finding as MachineFinding
from resources.launchers.kubernetes.profile import load_profile

SWEEP = "reap_orphans"
PREFLIGHT_SECONDS = 20.0
"""For how long a look at the cluster tries to reach it."""


def unfinished_in(instance: dg.DagsterInstance) -> Callable[[str], bool]:
    """Whether a run of this instance, by its id, may still want something."""

    def unfinished(run_id: str) -> bool:
        run = instance.get_run_by_id(run_id) if run_id else None
        return run is not None and not run.is_finished

    return unfinished


def cluster_executor() -> dg.ExecutorDefinition:
    """Each step in a Job of its own, which ends with the pod of its run."""
    from dagster_k8s import k8s_job_executor  # it imports the API client: for processes inside a cluster only

    return k8s_job_executor.configured({"enable_owner_references": True})


def sweep_schedule(profile_path: str) -> dg.ScheduleDefinition:
    """Every quarter of an hour: delete what neither a Dagster run nor a launch record owns."""

    @dg.op(name=SWEEP)
    def sweep(context: dg.OpExecutionContext) -> None:
        from resources.launchers.kubernetes.client import connect
        from resources.launchers.kubernetes.reaper import reap, survey

        cluster = connect(load_profile(profile_path).namespace)
        for entry in survey(cluster, unfinished_in(context.instance)):
            if entry.owner is None:
                context.log.warning("%s %s (%s) belongs to nobody: deleted", entry.kind, entry.name, entry.state)
                reap(cluster, entry)

    @dg.job(name=SWEEP, description="Delete Jobs that no run and no launch record owns.")
    def sweep_job() -> None:
        sweep()

    return dg.ScheduleDefinition(
        job=sweep_job, cron_schedule="*/15 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING
    )


def list_jobs(profile_path: str, instance: dg.DagsterInstance, reap: bool, really: bool) -> Table:
    """What runs, for whom, since when, with which checkpoint; with `reap` only what nobody owns, deleted if `really`."""
    from resources.launchers.kubernetes import reaper
    from resources.launchers.kubernetes.client import connect

    profile = load_profile(profile_path)
    cluster = connect(profile.namespace)
    title = f"Namespace {profile.namespace}" + (": without an owner" + (", deleted" if really else "") if reap else "")
    table = Table("job", "stage", "state", "nodes", "for", "owner", "checkpoint", title=title)
    for entry in reaper.survey(cluster, unfinished_in(instance)):
        if reap and entry.owner is not None:
            continue
        if reap and really:
            reaper.reap(cluster, entry)
        since = f"{entry.seconds / 3600:.1f} h"
        owner = entry.owner or "[red]nobody[/red]"
        table.add_row(entry.name, entry.stage, entry.state, str(entry.nodes), since, owner, entry.checkpoint or "-")
    return table


def access(profile_path: str | None) -> MachineFinding:
    """Whether the cluster of the profile answers, as one line about this machine."""
    from resources.launchers.kubernetes.client import connect
    from resources.launchers.kubernetes.preflight import reachable

    if profile_path is None:
        return MachineFinding("cluster", "good", "none is named (LIFECYCLE_CLUSTER): jobs run on this machine")
    namespace = load_profile(profile_path).namespace
    try:
        found = reachable(connect(namespace, patience=PREFLIGHT_SECONDS))
        good, said = found.good, f"namespace {namespace}: {found.what} {found.detail}"
    except JobFailedError as error:
        good, said = False, str(error)
    return MachineFinding("cluster", "good" if good else "missing", said, "`lifecycle doctor --cluster` looks closer")


def examine(profile_path: str, store: Path, processes: int, probe_seconds: float | None) -> tuple[Table, bool]:
    """What a job of so many ranks would meet, and whether nothing of it is bad; with a probe where it may take time."""
    from resources.launchers.kubernetes.client import connect
    from resources.launchers.kubernetes.preflight import look, reachable
    from resources.launchers.kubernetes.probe import probe

    profile = load_profile(profile_path)
    cluster = connect(profile.namespace, patience=PREFLIGHT_SECONDS)
    findings = [reachable(cluster)]
    if findings[0].good:
        findings += look(cluster, profile, processes)
        if probe_seconds is not None:
            findings.append(probe(cluster, profile, store, processes, probe_seconds))
    words = {True: "[green]good[/green]", False: "[red]bad[/red]", None: "[yellow]unknown[/yellow]"}
    table = Table("what", "", "detail", title=f"{processes} ranks in namespace {profile.namespace}")
    for finding in findings:
        table.add_row(finding.what, words[finding.good], finding.detail)
    return table, all(finding.good is not False for finding in findings)
