"""The causal program, killed in the middle of a file of its second checkpoint."""

import io
import os
import signal
from typing import Any

import torch

from lifecycle.jobs import TrainingJob
from lifecycle.training import background, causal

save = torch.save
FILES_BEFORE = 3
"""Of the first checkpoint, and one of the second."""
written: list[str] = []


def main(job: TrainingJob) -> None:
    """Train, and die."""
    background.torch.save = save_or_die
    causal.main(job)


def save_or_die(state: Any, file: Any, **arguments: Any) -> None:
    """Write half of the file and end as `kill -9` ends a process."""
    if len(written) < FILES_BEFORE:
        written.append(file.name)
        save(state, file, **arguments)
        return
    whole = io.BytesIO()
    save(state, whole, **arguments)
    file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
