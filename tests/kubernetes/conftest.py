"""The fake cluster as a fixture."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.fake import FakeCluster, Image
from tests.kubernetes.running import Place, write_profile


@pytest.fixture
def fake_cluster(tmp_path: Path) -> Iterator[FakeCluster]:
    """A cluster of three nodes without GPUs that can pull `lifecycle:test`; see `tests.kubernetes.fake`."""
    cluster = FakeCluster(tmp_path / "cluster")
    cluster.images["lifecycle:test"] = Image()
    yield cluster
    cluster.close()
    assert not cluster.errors, cluster.errors[0]


@pytest.fixture
def place(fake_cluster: FakeCluster, tmp_path: Path) -> Place:
    """Where the launcher's tests run their jobs."""
    store = tmp_path / "store"
    store.mkdir()
    return Place(write_profile(tmp_path / "profile.yaml", store), fake_cluster.kubeconfig, store)
