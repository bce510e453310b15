"""Batches that a run leaves out because its loss spiked on them (Chowdhery et al. 2022, PaLM, section 5.1).

They are kept in `<run_dir>/skipped.json` and not in checkpoints: the run goes on from one that was written before the spike.
"""

import json
from pathlib import Path

from torch import distributed

from lifecycle.files import write_atomically
from lifecycle.recipe.training import Guards
from lifecycle.training.distributed import rank
from lifecycle.training.exits import NumericsError, StartAgain

FILE = "skipped.json"


class SkippedBatches:
    """Which places in the sample order no step uses."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / FILE
        self.places: tuple[int, ...] = ()
        if self._path.exists():
            self.places = tuple(sorted(json.loads(self._path.read_text(encoding="utf-8"))))

    def position(self, step: int) -> int:
        """The place in the sample order that step `step` (0-based) uses."""
        position = step
        for place in self.places:
            position += place <= position
        return position

    def consider(self, guards: Guards, position: int, spike: str) -> None:
        """What is to happen after a spike on the batch at `position`; every rank must call it.

        Raises:
            NumericsError: spikes end the run, or there were too many.
            StartAgain: the batch was noted; the run is to go on without it.
        """
        if guards.on_spike == "stop":
            raise NumericsError(spike)
        if guards.on_spike == "skip":
            if len(self.places) >= guards.max_skips:
                raise NumericsError(f"{spike}; {len(self.places)} batches were skipped before (guards.max_skips)")
            if rank() == 0:
                write_atomically(self._path, json.dumps([*self.places, position]))
            distributed.barrier()
            raise StartAgain(f"{spike}; going on without this batch from the last checkpoint")
