"""The few calls of the Kubernetes API that we make: objects in and out as plain JSON, retried while the API is away."""

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config, watch
from kubernetes.client import ApiException
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from lifecycle.errors import JobFailedError
from lifecycle.training.exits import ExitClass
from resources.launchers.kubernetes.manifests import CONTAINER, Manifest

logger = logging.getLogger(__name__)

PASSING = (429, 500, 502, 503, 504)
LONGEST_WAIT = 15.0
WATCH_SECONDS = 20
"""The server ends a watch after so long; the next goes on where it ended."""
REQUEST_SECONDS = (10.0, 60.0)
"""To connect, and to wait for an answer."""
STREAM_SECONDS = (10.0, 300.0)
"""The same for streams. A connection that died silently is noticed after the second."""
PATIENCE_SECONDS = 600.0
SAID_AFTER = 4
"""So many failures in a row are more than a cut connection."""

Changed = Callable[[Manifest, bool], None]
"""Called with an object as it is now, and whether it is gone."""


@dataclass(frozen=True)
class Cluster:
    """One namespace of one cluster.

    Every method raises JobFailedError: class `configuration` when the API server refuses what was asked (rights, names,
    fields), `network` when it could not be reached for `patience` seconds.
    """

    namespace: str
    batch: client.BatchV1Api
    core: client.CoreV1Api
    authorization: client.AuthorizationV1Api
    patience: float = PATIENCE_SECONDS

    def create_job(self, manifest: Manifest) -> tuple[Manifest, bool]:
        """The Job of this name, and whether this call made it rather than finding it."""
        return self._create(self.batch.create_namespaced_job, self.batch.read_namespaced_job, manifest)

    def create_config_map(self, manifest: Manifest) -> None:
        """Make it where it does not exist."""
        self._create(self.core.create_namespaced_config_map, self.core.read_namespaced_config_map, manifest)

    def create_service(self, manifest: Manifest) -> None:
        """Make it where it does not exist."""
        self._create(self.core.create_namespaced_service, self.core.read_namespaced_service, manifest)

    def create_claim(self, manifest: Manifest) -> None:
        """Make it where it does not exist."""
        create = self.core.create_namespaced_persistent_volume_claim
        self._create(create, self.core.read_namespaced_persistent_volume_claim, manifest)

    def job(self, name: str) -> Manifest | None:
        """The Job, or None."""
        return self._find(self.batch.read_namespaced_job, name)

    def jobs(self, selector: str) -> list[Manifest]:
        """All Jobs with these labels."""
        return self._list(self.batch.list_namespaced_job, selector)[0]

    def pods(self, selector: str) -> list[Manifest]:
        """All pods with these labels."""
        return self._list(self.core.list_namespaced_pod, selector)[0]

    def claim(self, name: str) -> Manifest | None:
        """The PersistentVolumeClaim, or None."""
        return self._find(self.core.read_namespaced_persistent_volume_claim, name)

    def quotas(self) -> list[Manifest]:
        """The ResourceQuotas of the namespace."""
        return self._call(self.core.list_namespaced_resource_quota, self.namespace)["items"]

    def warnings(self, pod: str) -> list[str]:
        """What the cluster warns of about a pod, the oldest first."""
        selector = f"involvedObject.name={pod},type=Warning"
        found = self._call(self.core.list_namespaced_event, self.namespace, field_selector=selector)["items"]
        found.sort(key=lambda each: each.get("lastTimestamp") or each.get("eventTime") or "")
        return [f"{each.get('reason', '')}: {each.get('message', '')}" for each in found]

    def nodes(self) -> list[Manifest]:
        """All nodes of the cluster."""
        return self._call(self.core.list_node)["items"]

    def release_job(self, name: str) -> None:
        """Let its pods be made."""
        body = {"spec": {"suspend": False}}
        self._call(self.batch.patch_namespaced_job, name, self.namespace, body)

    def delete_job(self, name: str, uid: str) -> None:
        """Delete exactly this Job with all that it owns; its pods get SIGTERM and their grace. It may be gone already.

        Without a propagation policy the API server would leave the pods running.
        """
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        self._delete(self.batch.delete_namespaced_job, name, options)

    def delete_pod(self, name: str, uid: str) -> None:
        """Delete exactly this pod, with its grace. It may be gone already."""
        self._delete(self.core.delete_namespaced_pod, name, {"preconditions": {"uid": uid}})

    def forget_pod(self, name: str, uid: str) -> None:
        """Remove the record of a pod whose node no longer answers. Nothing stops a process that may still run there."""
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        self._delete(self.core.delete_namespaced_pod, name, options)

    def may(self, verb: str, group: str, resource: str, subresource: str = "", namespaced: bool = True) -> bool:
        """Whether our own account may do this."""
        wanted = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
        spec = {"resourceAttributes": wanted | ({"namespace": self.namespace} if namespaced else {})}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        return self._call(self.authorization.create_self_subject_access_review, review)["status"]["allowed"]

    def log(self, pod: str, since_seconds: int | None, follow: bool) -> Iterator[bytes]:
        """The log of a pod in pieces as they come, each line with its time before it; nothing while it has no log.

        Raises:
            ApiException: 404, the pod is gone. Errors of the connection come as they are: the caller knows where it was.
        """
        since = {"since_seconds": since_seconds} if since_seconds is not None else {}
        try:
            answer: Any = self.core.read_namespaced_pod_log(
                pod,
                self.namespace,
                container=CONTAINER,
                timestamps=True,
                follow=follow,
                _preload_content=False,
                _request_timeout=STREAM_SECONDS,
                **since,
            )
        except ApiException as error:
            if error.status == 400:  # it waits for its image or its volumes
                return
            raise
        try:
            yield from answer.stream(65536)
        finally:
            answer.release_conn()

    def follow_jobs(self, selector: str, changed: Changed, stop: threading.Event) -> None:
        """Report every Job with these labels now and whenever it changes, until `stop`."""
        self._follow(self.batch.list_namespaced_job, selector, changed, stop)

    def follow_pods(self, selector: str, changed: Changed, stop: threading.Event) -> None:
        """Report every pod with these labels now and whenever it changes, until `stop`."""
        self._follow(self.core.list_namespaced_pod, selector, changed, stop)

    def _follow(self, function: Callable[..., Any], selector: str, changed: Changed, stop: threading.Event) -> None:
        """A list, then watches that go on from the last resource version; listed anew when the server has forgotten it."""
        known: dict[str, Manifest] = {}
        version: str | None = None
        failures = 0
        while not stop.is_set():
            try:
                if version is None:
                    items, version = self._list(function, selector)
                    present = {item["metadata"]["uid"]: item for item in items}
                    for uid in set(known) - set(present):
                        changed(known.pop(uid), True)
                    for uid, item in present.items():
                        known[uid] = item
                        changed(item, False)
                for event in self._events(function, selector, version, stop):
                    item = event["raw_object"]
                    version = item["metadata"]["resourceVersion"]
                    if event["type"] == "BOOKMARK":
                        continue
                    gone = event["type"] == "DELETED"
                    if gone:
                        known.pop(item["metadata"]["uid"], None)
                    else:
                        known[item["metadata"]["uid"]] = item
                    changed(item, gone)
                failures = 0
            except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
                failures += 1
                if failures == SAID_AFTER:
                    logger.warning("the Kubernetes API server does not answer (%s); the job runs on meanwhile", error)
                if isinstance(error, ApiException) and error.status not in PASSING:
                    version = None  # 410: it has forgotten; any other refusal lasts, and listing anew says so
                stop.wait(min(LONGEST_WAIT, 0.25 * 2**failures))

    def _events(self, function: Callable[..., Any], selector: str, version: str, stop: threading.Event) -> Iterator[Any]:
        stream: Iterator[Any] = watch.Watch(return_type="object").stream(  # as plain JSON
            function,
            self.namespace,
            label_selector=selector,
            resource_version=version,
            allow_watch_bookmarks=True,
            timeout_seconds=WATCH_SECONDS,
            _request_timeout=STREAM_SECONDS,
        )
        for event in stream:
            if stop.is_set():
                return
            yield event

    def _create(self, create: Callable[..., Any], read: Callable[..., Any], manifest: Manifest) -> tuple[Manifest, bool]:
        try:
            return self._call(create, self.namespace, manifest, field_validation="Strict", passed_on=(409,)), True
        except ApiException:
            found = self._find(read, manifest["metadata"]["name"])
            # Deleted between the two calls: a second conflict would be a real one.
            return (found, False) if found else (self._call(create, self.namespace, manifest), True)

    def _find(self, read: Callable[..., Any], name: str) -> Manifest | None:
        try:
            return self._call(read, name, self.namespace, passed_on=(404,))
        except ApiException:
            return None

    def _delete(self, delete: Callable[..., Any], name: str, options: Manifest) -> None:
        """404: it is gone. 409: another object has taken its name, so ours is gone, too."""
        try:
            self._call(delete, name, self.namespace, body=options, passed_on=(404, 409))
        except ApiException:
            return

    def _list(self, function: Callable[..., Any], selector: str) -> tuple[list[Manifest], str]:
        answer = self._call(function, self.namespace, label_selector=selector)
        return answer["items"], answer["metadata"]["resourceVersion"]

    def _call(self, function: Callable[..., Any], *args: Any, passed_on: tuple[int, ...] = (), **options: Any) -> Any:
        """The JSON answer; refusals in `passed_on` are raised as they are, all others as JobFailedError."""
        named = next((arg for arg in args if isinstance(arg, str)), "")
        doing = f"{function.__name__.replace('_', ' ')} {named}".strip()
        retrying = Retrying(
            retry=retry_if_exception(_passes),
            wait=wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT),
            stop=stop_after_delay(self.patience),
            before_sleep=_say,
            reraise=True,
        )
        try:
            answer = retrying(function, *args, _preload_content=False, _request_timeout=REQUEST_SECONDS, **options)
        except ApiException as error:
            if error.status in passed_on:
                raise
            raise _refused(doing, error) from error
        except urllib3.exceptions.HTTPError as error:
            message = f"the Kubernetes API server has not been reachable for {self.patience:.0f} s ({doing}: {error})"
            raise JobFailedError(message, ExitClass.NETWORK.value) from error
        return json.loads(answer.data)


