"""The files of deploy/kubernetes: valid by the schemas of those who read them, and in agreement with the code."""

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config_schema
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job

from lifecycle.endpoint.variables import KEY, URL
from resources.launchers.kubernetes.preflight import RIGHTS, TO_LOOK, TO_MAKE_CLAIMS
from tests.kubernetes.fake import FakeCluster
from tests.kubernetes.raw import Reply, ask
from tests.kubernetes.running import Place

DEPLOY = Path(__file__).parents[2] / "deploy" / "kubernetes"
INSTANCE = yaml.safe_load((DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))
VALUES = yaml.safe_load((DEPLOY / "dagster-values.yaml").read_text(encoding="utf-8"))


def documents(name: str) -> list[dict[str, Any]]:
    """The objects of one file."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


RBAC = documents("rbac.yaml")
SERVERS = [*documents("volumes.yaml"), *documents("databases.yaml"), *documents("mlflow.yaml")]
OBJECTS = [*RBAC, *SERVERS]
PLURALS = {"Job": "jobs", "Pod": "pods", "Service": "services", "PersistentVolumeClaim": "persistentvolumeclaims"}


def snake(value: Any) -> Any:
    """The chart's camelCase keys as Dagster's own."""
    if isinstance(value, dict):
        return {re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower(): snake(item) for key, item in value.items()}
    if isinstance(value, list):
        return [snake(each) for each in value]
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
    assert snake(VALUES["retention"]) == {"enabled": True} | INSTANCE["retention"]
    assert VALUES["postgresql"]["postgresqlScheme"] == INSTANCE["storage"]["postgres"]["postgres_db"]["scheme"]
    chosen = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    assert snake(chosen["runK8sConfig"]) == INSTANCE["run_launcher"]["config"]["run_k8s_config"]
    assert chosen["jobNamespace"] == INSTANCE["run_launcher"]["config"]["job_namespace"]
    deployment = VALUES["dagster-user-deployments"]["deployments"][0]
    assert [each["name"] for each in deployment["env"] if "value" in each] == INSTANCE["run_launcher"]["config"]["env_vars"]
    pod = {"containers": [{"name": "x", "image": "x", "volumeMounts": deployment["volumeMounts"], "env": deployment["env"]}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod | {"volumes": deployment["volumes"]}}
    kubernetes_validate.validate(body, "1.32", strict=True)


def test_a_run_that_is_lost_is_resumed_and_cancelled_steps_have_time() -> None:
    """Without it a lost run pod ends the run, although the training goes on."""
    assert INSTANCE["run_monitoring"]["max_resume_run_attempts"] > 0
    assert INSTANCE["run_monitoring"]["free_slots_after_run_end_seconds"] > 0


def named(body: dict[str, Any]) -> str:
    """What pytest shows of an object."""
    return f"{body['kind']}-{body['metadata']['name']}"


@pytest.mark.parametrize("body", OBJECTS, ids=named)
def test_objects_are_valid(body: dict[str, Any]) -> None:
    kubernetes_validate.validate(body, "1.32", strict=True)


def pods(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pods that Jobs, Deployments and StatefulSets would make, as objects of their own."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": body["metadata"]["name"], "namespace": "lifecycle"}
            | body["spec"]["template"].get("metadata", {}),
            "spec": body["spec"]["template"]["spec"]
            | {"volumes": [*body["spec"]["template"]["spec"].get("volumes", []), *claimed(body)]},
        }
        for body in bodies
        if "template" in body.get("spec", {})
    ]


def claimed(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The volumes that a StatefulSet adds to its pods."""
    names = [claim["metadata"]["name"] for claim in body["spec"].get("volumeClaimTemplates", [])]
    return [{"name": name, "persistentVolumeClaim": {"claimName": f"{name}-0"}} for name in names]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeCluster]:
    """An API server with the recorded admission rules; dry runs leave nothing behind."""
    cluster = FakeCluster(tmp_path_factory.mktemp("deploy"), namespace="lifecycle")
    yield cluster
    cluster.close()
    assert not cluster.errors, cluster.errors[0]


ASKED = [body for body in [*SERVERS, *pods(SERVERS)] if body["kind"] in PLURALS]


def admit(cluster: FakeCluster, body: dict[str, Any]) -> Reply:
    """A strict dry run."""
    path = "/apis/batch/v1" if body["kind"] == "Job" else "/api/v1"
    where = f"{path}/namespaces/lifecycle/{PLURALS[body['kind']]}?dryRun=All&fieldValidation=Strict"
    return ask(cluster.host, "POST", where, body)


@pytest.mark.parametrize("body", ASKED, ids=named)
def test_a_server_takes_them(server: FakeCluster, body: dict[str, Any]) -> None:
    """A schema does not know that a mounted volume must be declared, or that a name is no name."""
    reply = admit(server, body)
    assert reply.status == 201, reply.body
    wrong = copy.deepcopy(body)
    wrong["metadata"]["name"] = "Not_A_Name"
    assert admit(server, wrong).status == 422


