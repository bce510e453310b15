"""A request to stop is answered at once unless there is a step to save."""

import os
import signal
from collections.abc import Iterator

import pytest

from lifecycle.training.exits import Preempted
from lifecycle.training.stop import StopRequest


@pytest.fixture
def stop() -> Iterator[StopRequest]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield StopRequest().listen()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_before_the_first_step_it_leaves_at_once(stop: StopRequest) -> None:
    """A stop during half a minute of compilation waited for the first step, to save nothing new."""
    with pytest.raises(Preempted):
        os.kill(os.getpid(), signal.SIGTERM)


def test_between_steps_it_is_remembered_until_everything_is_saved(stop: StopRequest) -> None:
    stop.hold()
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.asked
    with pytest.raises(Preempted):
        stop.release()


def test_after_the_last_checkpoint_it_leaves_at_once(stop: StopRequest) -> None:
    stop.hold()
    stop.release()
    with pytest.raises(Preempted):
        os.kill(os.getpid(), signal.SIGTERM)
