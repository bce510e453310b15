"""The fake cluster as a fixture."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.launchers.kubernetes.client import connect
from resources.launchers.kubernetes.profile import load_profile
from tests.kubernetes import workloads
from tests.kubernetes.fake import FakeCluster, Image
from tests.kubernetes.running import CODE, REAL, Place, View, write_profile
from tests.patience import PATIENCE


@pytest.fixture
def fake_cluster(tmp_path: Path) -> Iterator[FakeCluster]:
    """A cluster of three nodes without GPUs that can pull `lifecycle:test`; see `tests.kubernetes.fake`."""
    cluster = FakeCluster(tmp_path / "cluster")
    cluster.images["lifecycle:test"] = Image()
    yield cluster
    cluster.close()
    assert not cluster.errors, cluster.errors[0]


@pytest.fixture
def api(fake_cluster: FakeCluster) -> workloads.Client:
    """The raw API of the fake cluster."""
    return workloads.connect(fake_cluster)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where the launcher's tests run their jobs: a real cluster where one is named, the fake one elsewhere."""
    if not REAL:
        store = tmp_path / "store"
        store.mkdir()
        kubeconfig = request.getfixturevalue("fake_cluster").kubeconfig
        yield Place(write_profile(tmp_path / "profile.yaml", store), kubeconfig, store)
        return
    if "fake_cluster" in request.fixturenames:
        pytest.skip("only the fake cluster can be broken in this way")
    missing = [name for name in ("LIFECYCLE_TEST_STORE", "LIFECYCLE_TEST_IMAGE") if not os.environ.get(name)]
    if missing:
        pytest.skip(f"a real cluster is named, but not {' and '.join(missing)} (docs/kubernetes.md)")
    store = Path(os.environ["LIFECYCLE_TEST_STORE"]) / uuid.uuid4().hex[:8]
    for package in ("lifecycle", "tests"):
        source, target = Path(__file__).parents[2] / package, store / CODE / package
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    yield Place(write_profile(tmp_path / "profile.yaml", store), Path(REAL), store)
    shutil.rmtree(store, ignore_errors=True)


@pytest.fixture
def view(place: Place) -> Iterator[View]:
    """The cluster of `place` through its API; nothing of ours is left in a real one."""
    found = View(connect(load_profile(place.profile).namespace, str(place.kubeconfig), patience=PATIENCE))
    yield found
    if REAL:
        found.clear()
