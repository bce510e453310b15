"""From a container's spec to a process on this machine."""

from pathlib import Path

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.conditions import event
from tests.kubernetes.fake.containers import Container, default_environment
from tests.kubernetes.fake.mounts import Image, Machine, expand, relocate
from tests.kubernetes.fake.nodes import note_image
from tests.kubernetes.fake.podstatus import new_container_id


def start_container(machine: Machine, image: Image, pod: Object, spec: Object, folders: dict[str, Path]) -> Container:
    """Start one container of a pod; `folders` are its volumes.

    Raises:
        NotReadyError: a variable refers to something that is not there.
    """
    store, name = machine.store, spec["name"]
    scratch = machine.scratch(pod)
    host = pod["spec"].get("hostname", pod["metadata"]["name"])
    base = default_environment(scratch) | image.environment | {"HOSTNAME": host}
    raw = machine.environment(pod, spec, base)
    mounted = {
        mount["mountPath"]: folders[mount["name"]] / mount.get("subPath", "")
        for mount in spec.get("volumeMounts", [])
        if mount["name"] in folders
    }

    def local(text: str) -> str:
        return relocate(machine.network.resolve(text, pod), mounted)

    words = [*(spec.get("command") or image.entrypoint), *spec.get("args", [])]
    argv = [local(expand(word, raw)) for word in words]
    own = {key: value if key in base else local(value) for key, value in raw.items()}
    folder = Path(local(spec["workingDir"])) if spec.get("workingDir") else scratch
    present = f'Container image "{spec["image"]}" already present on machine'
    for reason, message in (("Pulled", present), ("Created", f"Created container: {name}")):
        event(store, pod, "kubelet", reason, message, container=name)
    container = Container(new_container_id(), store.clock)
    container.start(argv, own, folder)
    note_image(store, pod["spec"]["nodeName"], spec["image"])
    event(store, pod, "kubelet", "Started", f"Started container {name}", container=name)
    return container


def tell_pull_failed(machine: Machine, pod: Object, image: str) -> None:
    """The events of an image that cannot be pulled."""
    told = [
        (False, "Pulling", f'Pulling image "{image}"'),
        (True, "Failed", f'Failed to pull image "{image}": {why_not_pulled(image)}'),
        (True, "Failed", "Error: ErrImagePull"),
        (False, "BackOff", f'Back-off pulling image "{image}"'),
        (True, "Failed", "Error: ImagePullBackOff"),
    ]
    name = pod["spec"]["containers"][0]["name"]
    for warning, reason, message in told:
        event(machine.store, pod, "kubelet", reason, message, warning, name)


def why_not_pulled(image: str) -> str:
    """containerd's message for a registry that does not exist."""
    host, _, rest = image.partition("/")
    repository, _, tag = rest.rpartition(":")
    return (
        f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": failed to do request: '
        f'Head "https://{host}/v2/{repository}/manifests/{tag}": dial tcp: lookup {host}: no such host'
    )
