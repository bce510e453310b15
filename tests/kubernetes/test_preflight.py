"""`lifecycle doctor --cluster`: what would go wrong is said before anything is asked of the cluster."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from resources.launchers.kubernetes.client import Cluster, connect
from resources.launchers.kubernetes.preflight import RIGHTS, Finding, look, reachable
from resources.launchers.kubernetes.probe import probe
from resources.launchers.kubernetes.profile import load_profile
from resources.launchers.kubernetes.quantities import amount
from tests.kubernetes.fake import FakeCluster
from tests.kubernetes.running import Place, write_profile
from tests.patience import PATIENCE


@pytest.fixture
def cluster(fake_cluster: FakeCluster) -> Cluster:
    return connect("default", str(fake_cluster.kubeconfig), patience=PATIENCE)


def found(cluster: Cluster, place: Place, processes: int = 2, **changes: Any) -> dict[str, Finding]:
    profile = load_profile(write_profile(place.profile, place.store, **changes))
    return {finding.what: finding for finding in look(cluster, profile, processes)}


def test_a_good_cluster_is_good(cluster: Cluster, place: Place) -> None:
    assert reachable(cluster).good
    assert {name: finding.good for name, finding in found(cluster, place).items()} == {
        "rights": True,
        "quota": True,
        "nodes": True,
        "image": None,
    }


@pytest.mark.parametrize(("group", "resource", "verb"), RIGHTS)
def test_every_right_that_is_missing_is_named(
    cluster: Cluster, fake_cluster: FakeCluster, place: Place, group: str, resource: str, verb: str
) -> None:
    fake_cluster.access.deny(verb, resource)
    finding = found(cluster, place)["rights"]
    assert finding.good is False
    assert f"{verb} {resource}" in finding.detail


def test_what_cannot_be_seen_is_unknown_and_not_bad(cluster: Cluster, fake_cluster: FakeCluster, place: Place) -> None:
    fake_cluster.access.deny("list", "nodes")
    fake_cluster.access.deny("list", "resourcequotas")
    findings = found(cluster, place)
    assert (findings["nodes"].good, findings["quota"].good) == (None, None)


def test_gpus_that_no_node_has(cluster: Cluster, fake_cluster: FakeCluster, place: Place) -> None:
    gpus = {"per_node": 8}
    assert found(cluster, place, 16, gpus=gpus)["nodes"].good is False
    for node in fake_cluster.nodes[:2]:
        fake_cluster.set_gpus(node, 8)
    finding = found(cluster, place, 16, gpus=gpus)["nodes"]
    assert finding.good
    assert "2 of 3 nodes can hold a pod" in finding.detail
    assert "8 nvidia.com/gpu" in finding.detail


def test_taints_and_labels_decide_which_nodes_count(cluster: Cluster, fake_cluster: FakeCluster, place: Place) -> None:
    taint = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    fake_cluster.add_node("special", labels={"pool": "train"}, taints=[taint])
    choose = {"node_selector": {"pool": "train"}}
    assert found(cluster, place, 1, **choose)["nodes"].good is False
    assert found(cluster, place, 1, **choose, tolerations=[{"key": "gpu"}])["nodes"].good
    assert found(cluster, place, 1, **choose, tolerations=[{"key": "gpu", "value": "no"}])["nodes"].good is False


def test_a_claim_that_is_missing_or_not_bound(
    cluster: Cluster, fake_cluster: FakeCluster, place: Place, tmp_path: Path
) -> None:
    volume = {"kind": "pvc", "name": "store", "mount_path": str(place.store), "claim": "store"}
    assert found(cluster, place, volumes=[volume])["volume store"].good is False
    fake_cluster.add_claim("waiting", tmp_path, phase="Pending")
    assert found(cluster, place, volumes=[volume | {"claim": "waiting"}])["volume store"].good is False
    fake_cluster.add_claim("store", tmp_path)
    assert found(cluster, place, volumes=[volume])["volume store"].good


def test_a_quota_that_is_too_small(cluster: Cluster, place: Place) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}}
    quota |= {"spec": {"hard": {"requests.memory": "300Mi"}}}
    cluster.core.create_namespaced_resource_quota("default", quota)
    status = {"status": {"hard": {"requests.memory": "300Mi"}, "used": {"requests.memory": "100Mi"}}}
    cluster.core.patch_namespaced_resource_quota_status("small", "default", status)
    finding = found(cluster, place, 2)["quota"]
    assert finding.good is False
    assert "requests.memory" in finding.detail


def test_the_probe_meets_over_two_nodes_and_leaves_nothing(
    cluster: Cluster, fake_cluster: FakeCluster, place: Place
) -> None:
    finding = probe(cluster, load_profile(place.profile), place.store, 2, 300)
    assert finding.good, finding.detail
    assert "ranks 2, device cpu" in finding.detail
    assert fake_cluster.jobs() == []


def test_a_probe_that_cannot_start_says_why_and_leaves_nothing(
    cluster: Cluster, fake_cluster: FakeCluster, place: Place
) -> None:
    profile = load_profile(write_profile(place.profile, place.store, image="nowhere:1"))
    finding = probe(cluster, profile, place.store, 1, 3)
    assert finding.good is False
    assert "nowhere:1" in finding.detail
    assert fake_cluster.jobs() == []


def test_the_command_ends_with_an_error_where_something_is_bad(
    fake_cluster: FakeCluster, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assets.cli import app

    monkeypatch.setenv("KUBECONFIG", str(fake_cluster.kubeconfig))
    command = ["doctor", "--cluster", "--profile", str(place.profile)]
    assert CliRunner().invoke(app, command).exit_code == 0
    fake_cluster.access.deny("delete", "jobs")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "delete jobs" in done.output


def test_doctor_says_of_this_machine_whether_its_cluster_answers(
    fake_cluster: FakeCluster, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assets.cluster import access

    monkeypatch.setenv("KUBECONFIG", str(fake_cluster.kubeconfig))
    found = access(str(place.profile))
    assert (found.state, found.found) == ("good", f"namespace {load_profile(place.profile).namespace}: API server answers")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    found = access(str(place.profile))
    assert found.state == "missing"
    assert "no usable access to a Kubernetes cluster" in found.found


@pytest.mark.parametrize(("text", "value"), [("500m", "0.5"), ("2", "2"), ("64Gi", str(64 * 2**30)), ("1.5k", "1500")])
def test_amounts(text: str, value: str) -> None:
    assert str(amount(text).normalize()) == str(amount(value).normalize())


@pytest.mark.parametrize("text", ["", "GB", "64GB", "1 Gi", "-1", "1,5"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Kubernetes quantity"):
        amount(text)
