"""What is asked of a cluster, as files that a person can read, and what the published schema says of it."""

import json
import os
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.errors import RecipeError
from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ExitClass
from resources.launchers.kubernetes import manifests
from resources.launchers.kubernetes.manifests import Launch, Manifest
from resources.launchers.kubernetes.profile import ClusterProfile, load_profile

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
PROFILES = sorted((HERE.parents[1] / "deploy" / "kubernetes").glob("profile-*.yaml"))
SCHEMA = "1.32"
MINIMAL: dict[str, Any] = {
    "image": "i:1",
    "namespace": "n",
    "cpu": "1",
    "memory": "1Gi",
    "volumes": [{"kind": "host_path", "name": "store", "mount_path": "/store", "path": "/data/store"}],
}


def launch_of(profile: ClusterProfile, processes: int, avoid: tuple[str, ...] = ()) -> Launch:
    job = TrainingJob(
        stage="base_model",
        fingerprint="f" * 32,
        program="lifecycle.training.causal",
        config={"kind": "pretrain"},
        inputs={"memmap": "/store/pretrain_memmap/abc"},
        output="/store/.runs/ff/kubernetes/0/output",
        run_dir="/store/.runs/ff",
        processes=processes,
        nodes=profile.nodes_for(processes),
    )
    key = "0123456789abcdef" * 2
    return Launch(job, manifests.job_name(job.stage, key, 0), key, 0, "run-1", {"DAGSTER_PIPES_CONTEXT": "c"}, avoid)


def everything(launch: Launch, profile: ClusterProfile) -> list[Manifest]:
    owner = {"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}}
    made = [manifests.job_manifest(launch, profile), manifests.config_map_manifest(launch, profile, owner)]
    made += [manifests.service_manifest(launch, profile, owner)] if launch.job.nodes > 1 else []
    return made + manifests.claim_manifests(profile)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("processes", [1, 16])
def test_manifests_are_those_that_were_read_and_are_valid(path: Path, processes: int) -> None:
    """LIFECYCLE_WRITE_GOLDEN=1 writes them anew: read the difference before committing it."""
    profile = load_profile(path)
    made = everything(launch_of(profile, processes, ("node-7",)), profile)
    for each in made:
        kubernetes_validate.validate(each, SCHEMA, strict=True)
    golden = GOLDEN / f"{path.stem}-{processes}.yaml"
    text = yaml.safe_dump_all(made, sort_keys=False, width=120)
    if os.environ.get("LIFECYCLE_WRITE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_exit_codes_that_no_retry_mends_end_the_job_at_once() -> None:
    job = manifests.job_manifest(launch_of(ClusterProfile(**MINIMAL), 1), ClusterProfile(**MINIMAL))
    values = job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    assert {cause for cause in ExitClass if cause.code in values} == {
        ExitClass.CONFIGURATION,
        ExitClass.DATA,
        ExitClass.NUMERICS,
    }
    assert not any(cause.retryable for cause in ExitClass if cause.code in values)


def test_volumes_are_never_owned_and_everything_else_is() -> None:
    claim = {"kind": "pvc", "name": "store", "mount_path": "/store", "claim": "store", "create": {"size": "1Ti"}}
    profile = ClusterProfile(**MINIMAL | {"volumes": [claim]})
    for each in everything(launch_of(profile, 2), profile):
        owned = "ownerReferences" in each["metadata"]
        assert owned == (each["kind"] in ("ConfigMap", "Service")), each["kind"]


@given(
    stage=st.text(min_size=1, max_size=80),
    attempt=st.integers(0, 9999),
    processes=st.integers(1, 64).flatmap(lambda n: st.sampled_from([n, 8 * n])),
)
def test_names_fit_and_ranks_are_shared_by_whole_nodes(stage: str, attempt: int, processes: int) -> None:
    """63 characters are allowed, and a pod's name adds its index and a suffix."""
    name = manifests.job_name(stage or "x", "0123456789abcdef", attempt)
    assert len(name) <= 50
    profile = ClusterProfile(**MINIMAL | {"gpus": {"per_node": 8}})
    if processes > 8 and processes % 8:
        with pytest.raises(RecipeError, match="whole nodes of 8"):
            profile.nodes_for(processes)
    else:
        nodes = profile.nodes_for(processes)
        launch = launch_of(profile, processes)
        assert nodes * manifests.gpus_per_pod(launch.job, profile) == processes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"memory": "64GB"}, "memory"),
        ({"namespace": "a_b"}, "namespace"),
        ({"gpu": {"per_node": 8}}, "gpu: Extra inputs"),
        ({"volumes": MINIMAL["volumes"] * 2}, "same name"),
        ({"gpus": {"resource": "gpu", "per_node": 1}}, "gpus.resource"),
        ({"volumes": [{"kind": "pvc", "name": "store", "mount_path": "/store"}]}, "volumes.0.pvc.claim"),
    ],
)
def test_a_mistake_in_a_profile_names_file_and_field(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(yaml.safe_dump(MINIMAL | change), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_profile(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_job_in_the_config_map_is_the_job() -> None:
    profile = ClusterProfile(**MINIMAL)
    launch = launch_of(profile, 1)
    data = manifests.config_map_manifest(launch, profile, {"metadata": {"uid": "u"}})["data"]
    assert TrainingJob.model_validate(json.loads(data["job.json"])) == launch.job
