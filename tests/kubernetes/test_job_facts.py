"""How Jobs really behave: each fact that was observed on a real cluster, on the fake one."""

import sys
from pathlib import Path

import pytest
from kubernetes.client.exceptions import ApiException

from tests.kubernetes.fake import FakeCluster
from tests.kubernetes.running import wait_until
from tests.kubernetes.workloads import SLEEP, Client, conditions, ended, job, running

IGNORE_DISRUPTION = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}


def test_deletion_without_policy_leaves_the_pods_running(fake_cluster: FakeCluster, api: Client) -> None:
    """Fact 1: GPUs went on without an owner after `delete_namespaced_job`."""
    api.create(job("orphans", SLEEP, 2))
    running(api, "orphans", 2)
    api.delete("orphans")
    wait_until(lambda: not fake_cluster.jobs())
    left = running(api, "orphans", 2)
    assert all(pod.metadata.owner_references is None for pod in left)


def test_background_deletion_takes_the_pods(fake_cluster: FakeCluster, api: Client) -> None:
    """The policy that nobody should forget."""
    api.create(job("owned", SLEEP, 2))
    running(api, "owned", 2)
    api.delete("owned", propagation_policy="Background")
    wait_until(lambda: not fake_cluster.pods())


def test_failed_rank_takes_the_other_ranks_log(api: Client) -> None:
    """Fact 2: with `backoffLimit: 0` only the failed pod stays, and the log of the other is gone."""
    api.create(job("two", "echo here; [ $JOB_COMPLETION_INDEX = 1 ] && exit 7; sleep 300", 2))
    zero = wait_until(lambda: [p.metadata.name for p in api.pods("two") if p.metadata.name.startswith("two-0")])[0]
    done = ended(api, "two")
    assert done.status.failed == 2
    assert [pod.metadata.name.startswith("two-1") for pod in api.pods("two")] == [True]
    with pytest.raises(ApiException) as gone:
        api.log(zero)
    assert gone.value.status == 404


def test_deadline_takes_the_pods(fake_cluster: FakeCluster, api: Client) -> None:
    """Fact 3, and a deadline of hours that a test does not wait for."""
    api.create(job("late", SLEEP, activeDeadlineSeconds=7200))
    running(api, "late")
    fake_cluster.advance(7200)
    done = ended(api, "late")
    assert conditions(done) == [("FailureTarget", "True", "DeadlineExceeded"), ("Failed", "True", "DeadlineExceeded")]
    assert api.pods("late") == []


def test_restarts_in_place_end_at_the_limit(fake_cluster: FakeCluster, api: Client) -> None:
    """Fact 3: after `OnFailure` reaches its limit the pod is gone with its log."""
    api.create(job("again", "exit 3", pod={"restartPolicy": "OnFailure"}, backoffLimit=1))
    wait_until(lambda: any(s.restart_count for pod in api.pods("again") for s in pod.status.container_statuses or []))
    fake_cluster.advance(60)
    assert conditions(ended(api, "again"))[-1] == ("Failed", "True", "BackoffLimitExceeded")
    assert api.pods("again") == []


def test_failed_pods_are_replaced_up_to_the_limit(fake_cluster: FakeCluster, api: Client) -> None:
    """A limit of 1 means two pods, the second after a back-off."""
    api.create(job("retry", "exit 3", backoffLimit=1))
    wait_until(lambda: api.job("retry").status.failed == 1)
    fake_cluster.advance(30)
    assert ended(api, "retry").status.failed == 2
    assert len(api.pods("retry")) == 2


def test_pod_deleted_by_hand_fails_the_job(api: Client) -> None:
    """Fact 6."""
    api.create(job("hand", SLEEP))
    [pod] = running(api, "hand")
    api.core.delete_namespaced_pod(pod.metadata.name, api.namespace)
    assert conditions(ended(api, "hand"))[-1] == ("Failed", "True", "BackoffLimitExceeded")


