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
    training = job.config.get("training", {})
    if failure.exit_class != ExitClass.OUT_OF_MEMORY.value or not training.get("guards", {}).get("halve_micro_batch"):
        return None
    size = training["micro_batch"]
    if size % 2:
        return None
    halved = job.model_copy(update={"config": {**job.config, "training": {**training, "micro_batch": size // 2}}})
    text = f"out of memory with micro_batch {size}; starting again with {size // 2} and the same global batch"
    return Trial(halved, trial.synchronous), text
