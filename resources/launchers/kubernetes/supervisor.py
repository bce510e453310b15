"""Follows one job through its attempts: makes or adopts, watches, judges, and tries again where that can help."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, PipesEnvContextInjector, open_pipes_session

from lifecycle.digests import digest_json
from lifecycle.errors import JobFailedError
from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ExitClass
from lifecycle.training.failures import FILE, RESULT, Failure
from lifecycle.training.journal import read_metrics
from lifecycle.training.place import folder
from resources.launchers.kubernetes import manifests
from resources.launchers.kubernetes.assembly import assemble
from resources.launchers.kubernetes.client import Cluster
from resources.launchers.kubernetes.manifests import ATTEMPT, KEY, Launch, Manifest, job_name
from resources.launchers.kubernetes.messages import StoreMessageReader
from resources.launchers.kubernetes.observer import Observer, Sight
from resources.launchers.kubernetes.pods import Pod
from resources.launchers.kubernetes.profile import ClusterProfile
from resources.launchers.kubernetes.record import LaunchRecord, attempt_folder, last_record
from resources.launchers.kubernetes.states import Standing, State, condition, standing
from resources.launchers.kubernetes.stuck import Watchdog
from resources.launchers.kubernetes.verdict import Verdict, judge

LOOK_SECONDS = 1.0
"""Between two looks at what only time changes (an image that cannot be pulled, a node that does not answer)."""
SLOW_SECONDS = 20.0
"""A container that takes longer to start is asked why."""
LAST_LINES = 50
OUTPUT = "output"
TAKEN = "taken"
GONE = "its Job is complete, but another run of this asset has taken its output; materialize it again to reuse that"


class Supervisor:
    """One job, seen from the Dagster step that wants its result."""

    def __init__(self, context: AssetExecutionContext, cluster: Cluster, profile: ClusterProfile, job: TrainingJob) -> None:
        self.context, self.cluster, self.profile, self.job = context, cluster, profile, job
        self.run_dir = Path(job.run_dir)
        self.partition = context.partition_key if context.has_partition_key else None
        self.asset = context.asset_key.to_user_string()
        self.key = job_key(self.asset, self.partition, job)
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
        self.record = self._begin()
        while verdict := self._attempt(self.record):
            self.record = self._again(self.record, verdict)
        return self._take(self.record)

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
                if sight.job is None and all(pod.gone for pod in sight.pods):
                    break
            observer.finish_logs()

    def _begin(self) -> LaunchRecord:
        """The attempt to go on with: one that runs or is done is adopted, after one that is over comes a new one."""
        last = last_record(self.run_dir)
        jobs = {int(each["metadata"]["labels"][ATTEMPT]): each for each in self.cluster.jobs(f"{KEY}={self.key}")}
        numbers = [*jobs] + ([last.attempt] if last else [])
        newest = max(numbers, default=-1)
        if last and last.attempt == newest:
            if last.open:
                return last
            if last.state == "failed" and ExitClass(last.cause).retryable and last.retries < self.profile.retries:
                return self._new(newest + 1, last.retries + 1, last.avoid)
            return self._new(newest + 1)
        if newest in jobs and not _over(jobs[newest]):
            self.context.log.warning("%s runs although nothing is recorded of it", jobs[newest]["metadata"]["name"])
            return self._new(newest)
        return self._new(newest + 1)

    def _new(self, attempt: int, retries: int = 0, avoid: tuple[str, ...] = ()) -> LaunchRecord:
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
            dagster_run=self.context.run_id,
            nodes=self.job.nodes,
            gpus=self.job.nodes * manifests.gpus_per_pod(self.job, self.profile),
            retries=retries,
            avoid=avoid,
        )
        record.write(self.run_dir)
        return record

    def _attempt(self, record: LaunchRecord) -> Verdict | None:
        """Make or adopt it and follow it to its end; None when it succeeded."""
        home = attempt_folder(self.run_dir, record.attempt)
        with open_pipes_session(self.context, PipesEnvContextInjector(), StoreMessageReader(home)) as session:
            launch = Launch(
                job=self.job.model_copy(update={"output": str(home / OUTPUT)}),
                name=record.name,
                key=self.key,
                attempt=record.attempt,
                dagster_run=self.context.run_id,
                variables=dict(session.get_bootstrap_env_vars()),
                avoid=record.avoid,
            )
            job = self._make(record, launch)
            if job is None:
                if self._whole(record):
                    return None
                failures = self._failures()
                return judge((), failures) if failures else Verdict(ExitClass.PREEMPTION, "its Job is gone without a result")
            with self._observer(record, job) as observer:
                try:
                    verdict = self._follow(observer, record)
                    observer.finish_logs()
                    return verdict
                finally:
                    self.seen = observer.sight().pods
                    per_pod = manifests.gpus_per_pod(self.job, self.profile)
                    self.gpu_hours += sum(pod.ran_seconds(time.time()) for pod in self.seen) * per_pod / 3600

    def _make(self, record: LaunchRecord, launch: Launch) -> Manifest | None:
        """The Job, with its parts and released; None when it was released before and is gone."""
        if record.state != "begun":
            job = self.cluster.job(record.name)
            if job:
                self.context.log.info("%s: adopted", record.name)
            return job
        Path(launch.job.output).mkdir(parents=True, exist_ok=True)
        if self.cluster.job(record.name) is None:
            self._forget_verdicts()
        job, made = assemble(self.cluster, launch, self.profile)
        self.context.log.info("%s: %s", record.name, "made" if made else "adopted")
        self.record = record.now(self.run_dir, state="released")
        return job

    def _forget_verdicts(self) -> None:
        """Nothing that an earlier attempt said of its end may be taken for this one's."""
        for node in range(self.job.nodes):
            (folder(self.run_dir, node) / FILE).unlink(missing_ok=True)
        (self.run_dir / RESULT).unlink(missing_ok=True)

    def _follow(self, observer: Observer, record: LaunchRecord) -> Verdict | None:
        said: Standing | None = None
        since, warned = time.monotonic(), False
        watchdog = Watchdog(self.profile)
        while True:
            sight = observer.wait(LOOK_SECONDS)
            now = standing(sight.job, sight.pods, self.job.nodes)
            if now != said:
                self._say(record, now)
                said, since, warned = now, time.monotonic(), False
            if now.state is State.STARTING and not warned and time.monotonic() - since > SLOW_SECONDS:
                self._warn(record, sight)
                warned = True
            if now.state is State.COMPLETE:
                return None if self._whole(record) else Verdict(ExitClass.UNKNOWN, GONE)
            if now.state is State.FAILED:
                return judge(sight.pods, self._failures())
            if now.state is State.GONE:
                return self._gone(record, sight)
            if found := watchdog.look(sight.pods):
                assert sight.job is not None
                pod, verdict = found
                self.cluster.delete_job(record.name, sight.job["metadata"]["uid"])
                if pod.deleting:
                    self.cluster.forget_pod(pod.name, pod.uid)
                return verdict

    def _say(self, record: LaunchRecord, now: Standing) -> None:
        step = ""
        if now.state is State.RUNNING and (metrics := read_metrics(self.run_dir)):
            step = f" (step {metrics[-1]['step']})"
        self.context.log.info("%s: %s%s", record.name, now, step)

    def _warn(self, record: LaunchRecord, sight: Sight) -> None:
        """A volume that cannot be mounted is told in events only, and waited for without end."""
        for pod in sight.pods:
            if not pod.gone and pod.started is None:
                for warning in self.cluster.warnings(pod.name)[-1:]:
                    self.context.log.warning("%s: %s does not start: %s", record.name, pod.name, warning)

    def _gone(self, record: LaunchRecord, sight: Sight) -> Verdict | None:
        """Deleted by its time to live, by a person, or by another supervisor that was cancelled."""
        if self._whole(record):
            return None
        written = last_record(self.run_dir)
        if written and written.attempt == record.attempt and written.state == "cancelled":
            return Verdict(ExitClass.UNKNOWN, f"another run of this asset ({written.dagster_run}) cancelled it")
        failures = self._failures()
        if any(not ExitClass(each.exit_class).retryable for each in failures.values()):
            return judge(sight.pods, failures)
        return Verdict(ExitClass.UNKNOWN, "somebody deleted its Job; its checkpoints are kept")

    def _again(self, record: LaunchRecord, verdict: Verdict) -> LaunchRecord:
        """The next attempt; raises JobFailedError where none can help."""
        record = self.record = record.now(self.run_dir, state="failed", cause=verdict.cause.value)
        self.verdict = verdict
        rank = "" if verdict.rank is None else f", rank {verdict.rank}"
        where = f" ({verdict.pod} on {verdict.node})" if verdict.pod else ""
        text = f"FAILED({verdict.cause.value}{rank}){where}: {verdict.message}"
        if verdict.cause.retryable and record.retries < self.profile.retries:
            fault = verdict.node if verdict.cause is ExitClass.NODE_FAULT else None
            avoid = (*record.avoid, fault) if fault and fault not in record.avoid else record.avoid
            number = record.retries + 1
            self.context.log.warning(
                "%s: %s. Going on from its last checkpoint, retry %d of %d%s",
                *(record.name, text, number, self.profile.retries),
                f", not on {', '.join(avoid)}" if avoid else "",
            )
            return self._new(record.attempt + 1, number, avoid)
        lines = [f"{record.stage}: {text}", verdict.cause.advice]
        if last := verdict.last_lines or self._last_lines(record, verdict):
            lines += [f"The end of its log (all of it is in {self.run_dir}/logs and beside {record.name}'s record):", *last]
        self.record = record.now(self.run_dir, state="told")
        raise JobFailedError("\n".join(lines), verdict.cause.value)

    def _last_lines(self, record: LaunchRecord, verdict: Verdict) -> list[str]:
        path = self._logs(record) / f"{verdict.pod}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        return [line.split(" ", 1)[-1] for line in lines[-LAST_LINES:]]

    def _failures(self) -> dict[int, Failure]:
        found = {node: Failure.read(folder(self.run_dir, node)) for node in range(self.job.nodes)}
        return {node: failure for node, failure in found.items() if failure}

    def _whole(self, record: LaunchRecord) -> bool:
        """Whether the attempt's result is there; the programs write it after their output."""
        output = attempt_folder(self.run_dir, record.attempt) / OUTPUT
        return (self.run_dir / RESULT).exists() and output.is_dir()

    def _take(self, record: LaunchRecord) -> dict[str, Any]:
        """Hand the output over. It is renamed first: of two supervisors one has it, and half an output is never adopted."""
        home = attempt_folder(self.run_dir, record.attempt)
        facts = json.loads((self.run_dir / RESULT).read_text(encoding="utf-8"))
        try:
            os.rename(home / OUTPUT, home / TAKEN)
        except FileNotFoundError as error:
            raise JobFailedError(f"{record.stage}: {GONE}", ExitClass.UNKNOWN.value) from error
        self.record = record.now(self.run_dir, state="taken")
        for path in (home / TAKEN).iterdir():
            shutil.move(path, Path(self.job.output) / path.name)
        (home / TAKEN).rmdir()
        return facts

    def _observer(self, record: LaunchRecord, job: Manifest) -> Observer:
        return Observer(self.cluster, job, self._logs(record))

    def _logs(self, record: LaunchRecord) -> Path:
        return attempt_folder(self.run_dir, record.attempt) / "logs"


def job_key(asset: str, partition: str | None, job: TrainingJob) -> str:
    """What all attempts at the same have in common. An asset may launch several programs with one fingerprint."""
    return digest_json([asset, partition, job.fingerprint, job.program, job.run_dir])[:32]


def _over(job: Manifest) -> bool:
    return bool(condition(job, "Complete") or condition(job, "Failed"))
