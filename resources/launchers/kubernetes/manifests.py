"""Pure functions from a job and a cluster profile to Kubernetes objects, as the JSON that `kubectl` would read.

A job is an Indexed Job, one pod a node. It is made suspended, then its ConfigMap and, for several nodes, its headless
Service with the Job as owner; then it is released. Volumes are never owned.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ExitClass
from resources.launchers.kubernetes.profile import ClusterProfile, PvcVolume, Volume

Manifest = dict[str, Any]

CONTAINER = "main"
JOB_FOLDER = "/etc/lifecycle"
PART_OF = "app.kubernetes.io/part-of"
KEY = "lifecycle/key"
ATTEMPT = "lifecycle/attempt"
STAGE = "lifecycle/stage"
RUN_DIR = "lifecycle/run-dir"
FINGERPRINT = "lifecycle/fingerprint"
DAGSTER_RUN = "lifecycle/dagster-run"
QUEUE = "kueue.x-k8s.io/queue-name"
INDEX = "batch.kubernetes.io/job-completion-index"
FAIL_AT_ONCE = tuple(sorted(each.code for each in (ExitClass.CONFIGURATION, ExitClass.DATA, ExitClass.NUMERICS)))


@dataclass(frozen=True)
class Launch:
    """One attempt at a job.

    Attributes:
        name: of the Job and of everything that belongs to it, at most 57 characters.
        key: what all attempts have in common.
        dagster_run: the run that asked for it.
        variables: of this attempt's environment, on top of the profile's.
        avoid: nodes that must not be used again.
    """

    job: TrainingJob
    name: str
    key: str
    attempt: int
    dagster_run: str
    variables: dict[str, str] = field(default_factory=dict)
    avoid: tuple[str, ...] = ()


def job_manifest(launch: Launch, profile: ClusterProfile) -> Manifest:
    """The Job, suspended."""
    nodes = launch.job.nodes
    labels = _labels(launch)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            **_metadata(launch, profile),
            "labels": labels | ({QUEUE: profile.queue} if profile.queue else {}),
            "annotations": _annotations(launch),
        },
        "spec": {
            "suspend": True,
            "completionMode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": profile.keep_finished_seconds,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": list(FAIL_AT_ONCE)},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {
                "metadata": {"labels": labels, "annotations": _annotations(launch)},
                "spec": _pod(launch, profile),
            },
        },
    }


def config_map_manifest(launch: Launch, profile: ClusterProfile, owner: Manifest) -> Manifest:
    """The ConfigMap with `job.json`, owned by the created Job `owner`."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _owned(launch, profile, owner),
        "data": {"job.json": launch.job.model_dump_json(indent=1)},
    }


def service_manifest(launch: Launch, profile: ClusterProfile, owner: Manifest) -> Manifest:
    """The headless Service under which the pods find each other as `<job>-<index>.<job>`, before they are ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _owned(launch, profile, owner),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {KEY: launch.key, ATTEMPT: str(launch.attempt)},
            "ports": [{"name": "rendezvous", "port": profile.network.port}],
        },
    }


def claim_manifests(profile: ClusterProfile) -> list[Manifest]:
    """The PersistentVolumeClaims that the profile wants made where they are missing; nothing owns them."""
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": volume.claim, "namespace": profile.namespace, "labels": {PART_OF: "lifecycle"}},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": volume.create.size}},
                **({"storageClassName": volume.create.storage_class} if volume.create.storage_class else {}),
            },
        }
        for volume in profile.volumes
        if isinstance(volume, PvcVolume) and volume.create
    ]


def job_name(stage: str, key: str, attempt: int) -> str:
    """A name that says what runs and is the same for everybody who asks for the same: at most 50 characters.

    Kubernetes allows 63 and adds the index of a pod.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", stage.lower()).strip("-")[:28].rstrip("-")
    return f"{readable}-{key[:16]}-{attempt}"


def gpus_per_pod(job: TrainingJob, profile: ClusterProfile) -> int:
    """One for each rank of the pod; 0 on the CPU."""
    return job.processes // job.nodes if profile.gpus else 0


