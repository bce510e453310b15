"""The run's journal: metrics and messages as JSON lines, written first and locally, read by whoever wants to follow.

A run that is killed and continued appends to the same file. `resume` marks where it goes on, so that readers drop the
steps that the killed run had already reported beyond its last checkpoint.
"""

import json
import math
import os
import time
from pathlib import Path
from typing import Any

FILE = "journal.jsonl"


class Journal:
    """Appends entries to `<run_dir>/journal.jsonl`; each is flushed, so that a killed run loses at most a torn line."""

    def __init__(self, run_dir: Path) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        path = run_dir / FILE
        cut_torn_line(path)
        self._file = path.open("a", encoding="utf-8")
        self._warned = False

    def metrics(self, step: int, **values: float) -> None:
        """Report figures for `step` (steps completed so far). Raises ValueError for one that is not finite."""
        for name, value in values.items():
            if not math.isfinite(value):
                raise ValueError(
                    f"metric {name} of step {step} is {value}: a non-finite value must stop the run, not be logged"
                )
        self._append({"kind": "metrics", "step": step, **values})

    def message(self, text: str) -> None:
        """Report something for people."""
        self._append({"kind": "message", "text": text})

    def warn_once(self, text: str) -> None:
        """Report something that would otherwise be repeated at every step."""
        if not self._warned:
            self.message(text)
        self._warned = True

    def resume(self, step: int) -> None:
        """Say that the run goes on after `step` completed steps; what was reported beyond it no longer counts."""
        self._append({"kind": "resume", "step": step})

    def _append(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps({"time": round(time.time(), 3), **entry}, ensure_ascii=False) + "\n")
        self._file.flush()


def follow(path: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """The complete entries after byte `offset` of a journal, and the offset to go on from; a missing file has none."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    end = data.rfind(b"\n") + 1
    return [json.loads(line) for line in data[:end].splitlines()], offset + end


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """All metrics of a run in the order of their steps, one entry a step: the last one reported that still counts."""
    by_step: dict[int, dict[str, Any]] = {}
    for entry in follow(run_dir / FILE, 0)[0]:
        if entry["kind"] == "metrics":
            by_step[entry["step"]] = {key: value for key, value in entry.items() if key != "kind"}
        elif entry["kind"] == "resume":
            by_step = {step: values for step, values in by_step.items() if step <= entry["step"]}
    return [by_step[step] for step in sorted(by_step)]


def cut_torn_line(path: Path) -> None:
    """Drop what a killed writer left after the last line end."""
    if not path.exists():
        return
    end = path.read_bytes().rfind(b"\n") + 1
    if end != path.stat().st_size:
        os.truncate(path, end)
