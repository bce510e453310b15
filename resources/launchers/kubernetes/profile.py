"""What a cluster is like: one YAML file per cluster, read by the launcher, by `lifecycle doctor` and by `lifecycle jobs`."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import Field, StringConstraints, ValidationError, model_validator

from lifecycle.errors import RecipeError
from lifecycle.recipe.base import Section

DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
Quantity = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
"""An amount as Kubernetes writes it: `16`, `500m`, `64Gi`. `GB` is not one."""


class Toleration(Section):
    """A taint that the pods may ignore. Without a value, any value of the key."""

    key: str
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Gpus(Section):
    """The accelerators of a node."""

    resource: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")] = "nvidia.com/gpu"
    per_node: int = Field(gt=0)
    """A job of at most so many ranks runs in one pod with one GPU a rank; a larger one takes whole nodes."""


class Claim(Section):
    """Makes the PersistentVolumeClaim when it does not exist. It is never owned by a job and never deleted."""

    size: Quantity
    storage_class: str | None = None


class PvcVolume(Section):
    """A PersistentVolumeClaim; several nodes need one that many may write to (ReadWriteMany)."""

    kind: Literal["pvc"]
    name: DnsLabel
    mount_path: str
    claim: str
    read_only: bool = False
    create: Claim | None = None


class HostPathVolume(Section):
    """A directory of every node, such as a parallel file system that all of them mount."""

    kind: Literal["host_path"]
    name: DnsLabel
    mount_path: str
    path: str
    read_only: bool = False


Volume = Annotated[PvcVolume | HostPathVolume, Field(discriminator="kind")]


class Network(Section):
    """How the nodes talk to each other."""

    host_network: bool = False
    rdma_resource: str | None = None
    """Name of the device plugin's resource, e.g. `rdma/hca`."""
    rdma_count: int = Field(default=1, gt=0)
    port: int = Field(default=29500, ge=1024, le=65535)
    """Where rank 0 listens. On the host's network two jobs on one node need two ports."""
    variables: dict[str, str] = Field(default_factory=dict)
    """For NCCL and gloo, e.g. `NCCL_IB_HCA: mlx5` or `GLOO_SOCKET_IFNAME: eth0`."""


class ClusterProfile(Section):
    """Where and as what the pods of a job run. Nothing here changes a result."""

    image: str = Field(min_length=1)
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    python: str = "python"
    """The interpreter inside the image."""
    namespace: DnsLabel
    service_account: DnsLabel = "default"
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    gpus: Gpus | None = None
    """None: the ranks run on the CPU."""
    ranks_per_node: int = Field(default=1, gt=0)
    """For ranks on the CPU what `gpus.per_node` is for the others."""
    cpu: Quantity
    memory: Quantity
    """Of each pod, requested and not to be exceeded; /dev/shm counts."""
    shared_memory: Quantity = "1Gi"
    """Size of /dev/shm. The 64 MiB that a container has by default are too few for data loaders and NCCL."""
    volumes: tuple[Volume, ...]
    """The store must lie below one of the mount paths, under the same path as for the supervisor."""
    secrets: tuple[DnsLabel, ...] = ()
    """Secrets whose keys become environment variables, e.g. credentials of an object store."""
    environment: dict[str, str] = Field(default_factory=dict)
    network: Network = Network()
    priority_class: str | None = None
    queue: str | None = None
    """A Kueue LocalQueue: then Kueue releases the job, and waiting for it has no time-out."""
    grace_seconds: int = Field(default=90, ge=1)
    """From SIGTERM to SIGKILL: the launcher gives the ranks 60 s for a step and a checkpoint."""
    run_seconds: int | None = Field(default=None, gt=0)
    """A pod that runs for longer is ended, as a failure of the configuration. Waiting in a queue does not count."""
    pull_seconds: int = Field(default=900, gt=0)
    """For how long an image that cannot be pulled is waited for."""
    lost_node_seconds: int = Field(default=120, gt=0)
    """After its grace has passed, for how long a pod may stay before its node counts as lost."""
    keep_finished_seconds: int = Field(default=86_400, ge=0)
    """For how long a finished Job stays visible (`ttlSecondsAfterFinished`)."""
    retries: int = Field(default=3, ge=0)
    """How often in a row a failure that a retry can mend is retried, each time from the last checkpoint."""

    @model_validator(mode="after")
    def _mounts_are_distinct(self) -> "ClusterProfile":
        for field in ("name", "mount_path"):
            values = [getattr(volume, field) for volume in self.volumes]
            if len(set(values)) != len(values):
                raise ValueError(f"volumes: two of them have the same {field}: {sorted(values)}")
        if "/dev/shm" in (volume.mount_path for volume in self.volumes):
            raise ValueError("volumes: /dev/shm is made by shared_memory")
        return self

    @property
    def node_ranks(self) -> int:
        """How many ranks a whole node runs."""
        return self.gpus.per_node if self.gpus else self.ranks_per_node

    def nodes_for(self, processes: int) -> int:
        """How many nodes share `processes` ranks; raises RecipeError when whole nodes cannot."""
        if processes <= self.node_ranks:
            return 1
        if processes % self.node_ranks:
            raise RecipeError(
                f"{processes} processes do not fill whole nodes of {self.node_ranks} ranks; choose a multiple of it"
            )
        return processes // self.node_ranks

    def holds(self, path: str | Path) -> bool:
        """Whether pods can write at `path`: it lies below a writable volume's mount path."""
        return any(PurePosixPath(path).is_relative_to(volume.mount_path) for volume in self.volumes if not volume.read_only)


def load_profile(path: str | Path) -> ClusterProfile:
    """Read a profile.

    Raises:
        RecipeError: the file is missing or not YAML, or a field is unknown, missing or wrong; the message names it.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return ClusterProfile.model_validate(data)
    except FileNotFoundError as error:
        raise RecipeError(f"{path}: no such cluster profile (LIFECYCLE_CLUSTER names it)") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise RecipeError(f"{path}: this cluster profile is not usable:\n" + "\n".join(lines)) from error
