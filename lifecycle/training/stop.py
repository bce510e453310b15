"""What a training program does when it is asked to stop."""

import signal
from types import FrameType

from lifecycle.training.exits import Preempted


class StopRequest:
    """SIGTERM and SIGINT in a training program.

    Between `hold` and `release` a request is only remembered in `asked`, so that all ranks can stop after the same step
    and save it. At any other time there is nothing that a checkpoint would save (model and kernels are still being
    prepared, or the last step is saved already): Preempted is raised where the program stands.
    """

    def __init__(self) -> None:
        self.asked = False
        self._held = False

    def listen(self) -> "StopRequest":
        """Install the signal handlers."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)
        return self

    def hold(self) -> None:
        """From now on there is a step worth saving."""
        self._held = True

    def release(self) -> None:
        """Everything is saved; raises Preempted when a stop was asked for meanwhile."""
        self._held = False
        if self.asked:
            self._leave()

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        if not self._held:
            self._leave()

    def _leave(self) -> None:
        raise Preempted("asked to stop while there was no step to save")
