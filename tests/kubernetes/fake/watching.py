"""Watches."""

import json
import time
from collections.abc import Iterator

from tests.kubernetes.fake.answers import ApiError, Object
from tests.kubernetes.fake.resources import Resource
from tests.kubernetes.fake.selectors import Match
from tests.kubernetes.fake.server import flag
from tests.kubernetes.fake.store import Change, Store

IDLE_SECONDS = 0.1
BOOKMARK_SECONDS = 60.0
"""Of the cluster's time."""


def watch(store: Store, resource: Resource, namespace: str, match: Match, query: dict[str, str]) -> Iterator[bytes]:
    """Lines of JSON for each change after `resourceVersion` (all that exists first, where it is 0 or absent).

    Empty bytes mean that nothing came yet. A version that is no longer remembered gives one ERROR event with code 410, as
    the real server does, inside an answer of 200. `timeoutSeconds` is in real seconds.
    """
    start = query.get("resourceVersion", "")
    until = time.monotonic() + float(query.get("timeoutSeconds", "3600"))
    with store.changed:
        version = store.version
        if start in ("", "0"):
            first = [item for item in store.all(resource, namespace) if match(item)]
        else:
            first, version = [], int(start)
    for item in first:
        yield _line("ADDED", resource, item)
    bookmark = store.clock.timer() + BOOKMARK_SECONDS
    while time.monotonic() < until:
        try:
            changes = store.since(resource.plural, version)
        except ApiError as error:
            yield json.dumps({"type": "ERROR", "object": error.status()}).encode() + b"\n"
            return
        lines = [line for change in changes if (line := _seen(change, resource, namespace, match))]
        version = max([version, *(change.version for change in changes)])
        yield b"".join(lines)
        if flag(query, "allowWatchBookmarks") and store.clock.timer() >= bookmark:
            bookmark = store.clock.timer() + BOOKMARK_SECONDS
            version = max(version, store.version) if not changes else version
            yield _line("BOOKMARK", resource, _mark(version))
        if not changes:
            with store.changed:
                store.changed.wait(IDLE_SECONDS)


def _seen(change: Change, resource: Resource, namespace: str, match: Match) -> bytes:
    """The change as a watcher with these selectors sees it: objects enter and leave a selection."""
    if namespace and change.after["metadata"].get("namespace") != namespace:
        return b""
    now = change.type != "DELETED" and match(change.after)
    before = change.before is not None and match(change.before)
    if now:
        return _line("MODIFIED" if before else "ADDED", resource, change.after)
    return _line("DELETED", resource, change.after) if before else b""


def _mark(version: int) -> Object:
    return {"metadata": {"resourceVersion": str(version), "creationTimestamp": None}}


def _line(kind: str, resource: Resource, item: Object) -> bytes:
    whole = {"kind": resource.kind, "apiVersion": resource.api_version} | item
    return json.dumps({"type": kind, "object": whole}).encode() + b"\n"
