"""The client beside faults that the launcher's own tests do not wait for."""

import threading
from pathlib import Path
from typing import Any

import pytest

from lifecycle.errors import JobFailedError
from resources.launchers.kubernetes.client import Cluster, connect
from resources.launchers.kubernetes.manifests import Manifest, job_manifest
from resources.launchers.kubernetes.observer import Observer
from resources.launchers.kubernetes.profile import load_profile
from tests.kubernetes.fake import FakeCluster
from tests.kubernetes.running import Place, wait_until
from tests.kubernetes.test_manifests import PROFILES, launch_of
from tests.patience import PATIENCE


@pytest.fixture
def cluster(fake_cluster: FakeCluster) -> Cluster:
    return connect("default", str(fake_cluster.kubeconfig), patience=PATIENCE)


def suspended(place: Place, cluster: Cluster) -> Manifest:
    profile = load_profile(place.profile)
    return cluster.create_job(job_manifest(launch_of(profile, 1), profile))[0]


def test_a_watch_goes_on_after_cuts_and_forgotten_history(place: Place, cluster: Cluster, fake_cluster: FakeCluster) -> None:
    fake_cluster.faults.cut_watches_every = 0.2
    seen: list[tuple[Any, bool]] = []
    stop = threading.Event()

    def remember(item: Manifest, gone: bool) -> None:
        seen.append((item["metadata"]["labels"].get("round"), gone))

    job = suspended(place, cluster)["metadata"]
    threading.Thread(target=cluster.follow_jobs, args=("", remember, stop), daemon=True).start()
    for turn in ("1", "2", "3"):
        cluster.batch.patch_namespaced_job(job["name"], "default", {"metadata": {"labels": {"round": turn}}})
        wait_until(lambda turn=turn: (turn, False) in seen, f"round {turn}")
        fake_cluster.forget_history()
    cluster.delete_job(job["name"], job["uid"])
    wait_until(lambda: seen[-1][1], "the deletion")
    stop.set()


def test_a_right_that_is_taken_away_ends_the_wait(
    place: Place, cluster: Cluster, fake_cluster: FakeCluster, tmp_path: Path
) -> None:
    """A watch that failed in its thread unseen would leave the supervisor waiting for ever."""
    fake_cluster.faults.cut_watches_every = 0.2
    with Observer(cluster, suspended(place, cluster), tmp_path) as observer:
        for verb in ("list", "watch"):
            fake_cluster.access.deny(verb, "pods")
        wait_until(lambda: failed(observer), "the refusal")


def failed(observer: Observer) -> str:
    try:
        observer.wait(0.1)
    except JobFailedError as error:
        return str(error) if "403" in str(error) else ""
    return ""


def test_an_api_server_that_stays_away_is_a_network_failure(fake_cluster: FakeCluster) -> None:
    cluster = connect("default", str(fake_cluster.kubeconfig), patience=1)
    fake_cluster.away()
    with pytest.raises(JobFailedError, match="has not been reachable for 1 s") as caught:
        cluster.job("any")
    assert caught.value.exit_class == "network"


def test_deleting_takes_only_the_object_that_was_meant(place: Place, cluster: Cluster, fake_cluster: FakeCluster) -> None:
    """Another run may have made a new Job of the same name since."""
    job = suspended(place, cluster)["metadata"]
    cluster.delete_job(job["name"], "00000000-0000-0000-0000-000000000000")
    assert fake_cluster.jobs()
    cluster.delete_job(job["name"], job["uid"])
    cluster.delete_job(job["name"], job["uid"])
    wait_until(lambda: not fake_cluster.jobs(), "the deletion")


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_the_server_accepts_the_manifests_of_our_profiles(path: Path, cluster: Cluster, fake_cluster: FakeCluster) -> None:
    profile = load_profile(path)
    fake_cluster.add_namespace(profile.namespace)
    body = job_manifest(launch_of(profile, 16, ("node-7",)), profile)
    cluster.batch.create_namespaced_job(profile.namespace, body, dry_run="All", field_validation="Strict")
