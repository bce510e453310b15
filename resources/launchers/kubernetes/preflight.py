"""Whether a cluster can run what the launcher will ask of it; seconds of looking instead of hours in a queue."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from lifecycle.errors import JobFailedError
from lifecycle.jobs import TrainingJob
from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.manifests import Launch, Manifest, job_manifest
from resources.launchers.kubernetes.profile import ClusterProfile, PvcVolume
from resources.launchers.kubernetes.quantities import amount

RIGHTS = (
    *(("batch", "jobs", verb) for verb in ("create", "get", "list", "watch", "patch", "delete")),
    *(("", "pods", verb) for verb in ("list", "watch", "delete")),
    ("", "pods/log", "get"),
    ("", "events", "list"),
    *(("", "configmaps", verb) for verb in ("create", "get")),
    *(("", "services", verb) for verb in ("create", "get")),
    ("", "persistentvolumeclaims", "get"),
)
"""Every call of `client.Cluster` that a run makes, as API group, resource and verb. `deploy/kubernetes/rbac.yaml` grants
them."""
TO_MAKE_CLAIMS = (("", "persistentvolumeclaims", "create"),)
TO_LOOK = (("", "resourcequotas", "list", True), ("", "nodes", "list", False))
"""Only this preflight uses them; without one it says what it could not see. The last item: of the namespace."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `good` is None where it could not be seen."""

    what: str
    good: bool | None
    detail: str


def look(cluster: Cluster, profile: ClusterProfile, processes: int) -> list[Finding]:
    """What a job of so many ranks would meet.

    Raises:
        JobFailedError: the API server cannot be reached or knows nobody of our name.
    """
    pods = profile.nodes_for(processes)
    empty = {"stage": "preflight", "fingerprint": "", "program": "", "output": "", "run_dir": ""}
    job = TrainingJob(**empty, config={}, inputs={}, processes=processes, nodes=pods)
    spec = job_manifest(Launch(job, "preflight", "", 0, ""), profile)["spec"]["template"]["spec"]
    needs = {name: amount(value) for name, value in spec["containers"][0]["resources"]["requests"].items()}
    return [
        *_rights(cluster, profile),
        *_claims(cluster, profile),
        *_quotas(cluster, needs, pods),
        *_nodes(cluster, profile, spec, needs, pods),
    ]


def _rights(cluster: Cluster, profile: ClusterProfile) -> Iterator[Finding]:
    creates = any(isinstance(volume, PvcVolume) and volume.create for volume in profile.volumes)
    wanted = RIGHTS + (TO_MAKE_CLAIMS if creates else ())
    missing = [f"{verb} {resource}" for group, resource, verb in wanted if not _may(cluster, verb, group, resource)]
    detail = f"missing in {cluster.namespace}: {', '.join(missing)}; apply deploy/kubernetes/rbac.yaml"
    yield Finding("rights", not missing, detail if missing else f"all {len(wanted)} in {cluster.namespace}")


def _may(cluster: Cluster, verb: str, group: str, resource: str, namespaced: bool = True) -> bool:
    name, _, part = resource.partition("/")
    return cluster.may(verb, group, name, part, namespaced)


def _claims(cluster: Cluster, profile: ClusterProfile) -> Iterator[Finding]:
    for volume in profile.volumes:
        if not isinstance(volume, PvcVolume):
            continue
        claim = cluster.claim(volume.claim)
        if claim is None:
            made = ", it will be made" if volume.create else ""
            yield Finding(f"volume {volume.name}", bool(volume.create), f"no claim {volume.claim}{made}")
            continue
        phase = claim.get("status", {}).get("phase", "Pending")
        modes = claim["spec"].get("accessModes", [])
        shared = "" if "ReadWriteMany" in modes or volume.read_only else f"; {', '.join(modes)} serves one node only"
        yield Finding(f"volume {volume.name}", phase == "Bound", f"claim {volume.claim} is {phase}{shared}")


def _quotas(cluster: Cluster, needs: dict[str, Decimal], pods: int) -> Iterator[Finding]:
    if not _may(cluster, "list", "", "resourcequotas"):
        yield Finding("quota", None, "not allowed to list resourcequotas")
        return
    wanted = {"pods": Decimal(pods), "count/jobs.batch": Decimal(1)}
    for name, each in needs.items():
        wanted |= {f"requests.{name}": each * pods, f"limits.{name}": each * pods, name: each * pods}
    short = []
    for quota in cluster.quotas():
        status = quota.get("status", {})
        for name, hard in status.get("hard", {}).items():
            left = amount(hard) - amount(status.get("used", {}).get(name, "0"))
            if name in wanted and wanted[name] > left:
                short.append(f"{quota['metadata']['name']}: {name} has {left} left, {wanted[name]} are needed")
    yield Finding("quota", not short, "; ".join(short) or "enough, or none is set")


def _nodes(
    cluster: Cluster, profile: ClusterProfile, spec: Manifest, needs: dict[str, Decimal], pods: int
) -> Iterator[Finding]:
    """By what nodes have, not by what is free now: a job may wait for the rest."""
    if not _may(cluster, "list", "", "nodes", namespaced=False):
        yield Finding("nodes", None, "not allowed to list nodes")
        return
    nodes = cluster.nodes()
    willing = [node for node in nodes if _takes(node, spec)]
    able = [node for node in willing if _holds(node, needs)]
    asked = ", ".join(f"{value.normalize():f} {name}" for name, value in needs.items())
    detail = f"{len(able)} of {len(nodes)} nodes can hold a pod ({asked}); {pods} are needed"
    if len(willing) < pods:
        detail += f"; node selector, taints and readiness leave {len(willing)}"
    yield Finding("nodes", len(able) >= pods, detail)
    seen = sum(profile.image in image.get("names", []) for node in able for image in node["status"].get("images", []))
    pulled = "" if seen else "; the first pod pulls it"
    yield Finding("image", True if seen else None, f"{profile.image} is on {seen} of {len(able)} nodes{pulled}")


def _takes(node: Manifest, spec: Manifest) -> bool:
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"].get("conditions", []))
    labels = node["metadata"].get("labels", {})
    chosen = all(labels.get(name) == value for name, value in spec.get("nodeSelector", {}).items())
    taints = [each for each in node["spec"].get("taints", []) if each["effect"] != "PreferNoSchedule"]
    return ready and chosen and all(any(_tolerates(each, taint) for each in spec.get("tolerations", [])) for taint in taints)


def _tolerates(toleration: Manifest, taint: Manifest) -> bool:
    same_key = toleration["key"] == taint["key"]
    same_value = toleration["operator"] == "Exists" or toleration.get("value") == taint.get("value", "")
    return same_key and same_value and toleration.get("effect", taint["effect"]) == taint["effect"]


def _holds(node: Manifest, needs: dict[str, Decimal]) -> bool:
    has = node["status"].get("allocatable", {})
    return all(amount(has.get(name, "0")) >= value for name, value in needs.items())


def reachable(cluster: Cluster) -> Finding:
    """Whether the API server answers us at all."""
    try:
        cluster.may("get", "", "pods")
        return Finding("API server", True, "answers")
    except JobFailedError as error:
        return Finding("API server", False, str(error))
