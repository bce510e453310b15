"""The real causal program under DeepSpeed on two nodes: interrupted, and still the model that one machine makes."""

import json
from pathlib import Path

from lifecycle.jobs import TrainingJob
from lifecycle.manifest import content_digest, scan
from tests.kubernetes.fake import FakeCluster
from tests.kubernetes.running import Place, begin, wait_until, write_profile
from tests.training import tiny


def digest(job: TrainingJob) -> str:
    return content_digest(scan(Path(job.output)))


def test_two_nodes_and_an_eviction_make_the_model_of_one_machine(
    fake_cluster: FakeCluster, place: Place, tmp_path: Path
) -> None:
    tokenizer = tiny.make_tokenizer(tmp_path / "tokenizer")
    inputs = {"memmap": tiny.make_memmap(tmp_path / "memmap", tokenizer), "tokenizer": tokenizer}
    settings = {"processes": 2, "steps": 8, "checkpoint_every": 2, "micro_batch": 1}
    local = tiny.make_job(tmp_path / "local", inputs, **settings)
    output, _ = tiny.launch(local).communicate(timeout=120)
    assert (Path(local.run_dir) / "result.json").exists(), output
    volume = {"kind": "host_path", "name": "store", "mount_path": str(tmp_path), "path": str(tmp_path)}
    write_profile(place.profile, tmp_path, volumes=[volume], network={"variables": {"GLOO_SOCKET_IFNAME": "lo"}})
    job = tiny.make_job(tmp_path / "cluster-run", inputs, **settings)
    present = begin(place, job)
    checkpoints = Path(job.run_dir) / "checkpoints"
    wait_until(lambda: list(checkpoints.glob("step_[246]")), "a checkpoint", 120)
    fake_cluster.evict(next(pod["metadata"]["name"] for pod in fake_cluster.pods() if "-0-1-" in pod["metadata"]["name"]))
    outcome = present.outcome()
    assert outcome.success, (outcome.error, outcome.log)
    assert digest(job) == digest(local)
    assert json.loads((Path(job.run_dir) / "result.json").read_text())["processes"] == 2
    assert [entry["spec"]["completions"] for entry in fake_cluster.jobs()] == [2] * len(fake_cluster.jobs())
