"""The fake cluster as a fixture."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.fake import FakeCluster, Image


@pytest.fixture
def fake_cluster(tmp_path: Path) -> Iterator[FakeCluster]:
    """A cluster of three nodes without GPUs that can pull `lifecycle:test`; see `tests.kubernetes.fake`."""
    cluster = FakeCluster(tmp_path / "cluster")
    cluster.images["lifecycle:test"] = Image()
    yield cluster
    cluster.close()
    assert not cluster.errors, cluster.errors[0]
