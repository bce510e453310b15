"""The kinds that the fake cluster stores, and the documents by which clients discover them."""

from dataclasses import dataclass
from typing import Any

ALL_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


@dataclass(frozen=True)
class Resource:
    """One stored kind."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    status: bool = False
    """Whether it has a `/status` subresource."""
    fields: tuple[str, ...] = ()
    """Field selectors beside `metadata.name` and `metadata.namespace`."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`jobs.batch`: the name in messages about the resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """`Job.batch`: the name in messages about an object."""
        return f"{self.kind}.{self.group}" if self.group else self.kind


JOBS = Resource("batch", "v1", "jobs", "Job", status=True, fields=("status.successful",))
PODS = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    short=("po",),
    status=True,
    fields=("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "status.phase", "status.podIP"),
)
NODES = Resource("", "v1", "nodes", "Node", False, ("no",), True, ("spec.unschedulable",))
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False, ("ns",), True, ("status.phase",))
EVENTS = Resource(
    "",
    "v1",
    "events",
    "Event",
    short=("ev",),
    fields=(
        "involvedObject.kind",
        "involvedObject.name",
        "involvedObject.namespace",
        "involvedObject.uid",
        "reason",
        "type",
        "source",
        "reportingComponent",
    ),
)
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", short=("pvc",), status=True)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", short=("cm",))
SECRETS = Resource("", "v1", "secrets", "Secret", fields=("type",))
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", short=("sa",))
QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", short=("quota",), status=True)
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, ("pc",))
SERVICES = Resource("", "v1", "services", "Service", short=("svc",), status=True)

RESOURCES: tuple[Resource, ...] = (
    JOBS,
    PODS,
    NODES,
    NAMESPACES,
    EVENTS,
    CLAIMS,
    CONFIG_MAPS,
    SECRETS,
    SERVICES,
    SERVICE_ACCOUNTS,
    QUOTAS,
    Resource("", "v1", "persistentvolumes", "PersistentVolume", False, ("pv",), True),
    PRIORITY_CLASSES,
)

GROUPS: dict[str, list[str]] = {
    "apiregistration.k8s.io": ["v1"],
    "apps": ["v1"],
    "events.k8s.io": ["v1"],
    "authentication.k8s.io": ["v1"],
    "authorization.k8s.io": ["v1"],
    "autoscaling": ["v2", "v1"],
    "batch": ["v1"],
    "certificates.k8s.io": ["v1"],
    "networking.k8s.io": ["v1"],
    "policy": ["v1"],
    "rbac.authorization.k8s.io": ["v1"],
    "storage.k8s.io": ["v1"],
    "admissionregistration.k8s.io": ["v1"],
    "apiextensions.k8s.io": ["v1"],
    "scheduling.k8s.io": ["v1"],
    "coordination.k8s.io": ["v1"],
    "node.k8s.io": ["v1"],
    "discovery.k8s.io": ["v1"],
    "flowcontrol.apiserver.k8s.io": ["v1"],
}
"""The API groups of a 1.32 cluster; those without a stored kind are named and empty."""


def find(group: str, version: str, plural: str) -> Resource | None:
    """The stored kind of a path, or None."""
    return next((r for r in RESOURCES if (r.group, r.version, r.plural) == (group, version, plural)), None)


def of_kind(api_version: str, kind: str) -> Resource | None:
    """The stored kind that an object says it is, or None."""
    return next((r for r in RESOURCES if (r.api_version, r.kind) == (api_version, kind)), None)


def version_document() -> dict[str, str]:
    """`/version` of the cluster whose behaviour this package imitates."""
    return {
        "major": "1",
        "minor": "32",
        "gitVersion": "v1.32.13",
        "gitCommit": "63adf010aa20e104c0b7043b47f42f50c9f72b17",
        "gitTreeState": "clean",
        "buildDate": "2026-11-21T00:00:00Z",
        "goVersion": "go1.24.11",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def group_list() -> dict[str, Any]:
    """`/apis`."""
    groups = []
    for name, versions in GROUPS.items():
        entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
        groups.append({"name": name, "versions": entries, "preferredVersion": entries[0]})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def resource_list(group: str, version: str) -> dict[str, Any]:
    """`/api/v1` or `/apis/<group>/<version>`."""
    entries: list[dict[str, Any]] = []
    for resource in RESOURCES:
        if (resource.group, resource.version) != (group, version):
            continue
        entry = {
            "name": resource.plural,
            "singularName": resource.kind.lower(),
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": ALL_VERBS,
        }
        entries.append(entry | ({"shortNames": list(resource.short)} if resource.short else {}))
        if resource.status:
            entries.append(
                {
                    "name": f"{resource.plural}/status",
                    "singularName": "",
                    "namespaced": resource.namespaced,
                    "kind": resource.kind,
                    "verbs": ["get", "patch", "update"],
                }
            )
    full = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": full, "resources": entries}


def openapi(path: str) -> dict[str, Any] | None:
    """`/openapi/v3` as far as kubectl reads it before it creates anything: that `fieldValidation` is understood."""
    groups = {f"apis/{r.api_version}" if r.group else f"api/{r.version}": r.api_version for r in RESOURCES}
    if path == "/openapi/v3":
        return {"paths": {group: {"serverRelativeURL": f"/openapi/v3/{group}"} for group in groups}}
    group = path.removeprefix("/openapi/v3/")
    if group not in groups:
        return None
    parameter = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    paths = {}
    for resource in RESOURCES:
        if resource.api_version == groups[group]:
            where = f"/{group}/{'namespaces/{namespace}/' if resource.namespaced else ''}{resource.plural}/{{name}}"
            kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
            paths[where] = {"patch": {"parameters": [parameter], "responses": {}, "x-kubernetes-group-version-kind": kind}}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.32.13"}, "paths": paths}