def test_evicted_pod_is_replaced_where_disruptions_are_ignored(fake_cluster: FakeCluster, api: Client) -> None:
    """Fact 6: the same rank again, and no failure counted."""
    api.create(job("evicted", SLEEP, 2, podFailurePolicy={"rules": [IGNORE_DISRUPTION]}))
    before = {pod.metadata.name for pod in running(api, "evicted", 2)}
    first = min(before)
    fake_cluster.evict(first)
    wait_until(lambda: first not in {pod.metadata.name for pod in api.pods("evicted")})
    after = {pod.metadata.name for pod in running(api, "evicted", 2)}
    assert len(after - before) == 1
    assert next(iter(after - before)).startswith("evicted-0-")
    assert api.job("evicted").status.failed is None


def test_lost_node_holds_its_pods_until_it_is_removed(fake_cluster: FakeCluster, api: Client) -> None:
    """Fact 7: NotReady after 52 s, Terminating and stuck, replaced a minute after the Node object is gone."""
    toleration = {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 10,
    }
    rules = {"rules": [IGNORE_DISRUPTION]}
    api.create(job("lost", SLEEP, podFailurePolicy=rules, pod={"tolerations": [toleration]}))
    [pod] = running(api, "lost")
    name, node = pod.metadata.name, pod.spec.node_name
    fake_cluster.lose_node(node)
    fake_cluster.advance(52)
    wait_until(lambda: ("Ready", "Unknown", "NodeStatusUnknown") in conditions(api.core.read_node(node)))
    fake_cluster.advance(11)
    stuck = wait_until(lambda: [p for p in api.pods("lost") if p.metadata.deletion_timestamp])
    assert stuck[0].status.phase == "Running"
    fake_cluster.advance(600)
    assert [p.metadata.name for p in api.pods("lost")] == [name]
    with pytest.raises(ApiException) as away:
        api.log(name)
    assert away.value.status == 500
    fake_cluster.remove_node(node)
    wait_until(lambda: fake_cluster.advance(10) or [p.metadata.name for p in api.pods("lost")] != [name])
    [new] = running(api, "lost")
    assert new.spec.node_name != node


def test_out_of_memory_and_killed_differ_in_reason_only(fake_cluster: FakeCluster, api: Client) -> None:
    """Fact 9."""
    for name, kill in (("oom", fake_cluster.oom), ("shot", fake_cluster.kill)):
        api.create(job(name, SLEEP))
        [pod] = running(api, name)
        kill(pod.metadata.name)
        ended(api, name)
    states = {name: api.pods(name)[0].status.container_statuses[0].state.terminated for name in ("oom", "shot")}
    assert {name: (state.exit_code, state.reason) for name, state in states.items()} == {
        "oom": (137, "OOMKilled"),
        "shot": (137, "Error"),
    }


def test_missing_image_waits_for_ever_and_starts_when_it_comes(fake_cluster: FakeCluster, api: Client) -> None:
    """Fact 10: nothing ends it but a deadline or a watcher."""
    api.create(job("noimg", "echo ran", pod={"container": {"image": "registry.test/later:1"}}))

    def waiting() -> list[str]:
        statuses = [s for pod in api.pods("noimg") for s in pod.status.container_statuses or [] if s.state.waiting]
        return [s.state.waiting.reason for s in statuses]

    wait_until(lambda: waiting() == ["ErrImagePull"])
    wait_until(lambda: waiting() == ["ImagePullBackOff"])
    fake_cluster.advance(86400)
    assert api.job("noimg").status.active == 1
    fake_cluster.images["registry.test/later:1"] = fake_cluster.images["lifecycle:test"]
    assert ended(api, "noimg").status.succeeded == 1


def test_suspended_job_waits_for_hours_and_keeps_its_condition(fake_cluster: FakeCluster, api: Client) -> None:
    """Fact 12: a queue is no failure, and no deadline runs in it."""
    api.create(job("queued", "true", suspend=True, activeDeadlineSeconds=60))
    wait_until(lambda: conditions(api.job("queued")) == [("Suspended", "True", "JobSuspended")])
    fake_cluster.advance(6 * 3600)
    assert api.pods("queued") == []
    api.batch.patch_namespaced_job("queued", api.namespace, {"spec": {"suspend": False}})
    assert [kind for kind, _, _ in conditions(ended(api, "queued"))] == ["Suspended", "SuccessCriteriaMet", "Complete"]
    assert conditions(api.job("queued"))[0] == ("Suspended", "False", "JobResumed")


