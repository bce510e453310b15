"""The recording of a real cluster, and what of it is of that run alone."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
POD = re.compile(r"(good|applied|fails|dflt|bg|big|noimg)-(\d)-[a-z0-9]{5}\b")
TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
STRUCT = re.compile(r"core\.PodTemplateSpec\{.*\}", re.DOTALL)
"""A whole pod template as Go prints it, in one message; the fake prints none of its fields."""
SIBLING = re.compile(r"-\d-<x>")
"""Pods of one job are created and deleted in parallel: the order among them is chance."""
OWN = {"resourceVersion", "continue", "reportingInstance", "containerID", "podIP", "ip"}
"""Fields whose values belong to one run; only whether they are there is compared."""


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a compressed recording."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def normal(value: Any, key: str = "") -> Any:
    """`value` without names, times and identities of its run.

    managedFields are left out (the fake has none), and of the volume with the service account's token, whose sources
    depend on the distribution, the content.
    """
    if isinstance(value, dict):
        kept = {name: entry for name, entry in value.items() if name != "managedFields"}
        return {name: normal(entry, name) for name, entry in kept.items() if name != "projected"}
    if isinstance(value, list):
        return [normal(entry, key) for entry in value]
    if key in OWN or (key == "imageID" and value):
        return f"<{key}>"
    if not isinstance(value, str):
        return value
    text = STRUCT.sub("<struct>", UID.sub("<uid>", TIME.sub("<time>", value)))
    text = TOKEN_VOLUME.sub("<token>", POD.sub(r"\1-\2-<x>", text))
    return re.sub(r"(<x>|good|applied|fails|dflt|bg|big|noimg)\.[0-9a-f]{16}", r"\1.<event>", text)


def state(kind: str, change: dict[str, Any]) -> Any:
    """What a watcher of a kind can tell from one event."""
    item, status = change["object"], change["object"].get("status", {})
    if kind == "events":
        told = normal({name: item.get(name) for name in ("type", "reason", "message", "reportingComponent", "count")})
        return told | {"message": SIBLING.sub("-<n>-<x>", told["message"])}
    metadata = item["metadata"]
    shared = {
        "type": change["type"],
        "finalizers": metadata.get("finalizers"),
        "grace": metadata.get("deletionGracePeriodSeconds"),
        "owned": bool(metadata.get("ownerReferences")),
        "conditions": [
            {name: normal(c.get(name)) for name in ("type", "status", "reason", "message")}
            for c in status.get("conditions", [])
        ],
    }
    if kind == "jobs":
        numbers = ("active", "ready", "terminating", "succeeded", "failed", "completedIndexes")
        uncounted = {name: len(uids) for name, uids in status.get("uncountedTerminatedPods", {}).items()}
        started = {name: bool(status.get(name)) for name in ("startTime", "completionTime")}
        return shared | {name: status.get(name) for name in numbers} | started | {"uncounted": uncounted}
    containers = [
        {name: normal(entry.get(name)) for name in ("name", "ready", "started", "state", "lastState", "restartCount")}
        for entry in status.get("containerStatuses", [])
    ]
    placed = item["spec"].get("nodeName")
    return shared | {"phase": status.get("phase"), "node": placed, "containers": containers}


def by_object(kind: str, changes: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The states of each object in order; objects of one name follow each other as `name`, `name again`."""
    lives: dict[str, str] = {}
    result: dict[str, list[Any]] = {}
    for change in changes:
        if change["type"] == "BOOKMARK":
            continue
        item = change["object"]
        about = item["involvedObject"] if kind == "events" else item["metadata"]
        if about["uid"] not in lives:
            label = normal(about["name"])
            while label in lives.values():
                label += " again"
            lives[about["uid"]] = label
        result.setdefault(lives[about["uid"]], []).append(state(kind, change))
    return result
