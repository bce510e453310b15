"""The description of one training or generation program run, the same for every launcher."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from lifecycle.files import write_atomically
from lifecycle.recipe.base import Section

FILE = "job.json"


@dataclass(frozen=True)
class ModelFolder:
    """A Hugging Face folder, and the digest of its content."""

    path: Path
    digest: str


class TrainingJob(Section):
    """One run of a program under `python -m lifecycle.training.launch job.json`.

    The program is a module run as `python -m PROGRAM job.json` in each process. It reads `inputs`, fills `output`
    with the artifact's content, and keeps everything else (checkpoints, journal, logs, `result.json`) in `run_dir`.
    """

    stage: str
    fingerprint: str
    program: str
    config: dict[str, Any]
    """Validated by the program against its own model."""
    inputs: dict[str, str]
    """Directories of the input artifacts by name."""
    output: str
    """Filled by rank 0, in a folder of its launcher's own that becomes this one when all is done."""
    run_dir: str
    processes: int = Field(default=1, gt=0)
    """Ranks over all nodes."""
    nodes: int = Field(default=1, gt=0)
    """Machines that share the ranks evenly; each runs its own launcher on the same run directory."""

    @model_validator(mode="after")
    def _shared_evenly(self) -> "TrainingJob":
        if self.processes % self.nodes:
            raise ValueError(f"{self.processes} processes cannot be shared evenly by {self.nodes} nodes")
        return self

    def write(self, directory: Path | None = None) -> Path:
        """Write the job to `job.json` in `directory` (by default the run directory) and return that path."""
        path = (directory or Path(self.run_dir)) / FILE
        write_atomically(path, self.model_dump_json(indent=2))
        return path

    @classmethod
    def read(cls, path: str | Path) -> "TrainingJob":
        """The job written by `write`."""
        return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))
