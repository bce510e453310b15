"""The launcher on a cluster, end to end: what Dagster sees, what is left behind, and that no step is lost or repeated."""

import json
from pathlib import Path

import pytest

from tests.kubernetes.fake import FakeCluster
from tests.kubernetes.running import Place, materialize, steps_done, write_profile


@pytest.fixture
def place(fake_cluster: FakeCluster, tmp_path: Path) -> Place:
    store = tmp_path / "store"
    store.mkdir()
    return Place(write_profile(tmp_path / "profile.yaml", store), fake_cluster.kubeconfig, store)


def test_two_nodes_run_it_and_everything_is_seen(place: Place, fake_cluster: FakeCluster) -> None:
    job = place.job()
    outcome = materialize(place, job)
    assert outcome.success, (outcome.error, outcome.log)
    assert outcome.value == {"steps": 6}
    assert json.loads((Path(job.output) / "model.json").read_text()) == {str(r): [str(s) for s in range(6)] for r in range(2)}
    assert [steps_done(job, rank) for rank in range(2)] == [list(range(6))] * 2
    print("\n".join(outcome.log)); print(outcome.metadata)
