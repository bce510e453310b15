"""Which rank failed first, and why: the launcher's verdict, kept in `<run_dir>/failure.json`."""

import json
import time
from pathlib import Path

from lifecycle.files import write_atomically
from lifecycle.recipe.base import Section
from lifecycle.training.exits import ExitClass, classify_signal
from lifecycle.training.heartbeat import Beat
from lifecycle.training.rank import ERRORS

FILE = "failure.json"
RESULT = "result.json"
LAST_LINES = 50


class Failure(Section):
    """How a run ended badly."""

    exit_class: str
    """Value of an `ExitClass`."""
    retryable: bool
    rank: int | None
    message: str
    advice: str
    time: float
    """When it failed, by its own clock where it could still say so (seconds since the epoch)."""
    last_lines: tuple[str, ...] = ()
    """The end of that rank's log."""

    @property
    def text(self) -> str:
        """The failure for people, on several lines."""
        where = "" if self.rank is None else f" (rank {self.rank})"
        lines = [f"{self.exit_class}{where}: {self.message}", self.advice]
        return "\n".join(lines + (["last lines of its log:", *self.last_lines] if self.last_lines else []))

    @property
    def port_was_taken(self) -> bool:
        """Whether the ranks could not meet because the port chosen for that was no longer free."""
        return self.exit_class == ExitClass.NETWORK.value and "EADDRINUSE" in self.message

    def write(self, directory: Path) -> None:
        """Write `failure.json`."""
        write_atomically(directory / FILE, self.model_dump_json(indent=1))

    @classmethod
    def read(cls, directory: Path) -> "Failure | None":
        """The failure in `directory`, or None when the launcher itself died before it wrote one."""
        path = directory / FILE
        return cls.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None


def find_failure(
    run_dir: Path, codes: dict[int, int], ended: dict[int, float], killed: set[int], stop_asked: bool, memory_kill: bool
) -> Failure | None:
    """The verdict over the exit codes by rank, or None when the run (on this machine) succeeded.

    The earliest failure counts, by the ranks' own clock where they could still report. Network failures come after all
    others: a rank that lost its peer reports one within milliseconds of the peer's end.
    """
    found: list[tuple[bool, float, int, ExitClass, str]] = []
    for rank, code in codes.items():
        if code == 0 or rank in killed:
            continue
        cause, message, when = _cause(run_dir, rank, code, ended[rank], memory_kill)
        found.append((cause is ExitClass.NETWORK, when, rank, cause, message))
    if found:
        _, when, rank, cause, message = min(found, key=lambda item: item[:3])
        return _failure(run_dir, cause, rank, message, when)
    if killed:
        cause = ExitClass.PREEMPTION if stop_asked else ExitClass.UNKNOWN
        rank = min(killed)
        return _failure(run_dir, cause, rank, "had to be killed: it did not stop in time", ended[rank])
    if 0 in codes and not (run_dir / RESULT).exists():
        message = "the program ended without an error and without a result.json"
        return _failure(run_dir, ExitClass.UNKNOWN, 0, message, ended[0])
    return None


def stall_failure(run_dir: Path, beat: Beat) -> Failure:
    """The verdict over a rank that stood still; its log ends with where."""
    message = (
        f"it stood still in step {beat.step} ({beat.phase}) for more than {beat.limit:g} s (guards.stall_seconds), and the "
        "others with it; its log ends with the stacks of its threads"
    )
    return _failure(run_dir, ExitClass.NODE_FAULT, beat.rank, message, beat.time)


def superseded() -> Failure:
    """The verdict of a launcher over itself, which came back after another had taken its run over. It is written nowhere."""
    message = "another launcher has taken this run over; this one has published nothing"
    return _made(ExitClass.PREEMPTION, None, message, time.time(), ())


def _cause(run_dir: Path, rank: int, code: int, seen: float, memory_kill: bool) -> tuple[ExitClass, str, float]:
    """Class, message and time (seconds since the epoch) of one rank's failure."""
    path = run_dir / ERRORS / f"rank_{rank}.json"
    if path.exists():
        report = json.loads(path.read_text(encoding="utf-8"))
        return ExitClass(report["class"]), report["message"], report["time"]
    if code < 0:
        return classify_signal(-code, memory_kill), f"ended by signal {-code}", seen
    return ExitClass.UNKNOWN, f"ended with exit code {code} and reported nothing", seen


def _failure(run_dir: Path, cause: ExitClass, rank: int, message: str, when: float) -> Failure:
    log = run_dir / "logs" / f"rank_{rank}.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return _made(cause, rank, message, when, () if cause is ExitClass.PREEMPTION else tuple(lines[-LAST_LINES:]))


def _made(cause: ExitClass, rank: int | None, message: str, when: float, last_lines: tuple[str, ...]) -> Failure:
    return Failure(
        exit_class=cause.value,
        retryable=cause.retryable,
        rank=rank,
        message=message,
        advice=cause.advice,
        time=when,
        last_lines=last_lines,
    )


def memory_kills() -> int:
    """How often the kernel has killed a process of this control group for memory; 0 where that is not known."""
    try:
        events = Path("/sys/fs/cgroup/memory.events").read_text(encoding="ascii")
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in events.splitlines() if line.startswith("oom_kill "))
