"""Jobs for tests of the fake cluster, and waiting for what becomes of them."""

from dataclasses import dataclass
from typing import Any

from kubernetes import client, config

from tests.kubernetes.fake import FakeCluster
from tests.kubernetes.running import wait_until

IMAGE = "lifecycle:test"
SLEEP = "sleep 300"


@dataclass(frozen=True)
class Client:
    """The real client's two groups, for the namespace of the cluster."""

    batch: client.BatchV1Api
    core: client.CoreV1Api
    namespace: str

    def create(self, job: dict[str, Any]) -> Any:
        return self.batch.create_namespaced_job(self.namespace, job)

    def job(self, name: str) -> Any:
        return self.batch.read_namespaced_job(name, self.namespace)

    def pods(self, job: str) -> list[Any]:
        return self.core.list_namespaced_pod(self.namespace, label_selector=f"job-name={job}").items

    def log(self, pod: str, **query: Any) -> str:
        answer = self.core.read_namespaced_pod_log(pod, self.namespace, _preload_content=False, **query)
        return answer.data.decode()

    def delete(self, job: str, **query: Any) -> Any:
        return self.batch.delete_namespaced_job(job, self.namespace, **query)


def connect(cluster: FakeCluster) -> Client:
    """The real client, from the kubeconfig."""
    api = config.new_client_from_config(str(cluster.kubeconfig))
    return Client(client.BatchV1Api(api), client.CoreV1Api(api), cluster.namespace)


def job(
    name: str, command: str | list[str], ranks: int = 1, pod: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """An Indexed job of `ranks` pods; a command that is text is run by the shell."""
    argv = ["sh", "-c", command] if isinstance(command, str) else command
    container: dict[str, Any] = {"name": "main", "image": IMAGE, "command": argv}
    extra = dict(pod or {})
    container |= extra.pop("container", {})
    template = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 3, "containers": [container]} | extra
    whole = {"backoffLimit": 0, "completions": ranks, "parallelism": ranks, "completionMode": "Indexed"} | spec
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}}
    return body | {"spec": whole | {"template": {"metadata": {}, "spec": template}}}


def conditions(item: Any) -> list[tuple[str, str, str]]:
    """Type, status and reason of an object's conditions, in order."""
    return [(one.type, one.status, one.reason) for one in item.status.conditions or []]


def ended(api: Client, name: str) -> Any:
    """The job once it is complete or failed."""

    def look() -> Any:
        found = api.job(name)
        return found if any(c.type in ("Complete", "Failed") for c in found.status.conditions or []) else None

    return wait_until(look, f"the end of {name}")


def running(api: Client, name: str, count: int = 1) -> list[Any]:
    """The job's pods once `count` of them run."""

    def look() -> Any:
        pods = [pod for pod in api.pods(name) if pod.status.phase == "Running" and not pod.metadata.deletion_timestamp]
        return pods if len(pods) == count else None

    return wait_until(look, f"{count} running pods of {name}")
