"""What the launcher mends by itself on a cluster, and what it can only tell."""

from pathlib import Path
from typing import Any

import pytest

from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ExitClass
from resources.launchers.kubernetes import stuck
from resources.launchers.kubernetes.attempts import Attempts
from resources.launchers.kubernetes.profile import load_profile
from resources.launchers.kubernetes.record import LaunchRecord, last_record
from resources.launchers.kubernetes.verdict import Verdict
from tests.kubernetes.fake import FakeCluster
from tests.kubernetes.running import Place, View, begin, materialize, steps_done, wait_until, write_profile


def hungry(place: Place, micro_batch: int, room: int, halve: bool = True, processes: int = 2) -> TrainingJob:
    """A job whose rank 1 has memory for `room` sequences at once."""
    job = place.job("need_memory", processes=processes)
    training = {"micro_batch": micro_batch, "global_batch": 8, "guards": {"halve_micro_batch": halve}}
    return job.model_copy(update={"config": {**job.config, "room": room, "training": training}})


def attempts(place: Place, job: TrainingJob) -> Attempts:
    profile = load_profile(place.profile)
    job = job.model_copy(update={"nodes": profile.nodes_for(job.processes)})
    return Attempts(job, profile, "trained", None, "a run")


def failed(decide: Attempts, record: LaunchRecord, cause: ExitClass, **facts: Any) -> LaunchRecord:
    return decide.failed(record, Verdict(cause, "as the test wants it", **facts))


def test_several_nodes_out_of_memory_start_again_together_with_half_the_micro_batch(place: Place, view: View) -> None:
    """One node's launcher alone would meet the others with another number of micro-batches in each step."""
    job = hungry(place, micro_batch=4, room=2)
    outcome = materialize(place, job)
    assert outcome.success, (outcome.error, outcome.log)
    assert [name[-2:] for name in view.names()] == ["-0", "-1"]
    [said] = [line for line in outcome.log if "FAILED(out_of_memory, rank 1)" in line]
    assert "with micro_batch 2 and the same global batch" in said
    for written in ("job.json", "nodes/1/job.json"):
        config = TrainingJob.read(Path(job.run_dir) / written).config
        assert config == {**job.config, "training": {**job.config["training"], "micro_batch": 2}}
    for rank in range(2):
        assert steps_done(job, rank) == list(range(job.config["steps"]))
    record = last_record(Path(job.run_dir))
    assert record is not None
    assert (record.micro_batch, record.retries) == (2, 0)


def test_without_leave_several_nodes_out_of_memory_fail_at_once(place: Place, view: View) -> None:
    outcome = materialize(place, hungry(place, micro_batch=4, room=2, halve=False))
    assert not outcome.success
    assert outcome.metadata["class"] == "out_of_memory"
    assert "Lower micro_batch" in outcome.error
    assert len(view.names()) == 1


def test_halving_ends_at_an_odd_micro_batch_and_survives_other_failures(place: Place) -> None:
    """A preempted attempt must not go back to the micro-batch that did not fit."""
    decide = attempts(place, hungry(place, micro_batch=12, room=0))
    first = decide.new(0)
    second = decide.after(failed(decide, first, ExitClass.OUT_OF_MEMORY))
    assert second is not None
    third = decide.after(failed(decide, second, ExitClass.PREEMPTION))
    assert third is not None
    assert (third.micro_batch, third.retries) == (6, 1)
    assert decide.of(third).config["training"]["micro_batch"] == 6
    fourth = decide.after(failed(decide, third, ExitClass.OUT_OF_MEMORY))
    assert fourth is not None
    assert fourth.micro_batch == 3
    assert decide.after(failed(decide, fourth, ExitClass.OUT_OF_MEMORY)) is None


def test_what_the_launcher_of_one_node_halved_is_not_halved_a_second_time(place: Place) -> None:
    """It comes down to an odd size by itself before it gives up; what it ran last is in the run directory."""
    decide = attempts(place, hungry(place, micro_batch=4, room=0, processes=1))
    record = decide.new(0)
    job = decide.of(record)
    last = job.config["training"] | {"micro_batch": 1}
    job.model_copy(update={"config": {**job.config, "training": last}}).write()
    assert decide.after(failed(decide, record, ExitClass.OUT_OF_MEMORY)) is None


def test_a_node_at_fault_stays_avoided_when_the_supervisor_dies_before_the_next_attempt(place: Place, view: View) -> None:
    decide = attempts(place, place.job())
    failed(decide, decide.new(0), ExitClass.NODE_FAULT, node="node-1")
    again = decide.present(view.cluster, None)  # pyright: ignore[reportArgumentType] - it has nothing to say here
    assert (again.attempt, again.retries, again.avoid) == (1, 1, ("node-1",))


def test_a_container_that_waits_for_its_volume_is_told_and_starts_once_it_is_there(
    place: Place, fake_cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes waits without end for a directory that a node does not have, and says so in an event only."""
    monkeypatch.setattr(stuck, "SLOW_SECONDS", 0.5)
    missing = tmp_path / "scratch"
    volumes = [
        {"kind": "host_path", "name": name, "mount_path": str(path), "path": str(path)}
        for name, path in (("store", place.store), ("scratch", missing))
    ]
    write_profile(place.profile, place.store, volumes=volumes)
    job = place.job(steps=2)
    present = begin(place, job)
    wait_until(lambda: any("does not start: FailedMount" in line for line in present.log), "the warning")
    missing.mkdir()
    outcome = present.outcome()
    assert outcome.success, (outcome.error, outcome.log)
    told = [line for line in outcome.log if f"{missing} is not a directory" in line]
    assert len(told) == len(set(told)) > 0
