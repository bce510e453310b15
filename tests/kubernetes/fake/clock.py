"""The fake cluster's two clocks: what it writes on objects, and what its timers count."""

import threading
import time
from datetime import UTC, datetime


class Clock:
    """Timestamps are the wall clock's; timers (grace, deadlines, leases) run `scale` times faster.

    Timestamps stay true so that a client may compare them with its own clock; only the cluster's waiting is shortened.
    `advance` moves both at once by seconds of the cluster; with a scale of 0 the timers move by it alone.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self._advanced = 0.0
        self._lock = threading.Lock()

    def advance(self, seconds: float) -> None:
        """Let `seconds` of the cluster's time pass at once."""
        with self._lock:
            self._advanced += seconds

    def timer(self) -> float:
        """Seconds of the cluster's time, from an arbitrary origin."""
        return time.monotonic() * self.scale + self._advanced

    def now(self) -> float:
        """Seconds since the epoch, as the cluster believes."""
        return time.time() + self._advanced

    def stamp(self, seconds: float | None = None) -> str:
        """RFC 3339 with whole seconds, as in `metadata.creationTimestamp`."""
        return datetime.fromtimestamp(self.now() if seconds is None else seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def fine_stamp(self) -> str:
        """RFC 3339 with microseconds, as in `eventTime`."""
        return datetime.fromtimestamp(self.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
