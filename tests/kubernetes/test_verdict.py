"""The classification table: what pods and launchers say, and what class that is."""

from typing import Any

import pytest

from lifecycle.training.exits import ExitClass
from lifecycle.training.failures import Failure
from resources.launchers.kubernetes.pods import Pod
from resources.launchers.kubernetes.states import State, standing
from resources.launchers.kubernetes.verdict import cannot_start, judge

DISRUPTED = ("EvictionByEvictionAPI", "Eviction API: evicting")


def pod(index: int = 0, **said: Any) -> Pod:
    return Pod(
        **{"name": f"job-{index}-x", "uid": f"u{index}", "index": index, "phase": "Failed", "node": f"node-{index}"} | said
    )


def failure(cause: ExitClass, rank: int, time: float, message: str = "m") -> Failure:
    return Failure(
        exit_class=cause.value, retryable=cause.retryable, rank=rank, message=message, advice=cause.advice, time=time
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"exit_code": 137, "exit_reason": "OOMKilled"}, ExitClass.OUT_OF_MEMORY),
        ({"exit_code": 137, "exit_reason": "Error"}, ExitClass.PREEMPTION),
        ({"exit_code": 143, "exit_reason": "Error"}, ExitClass.PREEMPTION),
        ({"exit_code": 135, "exit_reason": "Error"}, ExitClass.NODE_FAULT),
        ({"exit_code": 128, "exit_reason": "StartError"}, ExitClass.CONFIGURATION),
        ({"exit_code": 127, "exit_reason": "Error"}, ExitClass.CONFIGURATION),
        ({"exit_code": 1, "exit_reason": "Error"}, ExitClass.UNKNOWN),
        *(({"exit_code": cause.code, "exit_reason": "Error"}, cause) for cause in ExitClass),
        ({"disrupted": DISRUPTED, "exit_code": 143}, ExitClass.PREEMPTION),
        ({"disrupted": DISRUPTED, "gone": True}, ExitClass.PREEMPTION),
        (
            {"reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the deadline"},
            ExitClass.CONFIGURATION,
        ),
        ({"reason": "Evicted", "message": "The node was low on resource: memory"}, ExitClass.PREEMPTION),
        (
            {"reason": "Evicted", "message": 'Usage of EmptyDir volume "shared-memory" exceeds the limit "1Gi"'},
            ExitClass.CONFIGURATION,
        ),
        ({"reason": "UnexpectedAdmissionError", "message": "no healthy devices present"}, ExitClass.NODE_FAULT),
        ({"deleting": 5.0, "gone": True}, ExitClass.PREEMPTION),
    ],
)
def test_class_of_a_pod(said: dict[str, Any], expected: ExitClass) -> None:
    verdict = judge([pod(**said)], {})
    assert (verdict.cause, verdict.node) == (expected, "node-0")


@pytest.mark.parametrize("cause", list(ExitClass))
def test_the_cause_comes_before_the_rank_that_lost_it(cause: ExitClass) -> None:
    """A rank that loses its peer reports a network error, often before the peer's own failure is written."""
    pods = [pod(0, exit_code=ExitClass.NETWORK.code), pod(1, exit_code=cause.code)]
    said = {0: failure(ExitClass.NETWORK, 0, 1.0), 1: failure(cause, 1, 2.0, "the cause")}
    verdict = judge(pods, said)
    assert verdict.cause is cause
    if cause is not ExitClass.NETWORK:
        assert (verdict.rank, verdict.node, verdict.message) == (1, "node-1", "the cause")


def test_of_two_causes_the_earlier_one_counts() -> None:
    pods = [pod(0, exit_code=ExitClass.DATA.code), pod(1, exit_code=ExitClass.DATA.code)]
    verdict = judge(pods, {0: failure(ExitClass.DATA, 0, 9.0), 1: failure(ExitClass.DATA, 1, 8.0)})
    assert verdict.rank == 1


def test_a_verdict_left_by_an_earlier_container_is_not_this_ones() -> None:
    """The launcher was killed before it could say anything; the file tells of another end."""
    said = {0: failure(ExitClass.DATA, 0, 1.0)}
    assert judge([pod(0, exit_code=137, exit_reason="Error")], said).cause is ExitClass.PREEMPTION


def test_a_rank_killed_for_memory_counts_before_the_preemption_of_its_sibling() -> None:
    pods = [pod(0, exit_code=143, exit_reason="Error"), pod(1, exit_code=137, exit_reason="OOMKilled")]
    assert judge(pods, {}).cause is ExitClass.OUT_OF_MEMORY


def test_pods_that_nobody_saw_are_judged_by_what_they_wrote() -> None:
    assert judge([], {1: failure(ExitClass.NUMERICS, 3, 1.0)}).rank == 3


def test_nothing_is_known() -> None:
    assert judge([], {}).cause is ExitClass.UNKNOWN


@pytest.mark.parametrize(
    ("reason", "message", "expected"),
    [
        ("ImagePullBackOff", "Back-off pulling image", ExitClass.NETWORK),
        ("ErrImagePull", "i/o timeout", ExitClass.NETWORK),
        ("ErrImagePull", "manifest unknown", ExitClass.CONFIGURATION),
        ("ErrImagePull", "401 Unauthorized", ExitClass.CONFIGURATION),
        ("InvalidImageName", "couldn't parse image", ExitClass.CONFIGURATION),
        ("CreateContainerConfigError", 'secret "object-store" not found', ExitClass.CONFIGURATION),
    ],
)
def test_class_of_a_container_that_does_not_start(reason: str, message: str, expected: ExitClass) -> None:
    assert cannot_start(pod(phase="Pending", waiting=(reason, message))).cause is expected


JOB: dict[str, Any] = {"metadata": {}, "spec": {"suspend": False}, "status": {}}
ENDING = {"status": {"conditions": [{"type": "FailureTarget", "status": "True"}]}}


@pytest.mark.parametrize(
    ("job", "pods", "expected"),
    [
        (None, [], State.GONE),
        (JOB | {"spec": {"suspend": True}}, [], State.QUEUED),
        (JOB, [], State.QUEUED),
        (JOB, [pod(0, phase="Pending", node=None, held="0/3 nodes"), pod(1, phase="Running", started=1.0)], State.QUEUED),
        (JOB, [pod(0, phase="Pending", waiting=("ErrImagePull", "")), pod(1, phase="Running", started=1.0)], State.PULLING),
        (JOB, [pod(0, phase="Pending", waiting=("ContainerCreating", "")), pod(1, phase="Running")], State.STARTING),
        (JOB, [pod(0, phase="Running", started=1.0), pod(1, phase="Running", started=1.0)], State.RUNNING),
        (
            JOB,
            [pod(0, phase="Running", started=1.0, deleting=2.0), pod(1, phase="Running", started=1.0)],
            State.CHECKPOINTING,
        ),
        (
            JOB | ENDING,
            [pod(0), pod(1)],
            State.CHECKPOINTING,
        ),
        (JOB | {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}, [pod(0), pod(1)], State.FAILED),
        (JOB | {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}, [], State.COMPLETE),
        (JOB | {"status": {"conditions": [{"type": "Suspended", "status": "False"}]}}, [], State.QUEUED),
    ],
)
def test_states(job: Any, pods: list[Pod], expected: State) -> None:
    assert standing(job, pods, 2).state is expected
