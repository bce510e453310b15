"""What the launcher itself does about a failure: start again, where the run said how or the recipe allows it."""

from dataclasses import dataclass

from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ExitClass
from lifecycle.training.failures import Failure


@dataclass(frozen=True)
class Trial:
    """One start of a job's ranks.

    Attributes:
        synchronous: kernels are launched one at a time (CUDA_LAUNCH_BLOCKING), so that the traceback of a device assert
            ends at the call that failed and not at some later one. Slower; results stay the same.
    """

    job: TrainingJob
    synchronous: bool = False


def mended(trial: Trial, failure: Failure) -> tuple[Trial, str] | None:
    """How to go on and what is to be said of it; None when starting again would not help."""
    job = trial.job
    if failure.exit_class == ExitClass.AGAIN.value:
        return trial, f"starting again from the last checkpoint: {failure.message}"
    if failure.exit_class == ExitClass.DEVICE_ASSERT.value and not trial.synchronous:
        text = "starting again from the last checkpoint with synchronous launches, to find the line"
        return Trial(job, synchronous=True), f"a kernel failed an assertion on rank {failure.rank}; {text}"
    size = halved_micro_batch(job) if failure.exit_class == ExitClass.OUT_OF_MEMORY.value else None
    if size is None:
        return None
    text = f"out of memory with micro_batch {2 * size}; starting again with {size} and the same global batch"
    return Trial(with_micro_batch(job, size), trial.synchronous), text


def halved_micro_batch(job: TrainingJob) -> int | None:
    """Half the micro-batch of a job that ran out of memory; None where its recipe does not allow it, or it is odd.

    The global batch stays: accumulation follows from it, the micro-batch and the number of ranks.
    """
    training = job.config.get("training", {})
    if not training.get("guards", {}).get("halve_micro_batch") or training["micro_batch"] % 2:
        return None
    return training["micro_batch"] // 2


def with_micro_batch(job: TrainingJob, size: int) -> TrainingJob:
    """The same job in pieces of `size` sequences; its result is the same."""
    return job.model_copy(update={"config": {**job.config, "training": {**job.config["training"], "micro_batch": size}}})
