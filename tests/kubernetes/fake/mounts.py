"""Volumes and environment of a container on this machine."""

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.network import Network
from tests.kubernetes.fake.resources import CONFIG_MAPS, SECRETS, Resource
from tests.kubernetes.fake.store import Store


@dataclass(frozen=True)
class Image:
    """What an image would bring: the command of a container that gives none, and variables."""

    entrypoint: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


class NotReadyError(Exception):
    """The container cannot start yet: `reason` as its waiting state or event gives it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Machine:
    """Where the volumes of pods lie: claims by name, and a folder for everything that a pod makes."""

    store: Store
    network: Network
    folder: Path
    claims: dict[str, Path]

    def scratch(self, pod: Object) -> Path:
        """The pod's own folder."""
        path = self.folder / f"{pod['metadata']['name']}-{pod['metadata']['uid'][:8]}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def volumes(self, pod: Object) -> dict[str, Path]:
        """A local folder for every volume of the pod by its name.

        Raises:
            NotReadyError: FailedMount, what the volume names is not there.
        """
        return {volume["name"]: self._volume(pod, volume) for volume in pod["spec"].get("volumes", [])}

    def _volume(self, pod: Object, volume: Object) -> Path:
        namespace, own = pod["metadata"]["namespace"], self.scratch(pod) / "volumes" / volume["name"]
        if host := volume.get("hostPath"):
            path = Path(host["path"])
            if host.get("type") == "DirectoryOrCreate":
                path.mkdir(parents=True, exist_ok=True)
            if host.get("type") == "Directory" and not path.is_dir():
                raise NotReadyError("FailedMount", f"hostPath type check failed: {path} is not a directory")
            return path
        if claim := volume.get("persistentVolumeClaim"):
            return self.claims[claim["claimName"]]
        own.mkdir(parents=True, exist_ok=True)
        for key, resource, name_field in (("configMap", CONFIG_MAPS, "name"), ("secret", SECRETS, "secretName")):
            if source := volume.get(key):
                self._write_files(resource, namespace, source[name_field], source.get("items"), own)
        return own

    def _write_files(self, resource: Resource, namespace: str, name: str, items: list[Object] | None, folder: Path) -> None:
        found = self.store.find(resource, namespace, name)
        if found is None:
            raise NotReadyError("FailedMount", f'MountVolume.SetUp failed: {resource.kind.lower()} "{name}" not found')
        data = data_of(found)
        wanted = {item["key"]: item["path"] for item in items} if items else {key: key for key in data}
        for key, path in wanted.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data[key])

    def environment(self, pod: Object, container: Object, base: dict[str, str]) -> dict[str, str]:
        """The variables of a container, references followed and `$(NAME)` expanded.

        Raises:
            NotReadyError: CreateContainerConfigError, a ConfigMap, Secret or key is missing.
        """
        result = dict(base)
        namespace = pod["metadata"]["namespace"]
        for source in container.get("envFrom", []):
            for key, resource in (("configMapRef", CONFIG_MAPS), ("secretRef", SECRETS)):
                if reference := source.get(key):
                    values = self._data(resource, namespace, reference)
                    result |= {source.get("prefix", "") + name: value.decode() for name, value in values.items()}
        for entry in container.get("env", []):
            if "valueFrom" in entry:
                value = self._referenced(pod, entry["valueFrom"])
                if value is None:
                    continue
            else:
                value = expand(entry.get("value", ""), result)
            result[entry["name"]] = value
        if "MASTER_PORT" in result and not pod["spec"].get("hostNetwork"):
            result["MASTER_PORT"] = self.network.port(pod, result["MASTER_PORT"])
        return result

    def _referenced(self, pod: Object, source: Object) -> str | None:
        if "fieldRef" in source:
            return self._field(pod, source["fieldRef"]["fieldPath"])
        for key, resource in (("configMapKeyRef", CONFIG_MAPS), ("secretKeyRef", SECRETS)):
            if reference := source.get(key):
                values = self._data(resource, pod["metadata"]["namespace"], reference)
                if reference["key"] in values:
                    return values[reference["key"]].decode()
                if reference.get("optional"):
                    return None
                where = f"{pod['metadata']['namespace']}/{reference['name']}"
                raise NotReadyError(
                    "CreateContainerConfigError", f"couldn't find key {reference['key']} in {resource.kind} {where}"
                )
        raise NotReadyError("CreateContainerConfigError", f"the fake kubelet does not know {sorted(source)}")

    def _data(self, resource: Resource, namespace: str, reference: Object) -> dict[str, bytes]:
        found = self.store.find(resource, namespace, reference["name"])
        if found is None and not reference.get("optional"):
            raise NotReadyError("CreateContainerConfigError", f'{resource.kind.lower()} "{reference["name"]}" not found')
        return data_of(found) if found else {}

    def _field(self, pod: Object, path: str) -> str:
        metadata, spec = pod["metadata"], pod["spec"]
        if found := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
            return (metadata.get(found[1]) or {}).get(found[2], "")
        address = self.network.address(pod)
        values = {
            "metadata.name": metadata["name"],
            "metadata.namespace": metadata["namespace"],
            "metadata.uid": metadata["uid"],
            "spec.nodeName": spec.get("nodeName", ""),
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "status.podIP": address,
            "status.podIPs": address,
            "status.hostIP": "127.0.0.1",
        }
        return values[path]


def data_of(item: Object) -> dict[str, bytes]:
    """The files of a ConfigMap or Secret."""
    encoded = item.get("binaryData") or (item.get("data") if item.get("kind") == "Secret" else None) or {}
    plain = item.get("stringData" if item.get("kind") == "Secret" else "data") or {}
    return {name: base64.b64decode(value) for name, value in encoded.items()} | {
        name: value.encode() for name, value in plain.items()
    }


def expand(text: str, variables: dict[str, str]) -> str:
    """`$(NAME)` replaced by the variable; unknown names and `$$(NAME)` stay, as Kubernetes defines it."""

    def one(found: re.Match[str]) -> str:
        if found[0].startswith("$$"):
            return found[0][1:]
        return variables.get(found[1], found[0])

    return re.sub(r"\$?\$\(([A-Za-z_][\w.-]*)\)", one, text)


def relocate(text: str, mounted: dict[str, Path]) -> str:
    """`text` with paths under a mount path rewritten to the local folder; the longest mount path wins."""
    for mount in sorted(mounted, key=len, reverse=True):
        if Path(mount) == mounted[mount]:
            continue
        pattern = rf"(?<![\w./-]){re.escape(mount.rstrip('/'))}(?=/|$|[^\w.-])"
        text = re.sub(pattern, lambda _, local=mounted[mount]: str(local), text)
    return text