def connect(namespace: str, kubeconfig: str | None = None, patience: float = PATIENCE_SECONDS) -> Cluster:
    """The cluster of `kubeconfig`, else of $KUBECONFIG or ~/.kube/config, else the one that this process runs in.

    Raises:
        JobFailedError: none of these is there or usable.
    """
    settings: Any = client.Configuration()
    settings.retries = urllib3.Retry(0)  # tenacity's business, for all calls alike
    try:
        chosen = kubeconfig or os.environ.get("KUBECONFIG")
        if chosen or Path("~/.kube/config").expanduser().exists():
            config.load_kube_config(chosen, client_configuration=settings)
        else:
            config.load_incluster_config(settings)
    except config.ConfigException as error:
        raise JobFailedError(f"no usable access to a Kubernetes cluster: {error}", ExitClass.CONFIGURATION.value) from error
    api = client.ApiClient(settings)
    return Cluster(
        namespace, client.BatchV1Api(api), client.CoreV1Api(api), client.AuthorizationV1Api(api), patience=patience
    )


def _passes(error: BaseException) -> bool:
    if isinstance(error, ApiException):
        return error.status in PASSING
    return isinstance(error, urllib3.exceptions.HTTPError)


def _say(state: RetryCallState) -> None:
    if state.attempt_number == SAID_AFTER and state.outcome:
        logger.warning("the Kubernetes API server does not answer (%s); trying on", state.outcome.exception())


def _refused(doing: str, error: ApiException) -> JobFailedError:
    try:
        said = json.loads(error.body or "{}").get("message", error.reason)
    except ValueError:
        said = error.reason
    where = ExitClass.NETWORK if _passes(error) else ExitClass.CONFIGURATION
    return JobFailedError(f"Kubernetes refused ({doing}): {error.status} {said}", where.value)
