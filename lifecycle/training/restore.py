"""Bringing a checkpoint into the engine, also one that was written by another number of processes or ZeRO stage.

DeepSpeed's files hold one partition per process. Its universal checkpoint (Lian et al. 2024) is one file per parameter and
state, which any layout can read (`lifecycle.training.universal`).
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from lifecycle.errors import CorruptArtifactError
from lifecycle.training.checkpoints import Layout
from lifecycle.training.distributed import rank
from lifecycle.training.engine import Engine
from lifecycle.training.exits import ConfigurationError
from lifecycle.training.frozen import load_trained

TAG = "state"
UNIVERSAL = ".universal"


def load(engine: Engine, directory: Path, found: Layout, wanted: Layout) -> None:
    """Load a checkpoint whose hashes have been verified; every rank must call it.

    Raises:
        ConfigurationError: one of the two works without ZeRO, the other with it.
        CorruptArtifactError: the engine cannot read it although its hashes fit.
    """
    if (found.zero_stage == 0) != (wanted.zero_stage == 0):
        raise ConfigurationError(
            f"{directory}: this checkpoint cannot be continued: zero_stage is {found.zero_stage} there and "
            f"{wanted.zero_stage} in this job; a run may change among 1, 2 and 3, and its number of processes, but not "
            "between 0, which DeepSpeed's universal checkpoints leave out, and the others. Use the stage it was made with, "
            "or remove the run's checkpoints directory to start again"
        )
    hyperparameters = [{k: v for k, v in group.items() if k != "params"} for group in engine.optimizer.param_groups]
    if found == wanted or wanted.zero_stage == 0:  # without ZeRO every process holds, and reads, the whole state
        _load(engine, directory, universal=False)
    else:
        _load(engine, _converted(directory, found, wanted), universal=True)
        if rank() == 0:
            shutil.rmtree(directory.parent / UNIVERSAL)
        _undo_sharing(engine, hyperparameters)


def _undo_sharing(engine: Engine, hyperparameters: list[dict[str, Any]]) -> None:
    """From a universal checkpoint, stage 3 gives every group the weight decay of the first one, and all stages all
    parameters one and the same step counter, which each of them may then count up."""
    for group, values in zip(engine.optimizer.param_groups, hyperparameters, strict=True):
        group.update(values)
    for state in engine.optimizer.optimizer.state.values():
        if torch.is_tensor(state.get("step")):
            state["step"] = state["step"].clone()


def _load(engine: Engine, directory: Path, universal: bool) -> None:
    config: Any = engine._config
    config.load_universal_checkpoint = universal
    try:
        loaded, _ = engine.load_checkpoint(str(directory), tag=TAG, custom_load_fn=load_trained)
    finally:
        config.load_universal_checkpoint = False
    if loaded is None:
        raise CorruptArtifactError(f"{directory}: the engine found no state in this checkpoint")


def _converted(directory: Path, found: Layout, wanted: Layout) -> Path:
    """The checkpoint as a universal one, in a scratch directory; every rank must call it."""
    target = directory.parent / UNIVERSAL
    ended = [0, ""]
    if rank() == 0:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        command = [sys.executable, "-m", "lifecycle.training.universal", str(directory / TAG), str(target / TAG)]
        command += [str(found.zero_stage), str(wanted.zero_stage)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        ended = [done.returncode, (done.stdout + done.stderr)[-2000:]]
    distributed.broadcast_object_list(ended, src=0)
    if ended[0]:
        raise CorruptArtifactError(f"{directory}: it could not be converted for {wanted}:\n{ended[1]}")
    return target
