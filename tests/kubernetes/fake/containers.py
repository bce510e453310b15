"""One container as a local process group, with its log."""

import os
import re
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.kubernetes.fake.clock import Clock

MARK = "FAKE_CONTAINER_ID"
START_ERROR = 128


@dataclass(frozen=True)
class Line:
    """One line of a log, with its newline (the last line of a dead process may have none)."""

    at: float
    text: str


class Container:
    """A process and its descendants, which end as the processes of a container's namespace end.

    The first process is what a container calls PID 1: SIGTERM reaches only it, and only if it handles the signal; when it
    ends, everything that descends from it is killed, wherever it re-parented itself to. Descendants are known by a
    variable in their environment.
    """

    def __init__(self, identity: str, clock: Clock) -> None:
        self.identity = identity
        self.clock = clock
        self.lines: list[Line] = []
        self.grown = threading.Condition()
        self.started_at = 0.0
        self.finished_at = 0.0
        self.code: int | None = None
        self.reason = ""
        self.message = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def start(self, argv: list[str], environment: dict[str, str], folder: Path) -> None:
        """Start the first process; one that cannot start is a container that ended with code 128."""
        self.started_at = self.clock.now()
        try:
            self._process = subprocess.Popen(
                argv,
                env=environment | {MARK: self.identity},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._end(START_ERROR, "StartError", f"failed to create containerd task: {error}")
            return
        self._reader = threading.Thread(target=self._read, name=f"log-{self.identity[:8]}", daemon=True)
        self._reader.start()

    def ended(self) -> bool:
        """Whether the container has ended; the first call that sees the end kills what is left of it."""
        if self.code is not None or self._process is None:
            return self.code is not None
        returned = self._process.poll()
        if returned is None:
            return False
        self._kill_all()
        assert self._reader is not None
        self._reader.join(5)
        code = returned if returned >= 0 else 128 - returned
        self._end(code, self.reason or ("Error" if code else "Completed"), self.message)
        return True

    def ask_to_stop(self) -> None:
        """SIGTERM, as PID 1 gets it: dropped where no handler is installed."""
        if self._process and self._process.poll() is None and _handles_sigterm(self._process.pid):
            self._process.send_signal(signal.SIGTERM)

    def kill(self, reason: str = "") -> None:
        """SIGKILL to every process; `reason` is what the status will say, such as OOMKilled."""
        self.reason = self.reason or reason
        if self._process and self._process.poll() is None:
            self._process.kill()
        self._kill_all()

    def finish(self) -> None:
        """Kill every process and wait for the end."""
        self.kill()
        if self._process:
            self._process.wait(10)
        self.ended()

    def _end(self, code: int, reason: str, message: str) -> None:
        self.finished_at = self.clock.now()
        self.reason, self.message = reason, message
        with self.grown:
            self.code = code
            self.grown.notify_all()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                with self.grown:
                    self.lines.append(Line(self.clock.now(), line.decode("utf-8", "replace")))
                    self.grown.notify_all()

    def _kill_all(self) -> None:
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.identity:
                    process.kill()
            except psutil.Error:
                continue


def _handles_sigterm(pid: int) -> bool:
    """Whether a process catches SIGTERM (signals of PID 1 without a handler are dropped by the kernel)."""
    try:
        found = re.search(r"^SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False
    return bool(found and int(found[1], 16) >> (signal.SIGTERM - 1) & 1)


def default_environment(home: Path) -> dict[str, str]:
    """What every pod starts from. Nothing of the test's own environment leaks in."""
    import sys

    repository = Path(__file__).resolve().parents[3]
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    return {"PATH": path, "PYTHONPATH": str(repository), "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8"}