def test_fail_job_rule_fails_at_once(api: Client) -> None:
    """Fact 13: our own exit codes are not tried again, whatever the limit."""
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [64, 65]}}
    api.create(job("config", "exit 65", backoffLimit=6, podFailurePolicy={"rules": [IGNORE_DISRUPTION, rule]}))
    done = ended(api, "config")
    assert conditions(done)[-1] == ("Failed", "True", "PodFailurePolicy")
    assert "failed with exit code 65 matching FailJob rule at index 1" in done.status.conditions[-1].message
    assert done.status.failed == 1


def test_finished_job_expires(fake_cluster: FakeCluster, api: Client) -> None:
    """`ttlSecondsAfterFinished` counts from the end and takes the pods along."""
    api.create(job("ttl", "true", ttlSecondsAfterFinished=3600))
    ended(api, "ttl")
    assert api.job("ttl").status.succeeded == 1
    fake_cluster.advance(3600)
    wait_until(lambda: not fake_cluster.jobs() and not fake_cluster.pods())


def test_what_the_job_owns_goes_with_it_and_nothing_else(fake_cluster: FakeCluster, api: Client, tmp_path: Path) -> None:
    """Service and ConfigMap carry owner references; claims never do."""
    fake_cluster.add_claim("store", tmp_path)
    made = api.create(job("owner", SLEEP, suspend=True))
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "owner", "uid": made.metadata.uid}
    metadata = {"name": "owner", "ownerReferences": [reference]}
    api.core.create_namespaced_config_map(api.namespace, {"metadata": metadata, "data": {"job.json": "{}"}})
    spec = {"clusterIP": "None", "selector": {"job-name": "owner"}}
    api.core.create_namespaced_service(api.namespace, {"metadata": metadata, "spec": spec})
    api.delete("owner", propagation_policy="Foreground")
    wait_until(lambda: not api.core.list_namespaced_config_map(api.namespace).items)
    wait_until(lambda: not api.core.list_namespaced_service(api.namespace).items)
    wait_until(lambda: not fake_cluster.jobs())
    assert [claim.metadata.name for claim in api.core.list_namespaced_persistent_volume_claim(api.namespace).items] == [
        "store"
    ]


def test_sigterm_reaches_the_first_process_within_its_grace(fake_cluster: FakeCluster, api: Client, tmp_path: Path) -> None:
    """Fact 14: a program that handles the signal has time to save."""
    program = (
        "import pathlib, signal, sys, time\n"
        f"saved = pathlib.Path({str(tmp_path / 'saved')!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), saved.write_text('yes'), sys.exit(0)))\n"
        "print('ready', flush=True)\n"
        "time.sleep(300)\n"
    )
    api.create(job("graceful", [sys.executable, "-c", program], pod={"terminationGracePeriodSeconds": 60}))
    [pod] = running(api, "graceful")
    wait_until(lambda: "ready" in api.log(pod.metadata.name))
    api.delete("graceful", propagation_policy="Background")
    wait_until(lambda: not fake_cluster.pods())
    assert (tmp_path / "saved").read_text() == "yes"


def test_pod_past_its_own_deadline_fails_with_a_reason(fake_cluster: FakeCluster, api: Client) -> None:
    """A deadline in the pod's spec runs from its start, not in a queue, and the pod stays to tell."""
    api.create(job("slow", SLEEP, pod={"activeDeadlineSeconds": 600}))
    running(api, "slow")
    fake_cluster.advance(600)
    assert conditions(ended(api, "slow"))[-1] == ("Failed", "True", "BackoffLimitExceeded")
    assert [pod.status.reason for pod in api.pods("slow")] == ["DeadlineExceeded"]


def test_node_short_of_memory_evicts(fake_cluster: FakeCluster, api: Client) -> None:
    """A disruption as well: ignored where the policy says so, and the pod is replaced."""
    api.create(job("pressed", SLEEP, podFailurePolicy={"rules": [IGNORE_DISRUPTION]}))
    [pod] = running(api, "pressed")
    fake_cluster.pressure(pod.metadata.name)
    wait_until(lambda: len(api.pods("pressed")) == 2)
    old = next(p for p in api.pods("pressed") if p.metadata.name == pod.metadata.name)
    assert (old.status.phase, old.status.reason) == ("Failed", "Evicted")
    assert ("DisruptionTarget", "True", "TerminationByKubelet") in conditions(old)
