"""A lock that survives its owner: held by a file with a heartbeat, taken over when the heartbeat stops."""

import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from lifecycle.errors import LifecycleError

logger = logging.getLogger(__name__)

READ_ATTEMPTS = 10


@dataclass(frozen=True)
class _Sighting:
    """The last change of a lock file that a waiter saw, and when by the waiter's own clock."""

    beat: tuple[int, int]
    at: float


class StoreLock:
    """Exclusive lock on a shared filesystem, for long holds (a stage may run for days).

    The file names the owner and is touched every `heartbeat` seconds. An owner on this host that no longer runs loses
    the lock at once; any other after `stale_after` seconds in which the waiter saw no beat. Only the waiter's own clock
    is read, so hosts whose clocks differ do not rob each other.
    """

    def __init__(self, path: Path, heartbeat: float = 5.0, stale_after: float = 60.0, poll: float = 0.2) -> None:
        self._path = path
        self._heartbeat = heartbeat
        self._stale_after = stale_after
        self._poll = poll
        self._nonce = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "StoreLock":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        seen: _Sighting | None = None
        said = False
        while not self._try_create():
            seen = self._look(seen)
            if seen and self._owner_is_gone(seen) and self._break(seen):
                continue
            if not said:
                logger.info("waiting for another run that holds %s", self._path)
                said = True
            time.sleep(self._poll)
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat, name=f"lock {self._path.name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
        with self._guard():
            if self.is_held():
                self._path.unlink()

    def is_held(self) -> bool:
        """Whether the lock is still this object's: false after somebody took it over or removed the file."""
        owner = self._owner()
        for _ in range(READ_ATTEMPTS):  # what cannot be read now says nothing: file servers have their moments
            if owner != {}:
                break
            time.sleep(self._poll)
            owner = self._owner()
        return owner is not None and owner.get("nonce") == self._nonce

    def ensure_held(self) -> None:
        """Raise LifecycleError when the lock was lost; call it before publishing what the lock protects."""
        if not self.is_held():
            raise LifecycleError(
                f"{self._path}: this lock was lost while it was held (this process stood still for more than "
                f"{self._stale_after:.0f} s, or the file was removed); nothing was published, run it again"
            )

    def _try_create(self) -> bool:
        """Create the lock file with its content in one step: a link of a finished temporary file."""
        temporary = self._path.with_name(f"{self._path.name}.{self._nonce}.tmp")
        temporary.write_text(json.dumps(_this_process() | {"nonce": self._nonce}), encoding="utf-8")
        try:
            os.link(temporary, self._path)
            return True
        except FileExistsError:
            return False
        finally:
            temporary.unlink()

    def _owner(self) -> dict[str, Any] | None:
        """The owner's description, empty when it cannot be read, None when nobody holds the lock."""
        try:
            owner = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return {}
        return owner if isinstance(owner, dict) else {}

    def _look(self, before: _Sighting | None) -> _Sighting | None:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        beat = (stat.st_ino, stat.st_mtime_ns)
        return before if before and before.beat == beat else _Sighting(beat, time.monotonic())

    def _owner_is_gone(self, seen: _Sighting) -> bool:
        owner = self._owner()
        if owner is None:
            return False
        here = _this_process()
        if all(owner.get(name) == here[name] for name in ("host", "boot", "namespace")):
            running = _started(owner.get("pid"))
            if running is None:
                return True
            if running == owner.get("started"):
                return False
        return time.monotonic() - seen.at > self._stale_after

    def _break(self, seen: _Sighting) -> bool:
        """Remove a dead owner's file; False when somebody else was faster, so that a live lock is never removed."""
        with self._guard():
            if self._look(seen) is not seen or not self._owner_is_gone(seen):
                return False
            self._path.unlink()
        logger.warning("took over %s: its owner no longer runs", self._path)
        return True

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """One remover at a time. The kernel drops this lock with its process, so it needs no heartbeat of its own."""
        descriptor = os.open(self._path.parent / ".guard", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat):
            owner = self._owner()
            if owner is None or owner.get("nonce", self._nonce) != self._nonce:
                logger.error("%s was taken over or removed while it was held", self._path)
                return
            try:
                os.utime(self._path)
            except OSError as error:
                logger.warning("no heartbeat on %s: %s", self._path, error)


def _this_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "namespace": _namespace(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
    }


def _boot() -> str:
    """This machine since it was switched on: two machines that share a store may have equal host names."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{uuid.getnode():x}"


def _namespace() -> int | None:
    """The process-number namespace: two containers may share a host name and still count processes apart."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None


def _started(pid: Any) -> float | None:
    """When this process started, to the second; None when it does not run, or has ended and awaits its parent."""
    try:
        process = psutil.Process(int(pid))
        return None if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time(), 2)
    except (psutil.NoSuchProcess, TypeError, ValueError):
        return None
