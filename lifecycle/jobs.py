"""The description of one training or generation program run, the same for every launcher."""

from pathlib import Path
from typing import Any

from lifecycle.recipe.base import Section


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
    run_dir: str
    processes: int = 1

    def write(self) -> Path:
        """Write the job to `<run_dir>/job.json` and return that path."""
        path = Path(self.run_dir) / "job.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: str | Path) -> "TrainingJob":
        """The job written by `write`."""
        return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))