def _pod(launch: Launch, profile: ClusterProfile) -> Manifest:
    network = profile.network
    pod: Manifest = {
        "restartPolicy": "Never",
        "serviceAccountName": profile.service_account,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": profile.grace_seconds,
        "enableServiceLinks": False,
        "containers": [_container(launch, profile)],
        "volumes": [
            {"name": "job", "configMap": {"name": launch.name}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": profile.shared_memory}},
            *(_volume(volume) for volume in profile.volumes),
        ],
    }
    if launch.job.nodes > 1:
        pod["subdomain"] = launch.name
    if network.host_network:
        pod |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    if profile.node_selector:
        pod["nodeSelector"] = dict(profile.node_selector)
    if profile.tolerations:
        pod["tolerations"] = [
            {"operator": "Equal" if each.value is not None else "Exists", **each.model_dump(exclude_none=True)}
            for each in profile.tolerations
        ]
    if launch.avoid:
        pod["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _not_on(launch.avoid)}}
    if profile.priority_class:
        pod["priorityClassName"] = profile.priority_class
    if profile.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in profile.pull_secrets]
    if profile.run_seconds:
        pod["activeDeadlineSeconds"] = profile.run_seconds
    return pod


def _container(launch: Launch, profile: ClusterProfile) -> Manifest:
    amounts = {"cpu": profile.cpu, "memory": profile.memory}
    if profile.gpus:
        amounts[profile.gpus.resource] = str(gpus_per_pod(launch.job, profile))
    if profile.network.rdma_resource:
        amounts[profile.network.rdma_resource] = str(profile.network.rdma_count)
    container: Manifest = {
        "name": CONTAINER,
        "image": profile.image,
        "imagePullPolicy": profile.pull_policy,
        "command": [profile.python, "-m", "lifecycle.training.launch", f"{JOB_FOLDER}/job.json"],
        "env": [{"name": name, "value": value} for name, value in sorted(_variables(launch, profile).items())],
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "volumeMounts": [
            {"name": "job", "mountPath": JOB_FOLDER, "readOnly": True},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
            *(_mount(volume) for volume in profile.volumes),
        ],
    }
    if profile.secrets:
        container["envFrom"] = [{"secretRef": {"name": name}} for name in profile.secrets]
    if profile.network.rdma_resource:
        container["securityContext"] = {"capabilities": {"add": ["IPC_LOCK"]}}
    return container


def _variables(launch: Launch, profile: ClusterProfile) -> dict[str, str]:
    variables = {"PYTHONUNBUFFERED": "1", **profile.environment, **profile.network.variables, **launch.variables}
    if launch.job.nodes > 1:
        variables |= {"MASTER_ADDR": f"{launch.name}-0.{launch.name}", "MASTER_PORT": str(profile.network.port)}
    return variables


def _volume(volume: Volume) -> Manifest:
    if isinstance(volume, PvcVolume):
        return {"name": volume.name, "persistentVolumeClaim": {"claimName": volume.claim}}
    return {"name": volume.name, "hostPath": {"path": volume.path, "type": "Directory"}}


def _mount(volume: Volume) -> Manifest:
    return {"name": volume.name, "mountPath": volume.mount_path, **({"readOnly": True} if volume.read_only else {})}


def _not_on(nodes: tuple[str, ...]) -> Manifest:
    fields = [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in nodes]
    return {"nodeSelectorTerms": [{"matchFields": fields}]}


def _labels(launch: Launch) -> dict[str, str]:
    return {
        PART_OF: "lifecycle",
        STAGE: launch.job.stage,
        KEY: launch.key,
        ATTEMPT: str(launch.attempt),
    }


def _annotations(launch: Launch) -> dict[str, str]:
    return {RUN_DIR: launch.job.run_dir, FINGERPRINT: launch.job.fingerprint, DAGSTER_RUN: launch.dagster_run}


def _metadata(launch: Launch, profile: ClusterProfile) -> Manifest:
    return {"name": launch.name, "namespace": profile.namespace, "labels": _labels(launch)}


def _owned(launch: Launch, profile: ClusterProfile, owner: Manifest) -> Manifest:
    reference = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": launch.name,
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return _metadata(launch, profile) | {"ownerReferences": [reference]}
