"""A lock that survives its owner: held by a file with a heartbeat, taken over when the heartbeat stops."""

import json
import logging
import os
import socket
import threading
import time
from pathlib import Path

import psutil

logger = logging.getLogger(__name__)


class StoreLock:
    """Exclusive lock on a shared filesystem, for long holds (a stage may run for days).

    The file names host, process and start time of the owner and is touched every `heartbeat` seconds. An owner on this
    host that no longer runs loses the lock at once; one on another host after `stale_after` seconds without a beat.
    """

    def __init__(self, path: Path, heartbeat: float = 5.0, stale_after: float = 60.0, poll: float = 0.2) -> None:
        self._path = path
        self._heartbeat = heartbeat
        self._stale_after = stale_after
        self._poll = poll
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "StoreLock":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        said = False
        while not self._try_create():
            if self._owner_is_gone():
                self._break()
                continue
            if not said:
                logger.info("waiting for another run that makes the same artifact (%s)", self._path)
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
        self._path.unlink(missing_ok=True)

    def _try_create(self) -> bool:
        """Create the lock file with its content in one step: a link of a finished temporary file."""
        temporary = self._path.with_suffix(f".{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}")
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time()}
        temporary.write_text(json.dumps(owner), encoding="utf-8")
        try:
            os.link(temporary, self._path)
            return True
        except FileExistsError:
            return False
        finally:
            temporary.unlink()

    def _owner_is_gone(self) -> bool:
        try:
            owner = json.loads(self._path.read_text(encoding="utf-8"))
            age = time.time() - self._path.stat().st_mtime
        except FileNotFoundError:
            return False
        if owner["host"] == socket.gethostname():
            try:
                return abs(psutil.Process(owner["pid"]).create_time() - owner["started"]) > 1
            except psutil.NoSuchProcess:
                return True
        return age > self._stale_after

    def _break(self) -> None:
        """Remove a dead owner's file. Renaming first makes sure that only one waiter removes it."""
        aside = self._path.with_suffix(f".dead.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}")
        try:
            os.rename(self._path, aside)
            aside.unlink()
        except FileNotFoundError:
            return
        logger.warning("took over %s: its owner no longer runs", self._path)

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat):
            try:
                os.utime(self._path)
            except FileNotFoundError:
                logger.error("%s was removed while it was held", self._path)
                return
