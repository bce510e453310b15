"""What the API server fills in."""

import random
import string
from collections.abc import Callable

from tests.kubernetes.fake.answers import Object

_random = random.Random(11)


def set_defaults(kind: str, item: Object) -> None:
    """Fill in the defaults of a kind in place; `metadata.uid` must be set."""
    _DEFAULTS.get(kind, lambda item: None)(item)


def _job(item: Object) -> None:
    spec, metadata = item["spec"], item["metadata"]
    metadata["generation"] = 1
    uid = metadata["uid"]
    if spec.get("parallelism") is None and spec.get("completions") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    spec.setdefault("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    if not spec["manualSelector"]:
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        template = spec["template"].setdefault("metadata", {})
        template["creationTimestamp"] = None
        template["labels"] = (template.get("labels") or {}) | {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": metadata["name"],
            "controller-uid": uid,
            "job-name": metadata["name"],
        }
    for rule in (spec.get("podFailurePolicy") or {}).get("rules", []):
        for pattern in rule.get("onPodConditions", []):
            pattern.setdefault("status", "True")
    pod_spec_defaults(spec["template"]["spec"])
    item["status"] = {}


def pod_spec_defaults(spec: Object) -> None:
    """Defaults that a pod template gets too."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    if "serviceAccountName" in spec:
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for container in [*spec.get("initContainers", []), *spec.get("containers", [])]:
        container.setdefault("resources", {})
        for part in ("limits", "requests"):
            if container["resources"].get(part):
                container["resources"][part] = {name: str(value) for name, value in container["resources"][part].items()}
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        latest = ":" not in container["image"].rpartition("/")[2] or container["image"].endswith(":latest")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        for port in container.get("ports", []):
            port.setdefault("protocol", "TCP")
            if spec.get("hostNetwork"):
                port.setdefault("hostPort", port["containerPort"])
        for entry in container.get("env", []):
            if "fieldRef" in entry.get("valueFrom", {}):
                entry["valueFrom"]["fieldRef"].setdefault("apiVersion", "v1")
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            volume["configMap"].setdefault("defaultMode", 420)
        if "secret" in volume:
            volume["secret"].setdefault("defaultMode", 420)
        if "hostPath" in volume:
            volume["hostPath"].setdefault("type", "")
        if set(volume) == {"name"}:
            volume["emptyDir"] = {}


def admit_pod(pod: Object) -> Object:
    """What admission and defaulting do to a new pod: service account, tolerations, priority, quality of service."""
    spec = pod["spec"]
    pod_spec_defaults(spec)
    token = "kube-api-access-" + "".join(_random.choices(string.ascii_lowercase + string.digits, k=5))
    if spec.get("automountServiceAccountToken", True):
        sources = [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]
                }
            },
        ]
        spec.setdefault("volumes", []).append({"name": token, "projected": {"sources": sources, "defaultMode": 420}})
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        if spec.get("automountServiceAccountToken", True):
            mount = {"name": token, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
            container.setdefault("volumeMounts", []).append(mount)
        limits = container["resources"].get("limits")
        if limits:
            container["resources"]["requests"] = limits | (container["resources"].get("requests") or {})
    spec.setdefault("serviceAccountName", "default")
    spec["serviceAccount"] = spec["serviceAccountName"]
    tolerations = spec.setdefault("tolerations", [])
    for problem in ("not-ready", "unreachable"):
        key = f"node.kubernetes.io/{problem}"
        if not any(t.get("key") in (None, key) and t.get("effect") in (None, "", "NoExecute") for t in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    spec.setdefault("priority", 0)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    pod["status"] = {"phase": "Pending", "qosClass": _quality(spec)}
    return pod


def _quality(spec: Object) -> str:
    resources = [container["resources"] for container in spec["containers"]]
    wanted = ("cpu", "memory")
    named = [r.get(part, {}) for r in resources for part in ("limits", "requests")]
    if not any(name in part for part in named for name in wanted):
        return "BestEffort"
    full = all(
        name in r.get("limits", {}) and r["limits"][name] == r.get("requests", {}).get(name)
        for r in resources
        for name in wanted
    )
    return "Guaranteed" if full else "Burstable"


def _service(item: Object) -> None:
    spec = item["spec"]
    for port in spec.get("ports", []):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])
    spec.setdefault("clusterIP", f"10.96.0.{_random.randint(10, 250)}")
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    item["status"] = {"loadBalancer": {}}


def _namespace(item: Object) -> None:
    metadata = item["metadata"]
    metadata["labels"] = (metadata.get("labels") or {}) | {"kubernetes.io/metadata.name": metadata["name"]}
    item["spec"] = {"finalizers": ["kubernetes"]}
    item["status"] = {"phase": "Active"}


def _claim(item: Object) -> None:
    item["spec"].setdefault("volumeMode", "Filesystem")
    item.setdefault("status", {"phase": "Pending"})


def _quota(item: Object) -> None:
    hard = item.get("spec", {}).get("hard", {})
    item.setdefault("status", {"hard": hard, "used": dict.fromkeys(hard, "0")})


_DEFAULTS: dict[str, Callable[[Object], object]] = {
    "Job": _job,
    "Pod": admit_pod,
    "Service": _service,
    "Namespace": _namespace,
    "PersistentVolumeClaim": _claim,
    "ResourceQuota": _quota,
}
