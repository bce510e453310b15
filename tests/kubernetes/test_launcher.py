"""The launcher on a cluster, end to end: what Dagster sees, what is left behind, and that no step is lost or repeated."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from lifecycle.jobs import TrainingJob
from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.logs import STAMP
from resources.launchers.kubernetes.record import attempt_folder, last_record
from tests.kubernetes.fake import FakeCluster
from tests.kubernetes.orphans import leave_behind
from tests.kubernetes.running import (
    Outcome,
    Place,
    View,
    begin,
    begin_process,
    interrupted,
    materialize,
    release,
    steps_done,
    wait_until,
    write_profile,
)

LONG = {"steps": 16, "pause": 0.15}
"""Long enough for something to happen meanwhile, where it does not matter whether it does."""
HELD: dict[str, Any] = {"steps": 16, "pause": 0.05, "hold": (8, 15)}
"""Neither half done nor over before the test says so, however busy the machine is."""


def profile_with(place: Place, **changes: object) -> Place:
    return Place(write_profile(place.profile, place.store, **changes), place.kubeconfig, place.store)


def check_done(job: TrainingJob, outcome: Outcome) -> None:
    """The result is whole: every rank did every step exactly once, and the output is where the asset wants it."""
    assert outcome.success, (outcome.error, outcome.log)
    total = job.config["steps"]
    assert outcome.value == {"steps": total}
    expected = {str(rank): [str(step) for step in range(total)] for rank in range(job.processes)}
    assert json.loads((Path(job.output) / "model.json").read_text()) == expected


def running(view: View, job: TrainingJob, step: int = 3) -> str:
    """The pod of node 0 once its rank has done `step` steps."""
    wait_until(lambda: len(steps_done(job)) >= step, f"step {step}")
    return view.pod("-0-0-")


def release_all(job: TrainingJob) -> None:
    for step in job.config["hold"]:
        release(job, step)


def test_two_nodes_run_it_and_everything_is_seen(place: Place, view: View) -> None:
    job = place.job()
    outcome = materialize(place, job)
    check_done(job, outcome)
    text = "\n".join(outcome.log)
    [name] = view.names()
    nodes = view.nodes_of(name)
    for word in ("QUEUED", "STARTING", "RUNNING", "COMPLETE", *nodes, "step 6  loss 0.1667"):
        assert word in text, text
    assert outcome.metadata["kubernetes job"] == f"{view.cluster.namespace}/{name}"
    assert outcome.metadata["nodes"] == ", ".join(nodes)
    logs = sorted((attempt_folder(Path(job.run_dir), 0) / "logs").iterdir())
    assert len(logs) == 2
    assert all("-0-" in path.name for path in logs)


def test_what_exists_is_not_made_again_and_what_is_wanted_anew_is(place: Place, view: View) -> None:
    """An output that was handed over is not adopted a second time: the artifact made of it may be damaged by now."""
    job = place.job(steps=2)
    check_done(job, materialize(place, job))
    (Path(job.output) / "model.json").unlink()
    check_done(job, materialize(place, job))
    assert [name[-2:] for name in view.names()] == ["-0", "-1"]


def test_a_killed_supervisor_leaves_the_job_running_and_the_next_one_adopts_it(place: Place, view: View) -> None:
    """Dagster's own client deletes nothing and adopts nothing: a killed supervisor was an orphan with GPUs."""
    job = place.job(**HELD)
    first = begin_process(place, job)
    assert first.stdout is not None
    while "finished step 3" not in (line := first.stdout.readline()):
        assert line, "it ended before the third step"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    release(job, 8)
    wait_until(lambda: len(steps_done(job)) == 15, "progress without a supervisor")
    present = begin(place, job)
    wait_until(lambda: any("adopted" in line for line in present.log), "the adoption")
    release(job, 15)
    outcome = present.outcome()
    check_done(job, outcome)
    assert len(view.names()) == 1
    assert any("adopted" in line for line in outcome.log)
    told = [line for line in outcome.log if line.startswith("finished step ")]
    assert told == [f"finished step {step}" for step in range(16 - len(told) + 1, 17)], "a message was lost or repeated"
    assert 0 < len(told) < 16


def test_a_job_that_ended_without_a_supervisor_is_adopted(place: Place, view: View) -> None:
    job = place.job(steps=2)
    leave_behind(place, view.cluster, job)
    wait_until(lambda: "completionTime" in view.jobs()[0]["status"], "completion")
    outcome = materialize(place, job)
    check_done(job, outcome)
    assert len(view.names()) == 1
    assert [line for line in outcome.log if line.startswith("finished")] == ["finished step 1", "finished step 2"]


