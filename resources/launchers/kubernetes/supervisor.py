"""Follows one job through its attempts: makes or adopts, follows, and tries again where that can help."""

import time
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, PipesEnvContextInjector, open_pipes_session

from lifecycle.errors import JobFailedError
from lifecycle.jobs import TrainingJob
from resources.launchers.kubernetes import manifests, outcome
from resources.launchers.kubernetes.assembly import assemble
from resources.launchers.kubernetes.attempts import Attempts
from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.following import LOOK_SECONDS, Follower
from resources.launchers.kubernetes.manifests import Launch, Manifest
from resources.launchers.kubernetes.messages import StoreMessageReader
from resources.launchers.kubernetes.observer import Observer
from resources.launchers.kubernetes.pods import Pod
from resources.launchers.kubernetes.profile import ClusterProfile
from resources.launchers.kubernetes.record import LaunchRecord, attempt_folder
from resources.launchers.kubernetes.verdict import Verdict


class Supervisor:
    """One job, seen from the Dagster step that wants its result."""

    def __init__(self, context: AssetExecutionContext, cluster: Cluster, profile: ClusterProfile, job: TrainingJob) -> None:
        self.context, self.cluster, self.profile, self.job = context, cluster, profile, job
        self.run_dir = Path(job.run_dir)
        partition = context.partition_key if context.has_partition_key else None
        self.attempts = Attempts(job, profile, context.asset_key.to_user_string(), partition, context.run_id)
        self.record: LaunchRecord | None = None
        self.seen: tuple[Pod, ...] = ()
        """All pods of the present attempt."""
        self.gpu_hours = 0.0
        self.verdict: Verdict | None = None
        """Of the last attempt that failed."""

    def run(self) -> dict[str, Any]:
        """The facts of the job's result, with its output in `job.output`.

        Raises:
            JobFailedError: it failed for good; `record` and `seen` say more.
        """
        for manifest in manifests.claim_manifests(self.profile):
            self.cluster.create_claim(manifest)
        self.record = self.attempts.present(self.cluster, self.context.log)
        while verdict := self._attempt(self.record):
            self.record = self._again(self.record, verdict)
        facts, self.record = outcome.take(self.job, self.record)
        return facts

    def stop(self) -> None:
        """Stop the present attempt: SIGTERM, a checkpoint, the end; then nothing of it is left in the cluster."""
        if self.record is None or not self.record.open:
            return
        self.record = self.record.now(self.run_dir, state="cancelled")
        job = self.cluster.job(self.record.name)
        if job is None:
            return
        self.context.log.info("%s: asked to stop; its checkpoint is waited for", self.record.name)
        with self._observer(self.record, job) as observer:
            self.cluster.delete_job(self.record.name, job["metadata"]["uid"])
            until = time.monotonic() + self.profile.grace_seconds + self.profile.lost_node_seconds
            while time.monotonic() < until:
                sight = observer.wait(LOOK_SECONDS)
                # Asked anew: the observer may not have heard of any pod yet.
                if sight.job is None and not self.cluster.pods(observer.selector):
                    break
            observer.finish_logs()

    def _attempt(self, record: LaunchRecord) -> Verdict | None:
        """Make or adopt it and follow it to its end; None when it succeeded."""
        reader = StoreMessageReader(attempt_folder(self.run_dir, record.attempt))
        follower = Follower(self.cluster, self.profile, self.job, record, self.context.log)
        with open_pipes_session(self.context, PipesEnvContextInjector(), reader) as session:
            job = self._make(record, dict(session.get_bootstrap_env_vars()))
            if job is None:
                return follower.missing()
            with self._observer(record, job) as observer:
                try:
                    verdict = follower.follow(observer)
                    observer.finish_logs()
                    return verdict
                finally:
                    self.seen = observer.sight().pods
                    per_pod = manifests.gpus_per_pod(self.job, self.profile)
                    self.gpu_hours += sum(pod.ran_seconds(time.time()) for pod in self.seen) * per_pod / 3600

    def _make(self, record: LaunchRecord, variables: dict[str, str]) -> Manifest | None:
        """The Job, with its parts and released; None when it was released before and is gone."""
        if record.state != "begun":
            job = self.cluster.job(record.name)
            if job:
                self.context.log.info("%s: adopted", record.name)
            return job
        if self.cluster.job(record.name) is None:
            outcome.forget_ends(self.job)
        output = str(outcome.output_folder(self.run_dir, record.attempt))
        launch = Launch(
            job=self.attempts.of(record).model_copy(update={"output": output}),
            name=record.name,
            key=record.key,
            attempt=record.attempt,
            dagster_run=self.context.run_id,
            variables=variables,
            avoid=record.avoid,
        )
        job, made = assemble(self.cluster, launch, self.profile)
        self.context.log.info("%s: %s", record.name, "made" if made else "adopted")
        self.record = record.now(self.run_dir, state="released")
        return job

    def _again(self, record: LaunchRecord, verdict: Verdict) -> LaunchRecord:
        """The next attempt; raises JobFailedError where none can help."""
        record = self.record = self.attempts.failed(record, verdict)
        self.verdict = verdict
        rank = "" if verdict.rank is None else f", rank {verdict.rank}"
        where = f" ({verdict.pod} on {verdict.node})" if verdict.pod else ""
        text = f"FAILED({verdict.cause.value}{rank}){where}: {verdict.message}"
        if following := self.attempts.after(record):
            self.context.log.warning(
                "%s: %s. Going on from its last checkpoint, %s", record.name, text, self._how(following)
            )
            return following
        lines = [f"{record.stage}: {text}", verdict.cause.advice]
        if last := verdict.last_lines or outcome.last_lines(self.run_dir, record.attempt, verdict.pod):
            lines += [f"The end of its log (all of it is in {self.run_dir}/logs and beside {record.name}'s record):", *last]
        self.record = record.now(self.run_dir, state="told")
        raise JobFailedError("\n".join(lines), verdict.cause.value)

    def _how(self, following: LaunchRecord) -> str:
        """What the next attempt does differently."""
        assert self.record is not None
        said = f"retry {following.retries} of {self.profile.retries}"
        if following.micro_batch != self.record.micro_batch:
            said = f"with micro_batch {following.micro_batch} and the same global batch"
        return said + (f", not on {', '.join(following.avoid)}" if following.avoid else "")

    def _observer(self, record: LaunchRecord, job: Manifest) -> Observer:
        return Observer(self.cluster, job, outcome.logs_folder(self.run_dir, record.attempt))