def test_servers_run_as_users_and_ask_nothing_of_the_cluster() -> None:
    for body in pods(documents("databases.yaml") + documents("mlflow.yaml")):
        spec = body["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["enableServiceLinks"] is False, "a Service called mlflow would set MLFLOW_PORT=tcp://…"
        for container in spec["containers"]:
            assert container["securityContext"] == container["securityContext"] | {"allowPrivilegeEscalation": False}
            assert "memory" in container["resources"]["limits"]
            assert container["readinessProbe"]


def test_services_policies_and_pods_find_each_other() -> None:
    """A selector that fits no pod is no error for a server: the address answers nothing, the policy guards nothing."""
    labels = [body["metadata"].get("labels", {}) for body in pods(SERVERS)]
    for body in SERVERS:
        wanted = {"Service": lambda spec: spec["selector"], "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"]}
        if body["kind"] in wanted:
            selector = wanted[body["kind"]](body["spec"])
            assert any(selector.items() <= each.items() for each in labels), named(body)
    ports = {body["metadata"]["name"]: body["spec"]["ports"][0]["port"] for body in SERVERS if body["kind"] == "Service"}
    told = json.dumps([pods(SERVERS), VALUES])
    assert {(name, int(port)) for name, port in re.findall(r"(?:@|http://)([a-z-]+):(\d+)", told)} <= set(ports.items())
    assert VALUES["postgresql"]["postgresqlHost"] in ports


def test_secrets_are_those_that_the_page_makes() -> None:
    """A pod that waits for a Secret of another name says so only to who describes it."""
    page = (DEPLOY.parents[1] / "docs" / "deployment.md").read_text(encoding="utf-8")
    commands = re.findall(r"create secret generic (\S+)((?: --from-literal=\S+)+)", page.replace("\\\n", ""))
    made = {(name, key) for name, literals in commands for key in re.findall(r"--from-literal=(\S+?)=", literals)}
    asked = {
        (variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"])
        for body in pods(SERVERS)
        for container in body["spec"]["containers"]
        for variable in container.get("env", [])
        if "valueFrom" in variable
    }
    steps = INSTANCE["run_launcher"]["config"]["run_k8s_config"]["container_config"]["env"]
    asked |= {(each["value_from"]["secret_key_ref"]["name"], each["value_from"]["secret_key_ref"]["key"]) for each in steps}
    servers = [each for each in VALUES["dagster-user-deployments"]["deployments"][0]["env"] if "valueFrom" in each]
    asked |= {(each["valueFrom"]["secretKeyRef"]["name"], each["valueFrom"]["secretKeyRef"]["key"]) for each in servers}
    assert asked == made
    assert VALUES["global"]["postgresqlSecretName"] in {name for name, _ in made}
    assert VALUES["generatePostgresqlPasswordSecret"] is False, "the chart's own has a password that everybody knows"


def test_the_endpoints_key_reaches_steps_and_stands_in_no_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps ask the language-model judge; of a variable named in env_vars Dagster writes the value into every pod."""
    monkeypatch.setenv(KEY, "s3cret")
    config = INSTANCE["run_launcher"]["config"]
    for name in config["env_vars"]:
        monkeypatch.setenv(name, "set")
    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(job_image="lifecycle:1", dagster_home="/opt/dagster", env_vars=config["env_vars"]),
        args=["dagster"],
        job_name="step",
        user_defined_k8s_config=UserDefinedDagsterK8sConfig.from_dict(config["run_k8s_config"]),
    )
    body = job.to_dict()
    given = {each["name"]: each for each in body["spec"]["template"]["spec"]["containers"][0]["env"]}
    for name, key in ((URL, "url"), (KEY, "key")):
        assert given[name]["value_from"]["secret_key_ref"] == {"name": "endpoint", "key": key, "optional": True}
    assert "s3cret" not in json.dumps(body, default=str)
    page = (DEPLOY.parents[1] / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert "create secret generic endpoint --from-literal=url=" in page


def test_there_is_one_version_of_our_image() -> None:
    told = json.dumps(
        [SERVERS, VALUES, [yaml.safe_load((DEPLOY / f"profile-{each}.yaml").read_text()) for each in ("cpu", "h100")]]
    )
    tags = set(re.findall(r"lifecycle:([\w.-]+)", told)) | {
        VALUES["dagster-user-deployments"]["deployments"][0]["image"]["tag"]
    }
    assert {tag.removesuffix("-cuda") for tag in tags} == {version("lifecycle")}


def test_mlflow_is_told_the_same_in_a_cluster_as_on_one_machine() -> None:
    """compose.yaml's settings run in tests/deploy/test_postgres.py; here files and secrets come from elsewhere."""
    compose = yaml.safe_load((DEPLOY.parent / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    here = compose["services"]["mlflow"]["environment"]
    body = next(body for body in pods(documents("mlflow.yaml")))
    there = {each["name"]: each.get("value", "") for each in body["spec"]["containers"][0]["env"]}
    same = {key for key in here if key.startswith("MLFLOW_")} - {"MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_S3_ENDPOINT_URL"}
    password = re.compile(r"\$[({]MLFLOW_DB_PASSWORD[^})]*[)}]")
    assert {key: password.sub("", there[key]) for key in same} == {key: password.sub("", here[key]) for key in same}


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