def test_cancelling_saves_a_checkpoint_and_deletes_the_job(place: Place, view: View) -> None:
    job = place.job(**HELD)
    interrupted(place, job, lambda: running(view, job))
    assert (view.jobs(), view.pods()) == ([], [])
    assert 0 < len(steps_done(job)) < job.config["steps"]
    record = last_record(Path(job.run_dir))
    assert record is not None
    assert record.state == "cancelled"
    release_all(job)
    check_done(job, materialize(place, job))


def test_cancelling_waits_for_pods_that_the_watch_has_not_told_of(
    place: Place, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the run ended, and its pool slot was free, while the ranks still held their GPUs."""
    follow = Cluster.follow_pods

    def late(self: Cluster, *arguments: Any) -> None:
        time.sleep(2)
        follow(self, *arguments)

    job = place.job(processes=1, **HELD)

    def deaf() -> None:
        running(view, job)
        monkeypatch.setattr(Cluster, "follow_pods", late)

    interrupted(place, job, deaf)
    assert (view.jobs(), view.pods()) == ([], [])


def test_a_supervisor_whose_own_pod_is_taken_away_leaves_the_job_running(
    place: Place, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drained node ends the supervisor with the same signal as a cancelled run; the training should not pay for it."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    job = place.job(**HELD)
    interrupted(place, job, lambda: running(view, job))
    release(job, 8)
    wait_until(lambda: len(steps_done(job)) == 15, "progress without a supervisor")
    present = begin(place, job)
    wait_until(lambda: any("adopted" in line for line in present.log), "the adoption")
    release(job, 15)
    check_done(job, present.outcome())
    assert len(view.names()) == 1


def test_an_evicted_pod_of_one_node_is_replaced_and_goes_on(place: Place, view: View) -> None:
    job = place.job(processes=1, **HELD)
    present = begin(place, job)
    view.evict(running(view, job))
    release_all(job)
    outcome = present.outcome()
    check_done(job, outcome)
    assert len(view.names()) == 1
    assert any(line.startswith("continuing after step") for line in outcome.log)


def test_an_evicted_pod_of_several_nodes_is_a_preemption_and_retried(place: Place, view: View) -> None:
    job = place.job(**HELD)
    present = begin(place, job)
    view.evict(running(view, job))
    release_all(job)
    check_done(job, present.outcome())


def test_a_lost_node_is_left_and_avoided(place: Place, view: View, fake_cluster: FakeCluster) -> None:
    place = profile_with(place, grace_seconds=2)
    job = place.job(processes=1, **HELD)
    present = begin(place, job)
    pod = running(view, job)
    node = next(each["spec"]["nodeName"] for each in fake_cluster.pods() if each["metadata"]["name"] == pod)
    fake_cluster.lose_node(node)
    for _ in range(8):
        time.sleep(0.1)
        fake_cluster.advance(60)
    release_all(job)
    outcome = present.outcome()
    check_done(job, outcome)
    assert outcome.metadata["nodes"] != node
    assert any(f"FAILED(node_fault) ({pod} on {node})" in line for line in outcome.log), outcome.log
    assert any(f"not on {node}" in line for line in outcome.log)


def test_out_of_memory_is_not_retried(place: Place, view: View, fake_cluster: FakeCluster) -> None:
    job = place.job(**HELD)
    present = begin(place, job)
    fake_cluster.oom(running(view, job))
    outcome = present.outcome()
    assert not outcome.success
    assert outcome.metadata["class"] == "out_of_memory"
    assert "OOMKilled" in outcome.error
    assert "micro_batch" in outcome.error
    assert len(view.names()) == 1
    view.nothing_runs()


def test_bad_data_fails_at_once_with_rank_node_and_the_end_of_its_log(place: Place, view: View) -> None:
    """The controller deletes the other ranks' pods, and with them their logs."""
    outcome = materialize(place, place.job("fail"))
    assert not outcome.success
    assert outcome.metadata["class"] == "data"
    assert "FAILED(data, rank 1)" in outcome.error
    assert outcome.metadata["first failing rank"] == 1
    [failed] = [pod for pod in view.pods() if pod["status"]["phase"] == "Failed"]  # the other rank's is deleted
    assert outcome.metadata["on pod"] == failed["metadata"]["name"]
    assert outcome.metadata["on node"] == failed["spec"]["nodeName"]
    assert "documents 7, 8 are empty" in outcome.error
    assert len([line for line in outcome.error.splitlines() if line.startswith("line ")]) in range(30, 51)
    assert len(view.names()) == 1
    view.nothing_runs()


def test_a_killed_process_is_retried_a_bounded_number_of_times(place: Place, view: View, fake_cluster: FakeCluster) -> None:
    place = profile_with(place, retries=1)
    job = place.job(processes=1, steps=200, pause=0.1, hold=(199,))
    present = begin(place, job)
    for attempt in range(2):
        step = len(steps_done(job)) + 3
        wait_until(lambda step=step: len(steps_done(job)) >= step, f"step {step}")
        wanted = f"-{attempt}-0-"
        fake_cluster.kill(next(p["metadata"]["name"] for p in fake_cluster.pods() if wanted in p["metadata"]["name"]))
    outcome = present.outcome()
    assert not outcome.success
    assert outcome.metadata["class"] == "preemption"
    assert outcome.metadata["attempt"] == 1
    steps = steps_done(job)
    assert steps == list(range(len(steps)))


def test_an_image_that_is_nowhere_fails_instead_of_waiting_for_ever(place: Place, view: View) -> None:
    outcome = materialize(profile_with(place, image="nowhere:1"), place.job())
    assert not outcome.success
    assert outcome.metadata["class"] == "configuration"
    assert "nowhere:1" in outcome.error
    assert any("PULLING" in line for line in outcome.log)
    wait_until(lambda: not view.pods(), "deletion of the pods")


def test_a_queue_has_no_time_out(place: Place, view: View, fake_cluster: FakeCluster) -> None:
    """Dagster's own client fails a pod that waits for more than five hours."""
    gpus = {"gpus": {"per_node": 1}}
    job = place.job(steps=2, pause=1.5)  # the times of pods are whole seconds
    present = begin(profile_with(place, **gpus), job)
    wait_until(lambda: len(fake_cluster.pods()) == 2, "the pods")
    fake_cluster.advance(30 * 3600)
    present.thread.join(1)
    assert present.thread.is_alive()
    for node in fake_cluster.nodes:
        fake_cluster.set_gpus(node, 1)
    outcome = present.outcome()
    check_done(job, outcome)
    assert any("QUEUED: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu" in line for line in outcome.log), outcome.log
    assert outcome.metadata["GPU-hours"] > 0


def test_a_job_in_a_kueue_queue_waits_to_be_released(place: Place, view: View, fake_cluster: FakeCluster) -> None:
    job = place.job(steps=2)
    present = begin(profile_with(place, queue="research"), job)
    wait_until(lambda: fake_cluster.jobs(), "the job")
    present.thread.join(2)
    assert present.thread.is_alive()
    assert fake_cluster.pods() == []
    view.cluster.release_job(view.names()[0])  # as Kueue does
    outcome = present.outcome()
    check_done(job, outcome)
    assert any("QUEUED: suspended until its queue admits it" in line for line in outcome.log)


def test_the_api_server_may_be_away(place: Place, view: View, fake_cluster: FakeCluster) -> None:
    job = place.job(**HELD)
    present = begin(place, job)
    running(view, job)
    fake_cluster.away(3)
    release_all(job)
    check_done(job, present.outcome())
    assert len(view.names()) == 1


def test_cut_streams_lose_and_repeat_no_line(place: Place, view: View, fake_cluster: FakeCluster) -> None:
    """Logs and watches are cut every half second, and the server forgets its history meanwhile."""
    fake_cluster.faults.cut_logs_every = 0.5
    fake_cluster.faults.cut_watches_every = 0.3
    job = place.job(**LONG)
    present = begin(place, job)
    running(view, job)
    fake_cluster.forget_history()
    check_done(job, present.outcome())
    for path in (attempt_folder(Path(job.run_dir), 0) / "logs").iterdir():
        stamps = STAMP.findall(path.read_bytes())
        lines = path.read_text().splitlines()
        assert len(set(lines)) == len(lines), "a line was repeated"
        assert len(stamps) == len(lines)


def test_two_supervisors_at_once_follow_one_job(place: Place, view: View) -> None:
    """The store's lock lets one run of a stage go on at a time; one that lost it without knowing may still be there."""
    job = place.job(**HELD)
    both = [begin(place, job) for _ in range(2)]
    wait_until(lambda: all(any("RUNNING" in line for line in each.log) for each in both), "two followers")
    release_all(job)
    outcomes = [each.outcome() for each in both]
    assert len(view.names()) == 1
    winner, other = sorted(outcomes, key=lambda outcome: not outcome.success)
    check_done(job, winner)
    assert not other.success
    assert "another run of this asset has taken its output" in other.error
    assert steps_done(job) == list(range(16))


def test_a_passing_refusal_is_retried_and_a_lasting_one_explained(
    place: Place, view: View, fake_cluster: FakeCluster
) -> None:
    fake_cluster.faults.refuse(429, verb="create", resource="jobs", retry_after=1)
    fake_cluster.faults.refuse(503, verb="patch", resource="jobs")
    job = place.job(steps=2)
    check_done(job, materialize(place, job))
    fake_cluster.access.deny("create", "jobs")
    outcome = materialize(place, job)
    assert outcome.metadata["class"] == "configuration"
    assert "403" in outcome.error
    assert "create" in outcome.error
