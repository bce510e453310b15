"""What an asset may ask of a launcher, wherever that runs the job."""

from abc import ABC, abstractmethod
from typing import Any

from dagster import AssetExecutionContext, ConfigurableResource

from lifecycle.jobs import TrainingJob
from lifecycle.usage import counted


class Launcher(ConfigurableResource, ABC, use_attribute_docstrings=True):
    """Runs training and generation programs."""

    def run(self, context: AssetExecutionContext, job: TrainingJob) -> dict[str, Any]:
        """`launch`, with the GPU-hours of the job on record however it ends."""
        with counted(job, context.run_id):
            return self.launch(context, job)

    @abstractmethod
    def launch(self, context: AssetExecutionContext, job: TrainingJob) -> dict[str, Any]:
        """Run `job` to its end and return the facts in its `result.json`; progress appears in the Dagster log meanwhile.

        The asset must return a `MaterializeResult(value=…)`, never a bare value: a Pipes session makes Dagster strict.

        Raises:
            JobFailedError: the job ended badly; the message names class, rank and what to do. Launchers that can say more
                raise a `dagster.Failure` with that as its cause.
        """
