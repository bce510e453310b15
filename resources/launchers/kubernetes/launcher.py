"""Runs training programs as Kubernetes Jobs, with the interface of the local launcher."""

import os
from typing import TYPE_CHECKING, Any

import dagster as dg

from lifecycle.errors import JobFailedError
from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ConfigurationError
from resources.launchers.base import Launcher
from resources.launchers.kubernetes.profile import ClusterProfile, load_profile

if TYPE_CHECKING:
    from resources.launchers.kubernetes.supervisor import Supervisor


class KubernetesLauncher(Launcher):
    """Makes or adopts the job's Job and follows it. The job needs nobody: whoever asks for the same again adopts it."""

    profile_path: str
    """The cluster profile, as LIFECYCLE_CLUSTER names it: where and as what pods of trainings run."""
    kubeconfig: str | None = None
    """None: $KUBECONFIG or ~/.kube/config, else the cluster that this process runs in."""

    def launch(self, context: dg.AssetExecutionContext, job: TrainingJob) -> dict[str, Any]:
        """See `Launcher.launch`.

        Cancelling the Dagster run stops the job after a checkpoint and deletes it. A supervisor that is merely ended (its
        own pod evicted, its node drained) leaves the job running.

        Raises:
            dagster.Failure: the job failed; its metadata has class, job, attempt, nodes, pods and GPU-hours.
        """
        # Definitions are loaded in every step of every run: the API client, a second of imports, waits until it is needed.
        from resources.launchers.kubernetes.client import connect
        from resources.launchers.kubernetes.supervisor import Supervisor

        profile = load_profile(self.profile_path)
        supervisor = Supervisor(context, connect(profile.namespace, self.kubeconfig), profile, _placed(job, profile))
        try:
            facts = supervisor.run()
            context.add_asset_metadata(_metadata(supervisor))
            return facts
        except JobFailedError as error:
            metadata = {"class": error.exit_class, **_metadata(supervisor), **_first_failure(supervisor)}
            raise dg.Failure(description=str(error), metadata=metadata, allow_retries=False) from error
        except Exception:
            raise
        except BaseException:  # Dagster interrupts with one that is no Exception
            if _cancelled(context):
                supervisor.stop()
            else:
                context.log.info("this supervisor ends, the job runs on; the next one adopts it")
            raise


def _placed(job: TrainingJob, profile: ClusterProfile) -> TrainingJob:
    if not profile.holds(job.run_dir):
        mounts = ", ".join(volume.mount_path for volume in profile.volumes if not volume.read_only) or "none"
        raise ConfigurationError(
            f"pods cannot write to {job.run_dir}: it lies below no writable volume of the cluster profile ({mounts}); "
            "mount the store there under the same path"
        )
    return job.model_copy(update={"nodes": profile.nodes_for(job.processes)})


def _cancelled(context: dg.AssetExecutionContext) -> bool:
    """Whether a person wants the job to stop. Outside of a cluster, an interrupt comes from a person's keyboard."""
    run = context.instance.get_run_by_id(context.run_id)
    asked = run is not None and run.status in (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)
    return asked or "KUBERNETES_SERVICE_HOST" not in os.environ


def _metadata(supervisor: "Supervisor") -> dict[str, Any]:
    record = supervisor.record
    if record is None:
        return {}
    return {
        "kubernetes job": f"{record.namespace}/{record.name}",
        "attempt": record.attempt,
        "pods": ", ".join(sorted(pod.name for pod in supervisor.seen)) or "none",
        "nodes": ", ".join(sorted({pod.node for pod in supervisor.seen if pod.node})) or "none",
        "GPU-hours": round(supervisor.gpu_hours, 4),
    }


def _first_failure(supervisor: "Supervisor") -> dict[str, Any]:
    verdict = supervisor.verdict
    facts = {"first failing rank": verdict.rank, "on pod": verdict.pod, "on node": verdict.node} if verdict else {}
    return {name: value for name, value in facts.items() if value is not None}
