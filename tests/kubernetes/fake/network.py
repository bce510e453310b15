"""Addresses and names of pods on this machine."""

import re
import threading

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.resources import SERVICES
from tests.kubernetes.fake.store import Store
from tests.ports import free_port


class Network:
    """Every pod has an address in 127.0.0.0/8; names are written into commands and environment as addresses.

    A pod cannot be given a resolver of its own without privileges, so a name `<hostname>.<service>` (bare or with
    `.<namespace>.svc.cluster.local`) is replaced by the address when the container starts. As with the real DNS,
    that needs a headless Service of that name whose selector picks the pod. Ports are shared by all pods of the machine:
    therefore the variable MASTER_PORT is mapped, per owner of the pods, to a port that is free here.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._addresses: dict[tuple[str, str], str] = {}
        self._ports: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def address(self, pod: Object) -> str:
        """The pod's address; pods of the same host name and subdomain (a replaced rank) share one."""
        metadata, spec = pod["metadata"], pod["spec"]
        name = spec.get("hostname", metadata["name"])
        return self._allocate(metadata["namespace"], f"{name}.{spec.get('subdomain', '')}")

    def resolve(self, text: str, pod: Object) -> str:
        """`text` with every resolvable name replaced."""
        namespace = pod["metadata"]["namespace"]
        for service in self._store.all(SERVICES, namespace):
            if service["spec"].get("clusterIP") != "None" or not _picks(service, pod):
                continue
            name = re.escape(service["metadata"]["name"])
            suffix = rf"(?:\.{re.escape(namespace)}(?:\.svc(?:\.cluster\.local)?)?)?"
            pattern = rf"(?<![\w.-])([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)\.{name}{suffix}(?![\w.-])"
            text = re.sub(
                pattern, lambda found, s=service: self._allocate(namespace, f"{found[1]}.{s['metadata']['name']}"), text
            )
        return text

    def port(self, pod: Object, wanted: str) -> str:
        """A free port that stands for `wanted` among the pods of one owner."""
        owners = pod["metadata"].get("ownerReferences") or [{"uid": pod["metadata"]["uid"]}]
        key = (owners[0]["uid"], wanted)
        with self._lock:
            if key not in self._ports:
                self._ports[key] = str(free_port())
            return self._ports[key]

    def _allocate(self, namespace: str, name: str) -> str:
        with self._lock:
            number = len(self._addresses)
            return self._addresses.setdefault((namespace, name), f"127.0.{1 + number // 200}.{2 + number % 200}")


def _picks(service: Object, pod: Object) -> bool:
    wanted = service["spec"].get("selector") or {}
    return bool(wanted) and wanted.items() <= (pod["metadata"].get("labels") or {}).items()
