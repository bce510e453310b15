"""What runs, for whom; and that only what nobody owns is ended."""

from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.reaper import Entry, reap, survey
from resources.launchers.kubernetes.record import last_record
from tests.kubernetes.orphans import leave_behind
from tests.kubernetes.running import Place, View, steps_done, wait_until


@pytest.fixture
def cluster(view: View) -> Cluster:
    return view.cluster


@pytest.fixture
def orphan(place: Place, cluster: Cluster) -> Path:
    """The run directory of a job whose supervisor is gone."""
    job = place.job(processes=1, steps=400, pause=0.1)
    leave_behind(place, cluster, job)
    wait_until(lambda: len(steps_done(job)) > 2, "the first steps")
    return Path(job.run_dir)


def only(entries: list[Entry]) -> Entry:
    assert len(entries) == 1, entries
    return entries[0]


def test_what_a_launch_record_owns_stays_and_what_nobody_owns_goes(orphan: Path, cluster: Cluster, view: View) -> None:
    record = last_record(orphan)
    assert record is not None
    followed = only(survey(cluster, lambda run: run == record.dagster_run))
    assert followed.owner == f"run {record.dagster_run[:8]}"
    assert (followed.state, followed.stage) == ("RUNNING", "test_model")
    assert only(survey(cluster, lambda _: False)).owner == "its launch record, nobody follows it"
    record.now(orphan, state="told")
    entry = only(survey(cluster, lambda _: False))
    assert entry.owner is None
    reap(cluster, entry)
    wait_until(lambda: not view.jobs() and not view.pods(), "the end of the job")


def test_a_store_that_is_not_mounted_here_makes_nothing_ownerless(orphan: Path, cluster: Cluster) -> None:
    """A sweep in a pod without the store would otherwise delete every training of the cluster."""
    (orphan / "kubernetes" / "0" / "record.json").unlink()
    assert only(survey(cluster, lambda _: False)).owner is None
    orphan.parent.rename(orphan.parent.with_name("elsewhere"))
    assert only(survey(cluster, lambda _: False)).owner == "unknown: its store is not mounted here"


def test_a_pod_that_outlived_its_job_is_found(orphan: Path, cluster: Cluster, view: View) -> None:
    """Deleting a Job without a propagation policy leaves its pods running."""
    name = view.jobs()[0]["metadata"]["name"]
    cluster.batch.delete_namespaced_job(name, cluster.namespace)
    entry = wait_until(lambda: [each for each in survey(cluster, lambda _: True) if each.kind == "Pod"], "the pod")[0]
    assert entry.owner is None
    reap(cluster, entry)
    wait_until(lambda: not view.pods(), "the end of the pod")


def test_the_command_deletes_only_when_it_is_told_to(
    orphan: Path, place: Place, view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assets.cli import app

    monkeypatch.setenv("KUBECONFIG", str(place.kubeconfig))
    (tmp_path / "dagster").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    (orphan / "kubernetes" / "0" / "record.json").unlink()
    name = view.jobs()[0]["metadata"]["name"]
    command = ["jobs", "--profile", str(place.profile)]
    for more in ([], ["--reap"], ["--reap", "--yes"]):
        assert view.jobs()
        done = CliRunner().invoke(app, command + more)
        assert done.exit_code == 0, (done.output, done.exception)
    wait_until(lambda: name not in [job["metadata"]["name"] for job in view.jobs()], "the end of the job")


def test_the_sweep_is_scheduled_only_where_there_is_a_cluster(place: Place) -> None:
    from assets.cluster import SWEEP, sweep_schedule
    from assets.definitions import defs

    assert SWEEP not in [schedule.name for schedule in defs.schedules or []]
    schedule = sweep_schedule(str(place.profile))
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
