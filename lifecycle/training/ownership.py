"""Who may publish in a run directory: the launcher that took its lock last.

The lock lets one launcher work at a time, as long as the file system keeps it. A shared one gives up the locks of a machine
that it has not heard of for a while, and a machine that nobody could reach may come back with its ranks still running beside
those that replaced them. So whoever takes the lock leaves a token there, and looks for it before it publishes anything.
"""

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from lifecycle.files import write_atomically
from lifecycle.training.exits import Preempted

FILE = ".launch.owner"
VARIABLE = "LIFECYCLE_OWNER"


@dataclass(frozen=True)
class Owner:
    """One launcher, and the file in which the last one to take the lock wrote its token."""

    path: Path
    token: str

    @property
    def holds(self) -> bool:
        """Whether nobody has taken the run directory since, and it is still there."""
        try:
            return self.path.read_text(encoding="ascii") == self.token
        except FileNotFoundError:
            return False

    def pass_on(self) -> None:
        """Let the processes that this one starts know whose they are."""
        os.environ[VARIABLE] = f"{self.token} {self.path}"


def take(directory: Path) -> Owner:
    """Become the owner; called by whoever has the lock."""
    owner = Owner(directory / FILE, uuid.uuid4().hex[:8])
    write_atomically(owner.path, owner.token)
    return owner


def own_launcher() -> Owner | None:
    """The launcher that started this process, or None where a program was started without one."""
    token, _, path = os.environ.get(VARIABLE, "").partition(" ")
    return Owner(Path(path), token) if token else None


def check_owner() -> None:
    """Called before anything is published. Raises Preempted when another launcher has taken the run directory since."""
    owner = own_launcher()
    if owner and not owner.holds:
        raise Preempted("another launcher has taken this run over; nothing of this one is published any more")
