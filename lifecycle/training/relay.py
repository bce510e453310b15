"""What a supervisor sees of a run while it runs: lines of progress, on stdout or through Dagster Pipes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster_pipes

from lifecycle.training.journal import FILE, cut_torn_line, follow
from lifecycle.words import duration

LEAST_INTERVAL, GREATEST_INTERVAL = 3.0, 300.0
SHARE_OF_RUN = 0.02
"""Seconds between two lines of metrics: this share of the time that the run has taken, within these bounds. An orchestrator
keeps every line for ever: a minute has some twenty, a day five hundred."""


class Relay:
    """Passes new journal entries on to `say`, the result's facts to `give`, and the reason of a bad end to `fail`."""

    def __init__(
        self, say: Callable[[str], None], give: Callable[[dict[str, Any]], None], fail: Callable[[str], None]
    ) -> None:
        self.say = say
        self.give = give
        self.fail = fail
        self._path: Path | None = None
        self._offset = 0
        self._began = time.monotonic()
        self._said_metrics = -GREATEST_INTERVAL
        self._held: dict[str, Any] | None = None

    def watch(self, run_dir: Path) -> None:
        """Follow this run's journal from its present end."""
        self._path = run_dir / FILE
        cut_torn_line(self._path)
        self._offset = self._path.stat().st_size if self._path.exists() else 0

    def poll(self, last: bool = False) -> None:
        """Pass on what is new: every message, and metrics at intervals (`last`: also those held back)."""
        assert self._path is not None
        entries, self._offset = follow(self._path, self._offset)
        for entry in entries:
            if entry["kind"] == "message":
                self.say(entry["text"])
            elif entry["kind"] == "metrics":
                self._held = entry
        now = time.monotonic()
        if self._held and (last or now - self._said_metrics >= interval(now - self._began)):
            self._said_metrics = now
            self.say(progress_line(self._held))
            self._held = None


def interval(seconds: float) -> float:
    """Least seconds between two lines of metrics, so long after a run began."""
    return min(GREATEST_INTERVAL, max(LEAST_INTERVAL, SHARE_OF_RUN * seconds))


@contextmanager
def open_relay(speaks: bool = True) -> Iterator[Relay]:
    """A relay to Dagster where this process was started through Pipes and `speaks` for its job, to stdout elsewhere.

    Under Dagster the reason of a bad end travels in `failure.json` alone: whoever started the job raises it as an error.
    """
    if speaks and dagster_pipes.PipesEnvVarParamsLoader().is_dagster_pipes_process():
        with dagster_pipes.open_dagster_pipes() as pipes:
            yield Relay(pipes.log.info, pipes.report_custom_message, lambda _: None)
    else:

        def say(text: str) -> None:
            print(text, flush=True)

        yield Relay(say, lambda _: None, say)


def progress_line(metrics: dict[str, Any]) -> str:
    """One line of a run's metrics; figures that it lacks are left out."""
    parts = [f"step {metrics['step']}"]
    for name, form in (
        ("loss", "loss {:.4f}"),
        ("learning_rate", "lr {:.2e}"),
        ("gradient_norm", "gradient norm {:.2f}"),
        ("tokens_per_second", "{:,.0f} tokens/s"),
        ("mfu", "MFU {:.1%}"),
    ):
        if name in metrics:
            parts.append(form.format(metrics[name]))
    if "seconds_left" in metrics:
        parts.append(f"{duration(metrics['seconds_left'])} left")
    return "  ".join(parts)
