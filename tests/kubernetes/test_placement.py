"""Where pods of the fake cluster go, and what keeps them from being made at all."""

import pytest

from tests.kubernetes.fake import FakeCluster
from tests.kubernetes.running import wait_until
from tests.kubernetes.workloads import SLEEP, Client, conditions, ended, job, running


def test_missing_gpus_wait_for_a_node_that_has_them(fake_cluster: FakeCluster, api: Client) -> None:
    """Fact 11."""
    api.create(job("gpus", "true", pod={"container": {"resources": {"limits": {"nvidia.com/gpu": 2}}}}))
    pod = wait_until(lambda: next((p for p in api.pods("gpus") if p.status.conditions), None))
    assert conditions(pod) == [("PodScheduled", "False", "Unschedulable")]
    assert "3 Insufficient nvidia.com/gpu" in pod.status.conditions[0].message
    fake_cluster.set_gpus("node-1", 2)
    ended(api, "gpus")
    assert api.pods("gpus")[0].spec.node_name == "node-1"


def test_gpus_are_taken_until_their_pod_ends(fake_cluster: FakeCluster, api: Client) -> None:
    """Two jobs, one GPU: the second runs when the first has ended."""
    fake_cluster.set_gpus("node-0", 1)
    gpu = {"container": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}
    api.create(job("first", SLEEP, pod=gpu))
    running(api, "first")
    api.create(job("second", "true", pod=gpu))
    wait_until(lambda: any(conditions(pod) for pod in api.pods("second")))
    assert api.pods("second")[0].status.phase == "Pending"
    api.delete("first", propagation_policy="Background")
    assert ended(api, "second").status.succeeded == 1


def test_node_selectors_and_taints_decide_the_node(fake_cluster: FakeCluster, api: Client) -> None:
    """What a profile asks for is honoured, and the message names what stands in the way."""
    fake_cluster.add_node("gpu-0", 8, {"pool": "training"}, [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
    api.create(job("picky", "true", pod={"nodeSelector": {"pool": "training"}}))
    pod = wait_until(lambda: next((p for p in api.pods("picky") if p.status.conditions), None))
    assert "1 node(s) had untolerated taint {gpu: yes}" in pod.status.conditions[0].message
    assert "3 node(s) didn't match Pod's node affinity/selector" in pod.status.conditions[0].message
    toleration = {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}
    api.create(job("welcome", "true", pod={"nodeSelector": {"pool": "training"}, "tolerations": [toleration]}))
    ended(api, "welcome")
    assert api.pods("welcome")[0].spec.node_name == "gpu-0"


@pytest.mark.parametrize(
    ("pod", "told"),
    [
        (
            {"serviceAccountName": "nobody"},
            'error looking up service account default/nobody: serviceaccount "nobody" not found',
        ),
        ({"priorityClassName": "nope"}, "no PriorityClass with name nope was found"),
    ],
)
def test_job_whose_pods_are_refused_only_says_so_in_events(
    fake_cluster: FakeCluster, api: Client, pod: dict[str, str], told: str
) -> None:
    """The job is accepted, stays active with no pod, and nothing but an event tells why."""
    api.create(job("refused", "true", pod=pod))
    seen = wait_until(lambda: [event["message"] for event in fake_cluster.events() if event["reason"] == "FailedCreate"])
    assert seen[0] == f'Error creating: pods "refused-0-" is forbidden: {told}'
    assert api.pods("refused") == []
    assert not api.job("refused").status.conditions


def test_quota_holds_a_job_back_until_there_is_room(fake_cluster: FakeCluster, api: Client) -> None:
    """As seen in shared namespaces: the second job waits without a pod."""
    fake_cluster.set_gpus("node-0", 8)
    body = {"metadata": {"name": "team"}, "spec": {"hard": {"requests.nvidia.com/gpu": "2"}}}
    api.core.create_namespaced_resource_quota(api.namespace, body)
    gpus = {"container": {"resources": {"limits": {"nvidia.com/gpu": 2}}}}
    api.create(job("first", SLEEP, pod=gpus))
    running(api, "first")
    used = lambda: api.core.read_namespaced_resource_quota("team", api.namespace).status.used  # noqa: E731
    wait_until(lambda: used() == {"requests.nvidia.com/gpu": "2"})
    api.create(job("second", "true", pod=gpus))
    seen = wait_until(lambda: [event["message"] for event in fake_cluster.events() if event["reason"] == "FailedCreate"])
    assert seen[0].endswith(
        "exceeded quota: team, requested: requests.nvidia.com/gpu=2, used: requests.nvidia.com/gpu=2, "
        "limited: requests.nvidia.com/gpu=2"
    )
    api.delete("first", propagation_policy="Background")
    assert ended(api, "second").status.succeeded == 1
