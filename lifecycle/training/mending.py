"""What the launcher itself does about a failure: start again, where the run said how or the recipe allows it."""

from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ExitClass
from lifecycle.training.failures import Failure


def mended(job: TrainingJob, failure: Failure) -> tuple[TrainingJob, str] | None:
    """The job to go on with and what is to be said of it; None when starting again would not help."""
    if failure.exit_class == ExitClass.AGAIN.value:
        return job, f"starting again from the last checkpoint: {failure.message}"
    training = job.config.get("training", {})
    if failure.exit_class != ExitClass.OUT_OF_MEMORY.value or not training.get("guards", {}).get("halve_micro_batch"):
        return None
    size = training["micro_batch"]
    if size % 2:
        return None
    halved = job.model_copy(update={"config": {**job.config, "training": {**training, "micro_batch": size // 2}}})
    return halved, f"out of memory with micro_batch {size}; starting again with {size // 2} and the same global batch"
