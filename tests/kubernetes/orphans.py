"""A job in a cluster whose supervisor is gone, without the seconds that starting and killing one would take."""

from pathlib import Path

from dagster_pipes import (
    DAGSTER_PIPES_CONTEXT_ENV_VAR,
    DAGSTER_PIPES_MESSAGES_ENV_VAR,
    PipesDefaultMessageWriter,
    encode_param,
)

from lifecycle.jobs import TrainingJob
from resources.launchers.kubernetes.assembly import assemble
from resources.launchers.kubernetes.attempts import Attempts
from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.manifests import Launch, job_name
from resources.launchers.kubernetes.messages import MESSAGES
from resources.launchers.kubernetes.outcome import output_folder
from resources.launchers.kubernetes.profile import load_profile
from resources.launchers.kubernetes.record import LaunchRecord, attempt_folder
from tests.kubernetes.running import Place

ASSET = "trained"
RUN = "run-of-the-dead"


def leave_behind(place: Place, cluster: Cluster, job: TrainingJob) -> LaunchRecord:
    """Start the first attempt at `job` as a supervisor does that dies right after, and return its record."""
    profile, run_dir = load_profile(place.profile), Path(job.run_dir)
    key = Attempts(job, profile, ASSET, None, RUN).key
    name, home = job_name(job.stage, key, 0), attempt_folder(run_dir, 0)
    output = str(output_folder(run_dir, 0))
    job = job.model_copy(update={"nodes": profile.nodes_for(job.processes), "output": output})
    record = LaunchRecord(
        name=name,
        namespace=profile.namespace,
        key=key,
        attempt=0,
        stage=job.stage,
        fingerprint=job.fingerprint,
        asset=ASSET,
        partition=None,
        dagster_run=RUN,
        nodes=job.nodes,
        gpus=0,
        state="released",
    )
    record.write(run_dir)
    assemble(cluster, Launch(job, name, key, 0, RUN, variables(home)), profile)
    return record


def variables(home: Path) -> dict[str, str]:
    """What a Pipes session would pass on."""
    context = {"asset_keys": [ASSET], "run_id": RUN, "retry_number": 0, "extras": {}, "job_name": None}
    context |= {"code_version_by_asset_key": {ASSET: None}, "provenance_by_asset_key": {ASSET: None}}
    context |= {"partition_key": None, "partition_key_range": None, "partition_time_window": None}
    return {
        DAGSTER_PIPES_CONTEXT_ENV_VAR: encode_param({"data": context}),
        DAGSTER_PIPES_MESSAGES_ENV_VAR: encode_param({PipesDefaultMessageWriter.FILE_PATH_KEY: str(home / MESSAGES)}),
    }
