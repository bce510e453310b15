"""Which attempt at a job is the present one, and whether another may follow one that failed.

Decided from the launch records, so that whoever asks next decides the same.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from lifecycle.digests import digest_json
from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ExitClass
from lifecycle.training.mending import halved_micro_batch, with_micro_batch
from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.manifests import ATTEMPT, KEY, gpus_per_pod, job_name
from resources.launchers.kubernetes.outcome import job_in_effect
from resources.launchers.kubernetes.profile import ClusterProfile
from resources.launchers.kubernetes.record import LaunchRecord, last_record
from resources.launchers.kubernetes.states import condition
from resources.launchers.kubernetes.verdict import Verdict


@dataclass(frozen=True)
class Attempts:
    """All attempts at one job of one asset (and partition), as the run `dagster_run` goes on with them."""

    job: TrainingJob
    profile: ClusterProfile
    asset: str
    partition: str | None
    dagster_run: str

    @property
    def run_dir(self) -> Path:
        """Where the records are."""
        return Path(self.job.run_dir)

    @property
    def key(self) -> str:
        """What all of them have in common. An asset may launch several programs with one fingerprint."""
        job = self.job
        return digest_json([self.asset, self.partition, job.fingerprint, job.program, job.run_dir])[:32]

    def present(self, cluster: Cluster, log: logging.Logger) -> LaunchRecord:
        """The attempt to go on with: one that runs or is done is adopted, after one that is over comes a new one."""
        last = last_record(self.run_dir)
        jobs = {int(each["metadata"]["labels"][ATTEMPT]): each for each in cluster.jobs(f"{KEY}={self.key}")}
        newest = max([*jobs] + ([last.attempt] if last else []), default=-1)
        if last and last.attempt == newest:
            if last.open:
                return last
            after = self.after(last) if last.state == "failed" else None
            return after or self.new(newest + 1)
        if newest in jobs and not (condition(jobs[newest], "Complete") or condition(jobs[newest], "Failed")):
            log.warning("%s runs although nothing is recorded of it", jobs[newest]["metadata"]["name"])
            return self.new(newest)
        return self.new(newest + 1)

    def failed(self, record: LaunchRecord, verdict: Verdict) -> LaunchRecord:
        """The record of an attempt that failed, with the node that must not be used again."""
        fault = verdict.node if verdict.cause is ExitClass.NODE_FAULT else None
        avoid = (*record.avoid, fault) if fault and fault not in record.avoid else record.avoid
        return record.now(self.run_dir, state="failed", cause=verdict.cause.value, avoid=avoid)

    def after(self, failed: LaunchRecord) -> LaunchRecord | None:
        """The attempt after one that failed; None where none can help.

        What a retry can mend is retried, a bounded number of times in a row. Out of memory is met with half the micro-batch
        where the recipe allows it: a launcher alone does so for the ranks of its node, but several nodes must start again
        together, and a pod that the kernel killed has no launcher left.
        """
        cause = ExitClass(failed.cause)
        if cause.retryable and failed.retries < self.profile.retries:
            return self.new(failed.attempt + 1, failed.retries + 1, failed.avoid, failed.micro_batch)
        if cause is ExitClass.OUT_OF_MEMORY:
            size = halved_micro_batch(job_in_effect(self.of(failed)))
            if size is not None:
                return self.new(failed.attempt + 1, failed.retries, failed.avoid, size)
        return None

    def of(self, record: LaunchRecord) -> TrainingJob:
        """The job as this attempt runs it."""
        return self.job if record.micro_batch is None else with_micro_batch(self.job, record.micro_batch)

    def new(
        self, attempt: int, retries: int = 0, avoid: tuple[str, ...] = (), micro_batch: int | None = None
    ) -> LaunchRecord:
        """The record of an attempt, written before anything is asked of the cluster."""
        record = LaunchRecord(
            name=job_name(self.job.stage, self.key, attempt),
            namespace=self.profile.namespace,
            key=self.key,
            attempt=attempt,
            stage=self.job.stage,
            fingerprint=self.job.fingerprint,
            asset=self.asset,
            partition=self.partition,
            dagster_run=self.dagster_run,
            nodes=self.job.nodes,
            gpus=self.job.nodes * gpus_per_pod(self.job, self.profile),
            retries=retries,
            avoid=avoid,
            micro_batch=micro_batch,
        )
        record.write(self.run_dir)
        return record
