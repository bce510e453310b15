"""The few calls of the Kubernetes API that we make: objects in and out as plain JSON, retried while the API is away."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client import ApiException

from lifecycle.errors import JobFailedError
from lifecycle.training.exits import ExitClass
from resources.launchers.kubernetes.calls import call
from resources.launchers.kubernetes.manifests import CONTAINER, Manifest
from resources.launchers.kubernetes.watches import STREAM_SECONDS, Changed, Watching

PATIENCE_SECONDS = 600.0


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
        return self._list(self.batch.list_namespaced_job, selector)

    def pods(self, selector: str) -> list[Manifest]:
        """All pods with these labels."""
        return self._list(self.core.list_namespaced_pod, selector)

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
        Watching(function, self.namespace, selector, changed, stop, self.patience).run()

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

    def _list(self, function: Callable[..., Any], selector: str) -> list[Manifest]:
        return self._call(function, self.namespace, label_selector=selector)["items"]

    def _call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return call(function, *args, patience=self.patience, **options)


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
