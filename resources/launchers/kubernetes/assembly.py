"""Puts a job together in the cluster, in the order in which nothing can be left without an owner."""

from resources.launchers.kubernetes import manifests
from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.manifests import Launch, Manifest
from resources.launchers.kubernetes.profile import ClusterProfile


def assemble(cluster: Cluster, launch: Launch, profile: ClusterProfile) -> tuple[Manifest, bool]:
    """The Job, suspended at first, then what it owns, then its release; and whether the Job is new.

    May be repeated: whoever finds it half done finishes it. A queue releases its jobs itself.
    """
    job, made = cluster.create_job(manifests.job_manifest(launch, profile))
    cluster.create_config_map(manifests.config_map_manifest(launch, profile, job))
    if launch.job.nodes > 1:
        cluster.create_service(manifests.service_manifest(launch, profile, job))
    if not profile.queue and job["spec"].get("suspend"):
        cluster.release_job(launch.name)
    return job, made
