"""The files of deploy/kubernetes: valid by the schemas of those who read them, and in agreement with the code."""

import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config_schema
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import UserDefinedDagsterK8sConfig

from resources.launchers.kubernetes.preflight import RIGHTS, TO_LOOK, TO_MAKE_CLAIMS
from tests.kubernetes.running import Place

DEPLOY = Path(__file__).parents[2] / "deploy" / "kubernetes"
INSTANCE = yaml.safe_load((DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))
VALUES = yaml.safe_load((DEPLOY / "dagster-values.yaml").read_text(encoding="utf-8"))
RBAC = list(yaml.safe_load_all((DEPLOY / "rbac.yaml").read_text(encoding="utf-8")))


def snake(value: Any) -> Any:
    """The chart's camelCase keys as Dagster's own."""
    if isinstance(value, dict):
        return {re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower(): snake(item) for key, item in value.items()}
    return value


def test_dagster_accepts_its_instance_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "USERNAME", "PASSWORD", "DB"):
        monkeypatch.setenv(f"DAGSTER_PG_{name}", "x")
    done = process_config(resolve_to_config_type(dagster_instance_config_schema()), INSTANCE)
    assert done.success, done.errors
    launcher = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), INSTANCE["run_launcher"]["config"])
    assert launcher.success, launcher.errors
    UserDefinedDagsterK8sConfig.from_dict(INSTANCE["run_launcher"]["config"]["run_k8s_config"])


def test_the_charts_values_say_the_same() -> None:
    """They reach the same two files by different ways; the chart itself is not rendered here."""
    assert snake(VALUES["dagsterDaemon"]["runMonitoring"]) == INSTANCE["run_monitoring"]
    assert snake(VALUES["concurrency"]["pools"]) == INSTANCE["concurrency"]["pools"]
    chosen = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    assert snake(chosen["runK8sConfig"]) == INSTANCE["run_launcher"]["config"]["run_k8s_config"]
    assert chosen["jobNamespace"] == INSTANCE["run_launcher"]["config"]["job_namespace"]
    deployment = VALUES["dagster-user-deployments"]["deployments"][0]
    assert [each["name"] for each in deployment["env"]] == INSTANCE["run_launcher"]["config"]["env_vars"]
    pod = {"containers": [{"name": "x", "image": "x", "volumeMounts": deployment["volumeMounts"], "env": deployment["env"]}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod | {"volumes": deployment["volumes"]}}
    kubernetes_validate.validate(body, "1.32", strict=True)


def test_a_run_that_is_lost_is_resumed_and_cancelled_steps_have_time() -> None:
    """Without it a lost run pod ends the run, although the training goes on."""
    assert INSTANCE["run_monitoring"]["max_resume_run_attempts"] > 0
    assert INSTANCE["run_monitoring"]["free_slots_after_run_end_seconds"] > 0


@pytest.mark.parametrize("body", RBAC, ids=lambda body: f"{body['kind']}-{body['metadata']['name']}")
def test_objects_are_valid(body: dict[str, Any]) -> None:
    kubernetes_validate.validate(body, "1.32", strict=True)


def test_the_roles_grant_every_right_that_the_code_uses() -> None:
    rules = [rule for body in RBAC if body["kind"] in ("Role", "ClusterRole") for rule in body["rules"]]
    granted = {right for rule in rules for right in product(rule["apiGroups"], rule["resources"], rule["verbs"])}
    looked_at = {(group, resource, verb) for group, resource, verb, _ in TO_LOOK}
    assert {*RIGHTS, *TO_MAKE_CLAIMS, *looked_at} <= granted


def test_inside_a_cluster_steps_are_jobs_owned_by_their_run(place: Place, tmp_path: Path) -> None:
    program = (
        "from assets.definitions import defs; from resources.launchers.base import Launcher;"
        "print(defs.executor.name, type(defs.resources['launcher']).__name__, [s.name for s in defs.schedules])"
    )
    told = {"LIFECYCLE_HOME": str(tmp_path), "LIFECYCLE_CLUSTER": str(place.profile), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "k8s KubernetesLauncher ['reap_orphans_schedule']"
