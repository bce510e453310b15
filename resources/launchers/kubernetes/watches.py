"""Objects of one kind as they change: a list, then watches that go on where the last one ended."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import urllib3
from kubernetes import watch
from kubernetes.client import ApiException

from resources.launchers.kubernetes.calls import LONGEST_WAIT, PASSING, SAID_AFTER, call
from resources.launchers.kubernetes.manifests import Manifest

logger = logging.getLogger(__name__)

WATCH_SECONDS = 20
"""The server ends a watch after so long; the next goes on where it ended."""
STREAM_SECONDS = (10.0, 300.0)
"""To connect, and to wait for the next piece of a stream: a connection that died silently is noticed after that."""

Changed = Callable[[Manifest, bool], None]
"""Called with an object as it is now, and whether it is gone."""


class Watching:
    """Follows what one list function of the client library shows with these labels, until `stop`."""

    def __init__(
        self,
        function: Callable[..., Any],
        namespace: str,
        selector: str,
        changed: Changed,
        stop: threading.Event,
        patience: float,
    ) -> None:
        self._function, self._namespace, self._selector = function, namespace, selector
        self._changed, self._stop, self._patience = changed, stop, patience
        self._known: dict[str, Manifest] = {}
        self._version: str | None = None
        """None: list anew, because nothing is known or the server has forgotten the last version."""

    def run(self) -> None:
        """Report every object now and whenever it changes.

        Raises:
            JobFailedError: listing is refused, or the server could not be reached within the patience.
        """
        failures = 0
        while not self._stop.is_set():
            try:
                if self._version is None:
                    self._list()
                for event in self._events():
                    self._take(event)
                failures = 0
            except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
                failures += 1
                if failures == SAID_AFTER:
                    logger.warning("the Kubernetes API server does not answer (%s); the job runs on meanwhile", error)
                if isinstance(error, ApiException) and error.status not in PASSING:
                    self._version = None  # 410: it has forgotten; any other refusal lasts, and listing anew says so
                self._stop.wait(min(LONGEST_WAIT, 0.25 * 2**failures))

    def _list(self) -> None:
        answer = call(self._function, self._namespace, label_selector=self._selector, patience=self._patience)
        present = {item["metadata"]["uid"]: item for item in answer["items"]}
        for uid in set(self._known) - set(present):
            self._changed(self._known.pop(uid), True)
        for uid, item in present.items():
            self._known[uid] = item
            self._changed(item, False)
        self._version = answer["metadata"]["resourceVersion"]

    def _take(self, event: Any) -> None:
        item = event["raw_object"]
        self._version = item["metadata"]["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        gone = event["type"] == "DELETED"
        if gone:
            self._known.pop(item["metadata"]["uid"], None)
        else:
            self._known[item["metadata"]["uid"]] = item
        self._changed(item, gone)

    def _events(self) -> Iterator[Any]:
        stream: Iterator[Any] = watch.Watch(return_type="object").stream(  # as plain JSON
            self._function,
            self._namespace,
            label_selector=self._selector,
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=WATCH_SECONDS,
            _request_timeout=STREAM_SECONDS,
        )
        for event in stream:
            if self._stop.is_set():
                return
            yield event
