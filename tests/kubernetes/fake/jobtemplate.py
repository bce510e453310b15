"""The pod that a job makes."""

import copy

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.clock import Clock
from tests.kubernetes.fake.defaults import admit_pod
from tests.kubernetes.fake.deletion import TRACKING
from tests.kubernetes.fake.store import new_metadata

INDEX = "batch.kubernetes.io/job-completion-index"


def pod_of(clock: Clock, job: Object, index: int | None, suffix: str) -> Object:
    """A new pod of the job; `index` is None for jobs that are not Indexed."""
    template = copy.deepcopy(job["spec"]["template"])
    name = job["metadata"]["name"]
    prefix = f"{name}-" if index is None else f"{name}-{index}-"
    labels = dict(template["metadata"].get("labels", {}))
    annotations = dict(template["metadata"].get("annotations", {}))
    spec = template["spec"]
    if index is not None:
        labels[INDEX] = annotations[INDEX] = str(index)
        spec["hostname"] = f"{name}-{index}"
        source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            if not any(entry["name"] == "JOB_COMPLETION_INDEX" for entry in container.get("env", [])):
                container.setdefault("env", []).append({"name": "JOB_COMPLETION_INDEX", "valueFrom": source})
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": name,
        "uid": job["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    metadata: Object = {
        "name": prefix + suffix,
        "generateName": prefix,
        "namespace": job["metadata"]["namespace"],
        "labels": labels,
    }
    if annotations:
        metadata["annotations"] = annotations
    metadata |= {"ownerReferences": [owner], "finalizers": [TRACKING]}
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": new_metadata(clock, metadata), "spec": spec}
    return admit_pod(pod)
