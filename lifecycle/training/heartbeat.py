"""Signs of life within a step: each rank says which step it is in, the launcher sees who stands still.

Ranks wait for each other in every step, so a stalled one stalls all; it is the one that has come least far.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = "heartbeats"
PHASES = ("data", "compute")
"""What a step does in turn. The ranks meet for the first time at the beginning of `compute`."""


@dataclass(frozen=True)
class Beat:
    """Where a rank stood, and since when."""

    rank: int
    step: int
    phase: str
    time: float
    limit: float
    """Seconds that it may stand there."""


class Heartbeat:
    """One rank's signs of life, `<run_dir>/heartbeats/rank_N`. Outside of steps, and in the first, which compiles, there
    are none: checkpoints and validations take their own time."""

    def __init__(self, run_dir: Path, rank: int, limit: float) -> None:
        self._path = run_dir / FOLDER / f"rank_{rank}"
        self._rank, self._limit = rank, limit
        self._first = True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)

    def beat(self, step: int, phase: str) -> None:
        """This rank begins `phase` of `step`."""
        if self._first:
            return
        temporary = self._path.with_name(f".{self._path.name}")
        temporary.write_text(json.dumps([self._rank, step, phase, time.time(), self._limit]), encoding="ascii")
        os.replace(temporary, self._path)

    def rest(self) -> None:
        """The step is done."""
        self._first = False
        self._path.unlink(missing_ok=True)


def stalled(run_dir: Path, now: float) -> Beat | None:
    """The rank that has come least far, when some rank has stood in one place for longer than its limit."""
    beats = list(_read(sorted((run_dir / FOLDER).glob("rank_*"))))
    if not any(now - beat.time > beat.limit for beat in beats):
        return None
    return min(beats, key=lambda beat: (beat.step, PHASES.index(beat.phase), beat.time))


def _read(paths: Sequence[Path]) -> list[Beat]:
    beats = []
    for path in paths:
        try:
            beats.append(Beat(*json.loads(path.read_text(encoding="ascii"))))
        except FileNotFoundError:  # the step ended meanwhile
            continue
    return beats
