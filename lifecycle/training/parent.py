"""No process outlives the one that started it, not even when that one is killed with SIGKILL (Linux)."""

import ctypes
import os
import signal
import sys

PARENT = "LIFECYCLE_PARENT_PID"
_PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals) -> None:
    """Receive signal `number` when the process named in LIFECYCLE_PARENT_PID dies; without that variable, nothing.

    Called first thing by the child itself: a `preexec_fn` in the parent may deadlock where the parent has threads.
    """
    parent = os.environ.pop(PARENT, None)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != int(parent):
        os._exit(128 + int(number))
