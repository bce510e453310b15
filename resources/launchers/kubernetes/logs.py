"""The log of one pod, copied line by line into a file, whatever happens to the connection or to us."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import urllib3
from kubernetes.client import ApiException

from lifecycle.training.journal import cut_torn_line
from resources.launchers.kubernetes.client import Cluster

AGAIN_SECONDS = 0.5
MARGIN_SECONDS = 30
"""How far behind the last line a reconnection asks: the log's clock is the node's, and `sinceSeconds` counts by it."""
STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class LogCopy:
    """Copies whole lines, each with its time, and knows where it stopped from the file itself.

    After a cut the log is asked for again from a little earlier; lines up to the last one written are dropped. The times
    have nanoseconds; of several lines with one time, as many are dropped as were written.
    """

    def __init__(self, cluster: Cluster, pod: str, path: Path) -> None:
        self._cluster, self._pod, self._path = cluster, pod, path
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_torn_line(path)
        self._last, self._same = _end(path)

    def run(self, ended: Callable[[], bool]) -> None:
        """Copy until the pod's container has ended and its log is whole here, or the pod is gone.

        Args:
            ended: whether the container has ended; asked before a last look.
        """
        while True:
            last = ended()
            try:
                self._copy(follow=not last)
            except ApiException as error:
                if error.status == 404:
                    return
                last = False
            except (urllib3.exceptions.HTTPError, OSError):
                last = False
            if last:
                return
            time.sleep(AGAIN_SECONDS)

    def _copy(self, follow: bool) -> None:
        """A line that a cut tore is not written: after the next connection it comes again, whole."""
        repeated = self._same
        with self._path.open("ab") as file:
            for line in _lines(self._cluster.log(self._pod, self._since(), follow), finished=not follow):
                found = STAMP.match(line)
                stamp = found[0] if found else self._last
                if _key(stamp) < _key(self._last):
                    continue
                if stamp == self._last and repeated > 0:
                    repeated -= 1
                    continue
                file.write(line)
                file.flush()
                self._same = self._same + 1 if stamp == self._last else 1
                self._last = stamp
                repeated = 0

    def _since(self) -> int | None:
        if not self._last:
            return None
        at = datetime.fromisoformat(self._last[:19].decode("ascii")).replace(tzinfo=UTC).timestamp()
        return max(1, int(time.time() - at) + MARGIN_SECONDS)


def start_copy(cluster: Cluster, pod: str, path: Path, ended: Callable[[], bool]) -> threading.Thread:
    """Copy the log of `pod` in a thread."""
    thread = threading.Thread(target=LogCopy(cluster, pod, path).run, args=(ended,), name=f"log of {pod}", daemon=True)
    thread.start()
    return thread


def _lines(pieces: Iterator[bytes], finished: bool) -> Iterator[bytes]:
    """Whole lines. What the log of a finished container leaves without a line end is its last line."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest and finished:
        yield rest + b"\n"


def _key(stamp: bytes) -> tuple[bytes, bytes]:
    """Times that compare: trailing zeros of the fraction are left out by the server."""
    return stamp[:19], stamp[20:-1].ljust(9, b"0")


def _end(path: Path) -> tuple[bytes, int]:
    """The time of the last line, and how many lines have it."""
    last, same = b"", 0
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                found = STAMP.match(line)
                stamp = found[0] if found else last
                same = same + 1 if stamp == last else 1
                last = stamp
    return last, same
