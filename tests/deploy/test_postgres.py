"""Dagster and MLflow over a real Postgres, with the settings of deploy/, and what a backup brings back.

The commands of the backup are those of docs/deployment.md: they are read there and run here.
"""

import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import dagster as dg
import pytest
import yaml
from dagster_k8s import K8sRunLauncher
from dagster_postgres.event_log import PostgresEventLogStorage
from kubernetes.config import incluster_config

from lifecycle.artifacts import Published, Store
from lifecycle.tracking.lineage import lineage
from lifecycle.tracking.registry import find_version
from lifecycle.tracking.rendering import render_json
from tests.deploy.postgres import Postgres, postgres, programs
from tests.tracking.chain import make_all, small_recipe
from tests.tracking.server import Server
from tests.tracking.test_registry_and_lineage import GOOD, promote_made, record_all

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes" / "dagster.yaml"
DOCUMENT = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
POOL = "accelerator"
ROLES = {"dagster": "first-secret", "mlflow": "second-secret"}


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    """One server for this file."""
    bin = programs()
    if bin is None:
        pytest.skip("no Postgres here (Debian: apt-get install postgresql)")
    with postgres(bin, ROLES) as server:
        yield server


def instance_over(database: Postgres, settings: Path, home: Path, patch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """Dagster's instance as its own programs load it from these settings."""
    home.mkdir()
    shutil.copyfile(settings, home / "dagster.yaml")
    told = {"HOST": database.host, "DB": "dagster", "USERNAME": "dagster", "PASSWORD": ROLES["dagster"]}
    for name, value in told.items():
        patch.setenv(f"DAGSTER_PG_{name}", value)
    patch.setenv("DAGSTER_FILES", str(home / "files"))
    return dg.DagsterInstance.from_config(str(home))


@dg.asset(pool=POOL)
def trained(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Asks for a second slot of its pool while it holds the first."""
    other = context.instance.event_log_storage.claim_concurrency_slot(POOL, "another-run", "another-step")
    return dg.MaterializeResult(metadata={"second_slot": other.is_claimed}, data_version=dg.DataVersion("abc"))


def latest(instance: dg.DagsterInstance) -> dg.AssetMaterialization | None:
    """What the event log says of the asset."""
    event = instance.get_latest_materialization_event(trained.key)
    return event.asset_materialization if event else None


def run_dagster(instance: dg.DagsterInstance) -> None:
    """Materialize, with the pool's limit."""
    assert dg.materialize([trained], instance=instance).success
    found = latest(instance)
    assert found is not None
    assert found.metadata["second_slot"].value is False, "the pool has one slot, and this step held it"
    storage = instance.event_log_storage
    storage.free_concurrency_slots_for_run("another-run")
    assert storage.get_concurrency_info(POOL).active_slot_count == 0


def mlflow_server(database: Postgres, directory: Path) -> Server:
    """The service `mlflow` of compose.yaml, as far as it is not the container's: other address, files in a directory."""
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    told: dict[str, str] = compose["services"]["mlflow"]["environment"]
    uri = re.sub(r"\$\{MLFLOW_DB_PASSWORD:[^}]*\}", ROLES["mlflow"], told["MLFLOW_BACKEND_STORE_URI"])
    return Server(
        directory,
        told
        | {
            "MLFLOW_HOST": database.host,
            "MLFLOW_BACKEND_STORE_URI": uri.replace("@mlflow-db:", f"@{database.host}:"),
            "MLFLOW_ARTIFACTS_DESTINATION": str(directory / "artifacts"),
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"{told['MLFLOW_SERVER_ALLOWED_HOSTS']},{database.host}:*",
        },
    )


def status(server: Server, host: str) -> int:
    """How the server answers a request that was sent under this name."""
    asked = urllib.request.Request(f"{server.uri}/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"Host": host})
    try:
        with urllib.request.urlopen(asked, timeout=30) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def commands(heading: str) -> list[tuple[str, str]]:
    """The commands beside a database under a heading of the document: (role, command without what reaches the container)."""
    section = DOCUMENT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^docker compose exec -T (\w+)-db (.+)$", section, re.MULTILINE)


def facts(uri: str) -> dict[str, Any]:
    """What people ask the registry."""
    champion = find_version(uri, "small_dpo@champion")
    return {"champion": champion, "lineage": render_json(lineage(uri, "small_dpo@champion"))}


def test_registry_and_event_log_come_back_from_their_backup(
    database: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DEPLOY / "compose" / "dagster.yaml"
    instance = instance_over(database, settings, tmp_path / "before", monkeypatch)
    run_dagster(instance)
    server, store = mlflow_server(database, tmp_path), Store(tmp_path / "store")
    server.start()
    try:
        assert (status(server, "mlflow:5000"), status(server, "elsewhere:5000")) == (200, 403)
        model = register(server.uri, store, tmp_path)
        before = facts(server.uri)
        assert before["champion"].digest == model
        instance.dispose()
        for role, command in commands("Backup"):
            database.run(role, command, tmp_path)
        destroy(database, tmp_path)
        for role, command in commands("Restore"):
            database.run(role, command, tmp_path)
        assert facts(server.uri) == before
    finally:
        server.stop()
    with instance_over(database, settings, tmp_path / "after", monkeypatch) as again:
        found = latest(again)
        assert found is not None
        assert found.tags is not None
        assert found.tags["dagster/data_version"] == "abc"
        assert [run.status for run in again.get_runs()] == [dg.DagsterRunStatus.SUCCESS]
        run_dagster(again)


def register(uri: str, store: Store, directory: Path) -> str:
    """A small life with a champion at the end; returns its digest."""
    made = make_all(small_recipe(directory), store)
    record_all(uri, store, made)
    model = made["dpo_model"]
    assert isinstance(model, Published)
    assert promote_made(uri, store, model, GOOD).moved
    return model.artifact.digest


def destroy(database: Postgres, directory: Path) -> None:
    """Lose everything that both databases hold."""
    for role in ROLES:
        database.run(
            role, f"psql --quiet --dbname {role} --command 'DROP SCHEMA public CASCADE; CREATE SCHEMA public'", directory
        )


def test_the_backup_takes_both_databases() -> None:
    """A page whose commands the pattern above does not find would be tested by nobody."""
    for heading in ("Backup", "Restore"):
        assert {role for role, _ in commands(heading)} == set(ROLES)
    assert all("pg_dump" in command for _, command in commands("Backup"))
    assert sum("pg_restore" in command for _, command in commands("Restore")) == len(ROLES)


def test_a_cluster_has_the_same_storage_and_takes_lost_runs_up_again(
    database: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kubernetes/dagster.yaml through the instance's own loader, in a process that finds what a pod would find."""
    (tmp_path / "token").write_text("token", encoding="utf-8")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", certifi.where())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    for variable in yaml.safe_load((KUBERNETES).read_text(encoding="utf-8"))["run_launcher"]["config"]["env_vars"]:
        monkeypatch.setenv(variable, "x")
    with instance_over(database, KUBERNETES, tmp_path / "home", monkeypatch) as instance:
        assert isinstance(instance.event_log_storage, PostgresEventLogStorage)
        assert isinstance(instance.run_launcher, K8sRunLauncher)
        assert instance.run_launcher.supports_resume_run
        assert instance.run_monitoring_max_resume_run_attempts == 3
