"""Conditions and events: what the cluster says about objects."""

import itertools
import uuid

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.resources import EVENTS
from tests.kubernetes.fake.store import Store

_POD_ORDER = ["DisruptionTarget", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
_numbers = itertools.count(0x18E9EAB0A2F00D09)


def set_condition(item: Object, kind: str, value: str, stamp: str, reason: str = "", message: str = "") -> None:
    """Set a condition of a pod or node in place; the transition time moves only when the status does."""
    listed = item["status"].setdefault("conditions", [])
    old = next((entry for entry in listed if entry["type"] == kind), None)
    probe: Object = {"lastProbeTime": None}
    entry: Object = {"type": kind, "status": value} | probe
    entry["lastTransitionTime"] = old["lastTransitionTime"] if old and old["status"] == value else stamp
    entry |= ({"reason": reason} if reason else {}) | ({"message": message} if message else {})
    if old:
        listed[listed.index(old)] = entry
    else:
        listed.append(entry)
        listed.sort(key=lambda one: _POD_ORDER.index(one["type"]) if one["type"] in _POD_ORDER else 0)


def has_condition(item: Object, kind: str, value: str = "True") -> bool:
    """Whether the condition is there with that status."""
    return any(entry["type"] == kind and entry["status"] == value for entry in item["status"].get("conditions", []))


def event(
    store: Store, about: Object, component: str, reason: str, message: str, warning: bool = False, container: str = ""
) -> None:
    """Store an event about an object, in the form that its component writes."""
    metadata = about["metadata"]
    involved: Object = {
        "kind": about.get("kind", "Pod"),
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": about.get("apiVersion", "v1"),
        "resourceVersion": metadata["resourceVersion"],
    }
    if container:
        involved["fieldPath"] = f"spec.containers{{{container}}}"
    namespace = metadata.get("namespace") or "default"
    body: Object = {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {
            "name": f"{metadata['name']}.{next(_numbers):x}",
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": store.clock.stamp(),
        },
        "involvedObject": involved,
        "reason": reason,
        "message": message,
        "type": "Warning" if warning else "Normal",
        "reportingComponent": component,
    }
    if component == "default-scheduler":
        body |= {"source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": store.clock.fine_stamp()}
        action = "Binding" if reason == "Scheduled" else "Scheduling"
        body |= {"action": action, "reportingInstance": "default-scheduler-fake"}
    else:
        host = about["spec"].get("nodeName", "") if component == "kubelet" else ""
        stamp = store.clock.stamp()
        body |= {"source": {"component": component} | ({"host": host} if host else {}), "count": 1}
        body |= {"firstTimestamp": stamp, "lastTimestamp": stamp, "eventTime": None, "reportingInstance": host}
    store.create(EVENTS, body)
