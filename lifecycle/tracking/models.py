"""Models by reference: MLflow knows where each is, what it was made from and which version it is; weights stay in the store.

Registered models are `<recipe>_base`, `<recipe>_sft` and `<recipe>_dpo`, and where a recipe asks for them `<recipe>_kto`
and `<recipe>_reward`; the models of all rounds of DPO are versions of one. The alias `candidate` is the version that was
recorded last.
"""

import re
from urllib.parse import urlparse

from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_IS_EXTERNAL

from lifecycle.artifacts import Artifact, Manifest
from lifecycle.tracking.cards import fitting
from lifecycle.tracking.runs import SQLITE

_MODEL_STAGE = re.compile(r"(base|sft|dpo|kto|reward)_model(_r\d+)?")
CANDIDATE = "candidate"


def is_model(stage: str) -> bool:
    """Whether the artifact of this stage is a model."""
    return _MODEL_STAGE.fullmatch(stage) is not None


def registered_name(recipe_name: str, stage: str) -> str:
    """The registered model of this recipe's stage, e.g. `demo_dpo`."""
    return f"{recipe_name}_{stage.partition('_')[0]}"


def find_run(client: MlflowClient, fingerprint: str, digest: str) -> Run | None:
    """The newest run, of any experiment, that made exactly this artifact."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    query = f"tags.`lifecycle.fingerprint` = '{fingerprint}' and tags.`lifecycle.digest` = '{digest}'"
    runs = client.search_runs(experiments, query, max_results=1, order_by=["attributes.start_time DESC"])
    return client.get_run(runs[0].info.run_id) if runs else None  # a search leaves out the model inputs


def model_id_of(run: Run) -> str | None:
    """The logged model that this run made."""
    outputs = run.outputs.model_outputs if run.outputs else []
    return outputs[0].model_id if outputs else None


def register_model(
    client: MlflowClient, run: Run, artifact: Artifact, manifest: Manifest, recipe_name: str, card: str
) -> ModelVersion:
    """Make sure that the run's model is a logged model and one version, and let `candidate` point to it.

    There is one version per (fingerprint, digest): making the same model again gives the same version.
    """
    name = registered_name(recipe_name, manifest.stage)
    tags = {key: value for key, value in run.data.tags.items() if key.startswith("lifecycle.")}
    model_id = model_id_of(run) or _log_model(client, run, name, tags)
    _ensure_registered(client, name, recipe_name, tags.get("lifecycle.description", ""))
    version = find_made_version(client, name, artifact.fingerprint, artifact.digest)
    if version is None:
        takes_paths = client.tracking_uri.startswith(SQLITE) or urlparse(artifact.uri).scheme not in ("", "file")
        version = client.create_model_version(
            name,
            # A server refuses paths of its clients' disks: there the source is the logged model, and a tag has the path.
            source=artifact.uri if takes_paths else f"models:/{model_id}",
            model_id=None if takes_paths else model_id,
            run_id=run.info.run_id,
            tags=tags | {"lifecycle.model_id": model_id},
            description=fitting(card),
        )
    client.set_registered_model_alias(name, CANDIDATE, str(version.version))
    return version


def find_made_version(client: MlflowClient, name: str, fingerprint: str, digest: str) -> ModelVersion | None:
    """The version of `name` that is exactly this artifact."""
    versions = client.search_model_versions(f"name = '{name}' and tags.`lifecycle.fingerprint` = '{fingerprint}'")
    return next((version for version in versions if version.tags.get("lifecycle.digest") == digest), None)


def _log_model(client: MlflowClient, run: Run, name: str, tags: dict[str, str]) -> str:
    model = client.create_logged_model(
        run.info.experiment_id,
        name=name,
        source_run_id=run.info.run_id,
        tags=tags | {MLFLOW_MODEL_IS_EXTERNAL: "true"},
        model_type="transformers",
    )
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model.model_id


def _ensure_registered(client: MlflowClient, name: str, recipe_name: str, description: str) -> None:
    try:
        client.create_registered_model(name, tags={"lifecycle.recipe": recipe_name}, description=description)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
