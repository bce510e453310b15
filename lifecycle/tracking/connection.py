"""One MLflow client, with time-outs short enough that a missing server costs seconds."""

import logging
import os
from pathlib import Path

from mlflow import MlflowClient

from lifecycle.errors import LifecycleError
from lifecycle.tracking.runs import SQLITE

SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Read by mlflow at every request; its own defaults wait for minutes. What the environment says already stands."""


def connect(tracking_uri: str, create: bool = True) -> MlflowClient:
    """A client of a server or database that answers.

    Args:
        create: make a SQLite database that does not exist; whoever only reads leaves the disk as it is.

    Raises:
        LifecycleError: the address cannot be used, or nothing answers there.
    """
    for variable, value in SETTINGS.items():
        os.environ.setdefault(variable, value)
    if tracking_uri.startswith(SQLITE):
        database = Path(tracking_uri.removeprefix(SQLITE))
        if not create and not database.exists():
            raise LifecycleError(f"nothing has been recorded yet: {database} does not exist; `lifecycle run` makes it")
        database.parent.mkdir(parents=True, exist_ok=True)
    elif tracking_uri.startswith(("file:", "/", ".")):
        raise LifecycleError(
            f"tracking URI {tracking_uri!r}: MLflow's file store has no registry; use sqlite:///PATH or a server"
        )
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)  # each migration of a fresh database is otherwise one line
    try:
        client = MlflowClient(tracking_uri, registry_uri=tracking_uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        raise LifecycleError(f"MLflow at {tracking_uri} does not answer: {error}") from error
    return client


def experiment_of(client: MlflowClient, name: str) -> str:
    """The id of the experiment `name`, created when it does not exist.

    With SQLite its files go beside the database: MLflow's own default is the process's working directory.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return found.experiment_id
    uri = client.tracking_uri
    if not uri.startswith(SQLITE):
        return client.create_experiment(name)
    location = Path(uri.removeprefix(SQLITE)).resolve().parent / "mlflow-artifacts" / name
    return client.create_experiment(name, artifact_location=location.as_uri())
