"""The values for Dagster's chart, against the fields that the chart has: Helm passes over a misspelt one without a word."""

from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

VALUES = yaml.safe_load(
    (Path(__file__).parents[2] / "deploy" / "kubernetes" / "dagster-values.yaml").read_text(encoding="utf-8")
)


class Fields(BaseModel):
    """Fields of one section; what the chart does not have is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Global(Fields):
    serviceAccountName: str
    postgresqlSecretName: str
    dagsterHome: str | None = None
    celeryConfigSecretName: str | None = None


class Postgres(Fields):
    enabled: bool
    postgresqlHost: str
    postgresqlUsername: str
    postgresqlDatabase: str
    postgresqlPassword: str | None = None
    postgresqlParams: dict[str, str] = {}
    postgresqlScheme: str | None = None


class Switch(Fields):
    enabled: bool


class Account(Fields):
    create: bool
    name: str | None = None
    annotations: dict[str, str] = {}


class Image(Fields):
    repository: str
    tag: str
    pullPolicy: Literal["Always", "IfNotPresent", "Never"]


class Deployment(Fields):
    name: str
    image: Image
    port: int
    dagsterApiGrpcArgs: list[str] | None = None
    codeServerArgs: list[str] | None = None
    includeConfigInLaunchedRuns: Switch | None = None
    env: list[dict[str, Any]] | None = None
    envSecrets: list[dict[str, str]] | None = None
    resources: dict[str, Any] | None = None
    securityContext: dict[str, Any] | None = None
    podSecurityContext: dict[str, Any] | None = None
    volumes: list[dict[str, Any]] | None = None
    volumeMounts: list[dict[str, Any]] | None = None


class Deployments(Fields):
    enabled: bool
    enableSubchart: bool = True
    deployments: list[Deployment] = Field(min_length=1)


class K8sLauncher(Fields):
    imagePullPolicy: Literal["Always", "IfNotPresent", "Never"]
    jobNamespace: str | None = None
    loadInclusterConfig: bool
    envVars: list[str] = []
    envSecrets: list[dict[str, str]] = []
    runK8sConfig: dict[str, Any] | None = None


class LauncherConfig(Fields):
    k8sRunLauncher: K8sLauncher


class Launcher(Fields):
    type: Literal["K8sRunLauncher"]
    config: LauncherConfig


class Pools(Fields):
    defaultLimit: int | None = None
    granularity: Literal["run", "op"] | None = None
    opGranularityRunBuffer: int | None = None


class Concurrency(Fields):
    enabled: bool
    pools: Pools


class Daemon(Fields):
    runMonitoring: dict[str, bool | int]
    runRetries: dict[str, bool | int] = {}


class ByType(Fields):
    skipped: int
    success: int
    failure: int
    started: int


class Ticks(Fields):
    purgeAfterDays: int | ByType


class Retention(Fields):
    enabled: bool
    schedule: Ticks
    sensor: Ticks


class Logs(Fields):
    pythonLogLevel: str | None = None
    managedPythonLoggers: list[str] = []


class Values(Fields):
    """The sections that ours set. Which fields there are was read from the chart's own models; see docs/deployment.md."""

    global_: Global = Field(alias="global")
    generatePostgresqlPasswordSecret: bool
    postgresql: Postgres
    serviceAccount: Account
    telemetry: Switch
    deployments: Deployments = Field(alias="dagster-user-deployments")
    runLauncher: Launcher
    concurrency: Concurrency
    dagsterDaemon: Daemon
    retention: Retention
    pythonLogs: Logs


def test_every_value_is_one_that_the_chart_reads() -> None:
    Values.model_validate(VALUES)


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        ("concurrency", {"enabled": True, "pools": {"defaultLimits": 1}}),
        ("retention", {"enabled": True, "schedule": {"purgeAfterDays": {"skipped": 7}}, "sensor": {"purgeAfterDays": 1}}),
        ("telemetry", {"enabled": "no"}),
    ],
)
def test_a_mistake_in_the_values_is_found(section: str, wrong: Any) -> None:
    with pytest.raises(ValidationError, match=section):
        Values.model_validate(VALUES | {section: wrong})


def test_run_monitoring_is_asked_for_in_the_words_of_dagster() -> None:
    """The chart hands this section on, its keys in snake case, to Dagster's instance."""
    from dagster._core.instance.config import dagster_instance_config_schema

    known = dagster_instance_config_schema()["run_monitoring"].config_type.fields
    words = {"".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key) for key in MONITORING}
    assert words <= set(known), words - set(known)


MONITORING = VALUES["dagsterDaemon"]["runMonitoring"]
