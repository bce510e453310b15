"""Bringing a checkpoint into the engine, also one that was written by another number of processes or ZeRO stage.

DeepSpeed's files hold one partition per process. Its universal checkpoint (Lian et al. 2024) is one file per parameter and
state, which any layout can read.
"""

import os
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

TAG = "state"
UNIVERSAL = ".universal"
CONVERSION_WORKERS = 4
KINDS = {0: "whole", 1: "partitioned optimizer", 2: "partitioned optimizer", 3: "partitioned weights"}
"""What each ZeRO stage saves. DeepSpeed's universal checkpoints differ between these kinds too (0.19)."""


def load(engine: Engine, directory: Path, found: Layout, wanted: Layout) -> None:
    """Load a checkpoint whose hashes have been verified; every rank must call it.

    Raises:
        ConfigurationError: its ZeRO stage keeps another kind of state than this run's.
        CorruptArtifactError: the engine cannot read it although its hashes fit.
    """
    if KINDS[found.zero_stage] != KINDS[wanted.zero_stage]:
        raise ConfigurationError(
            f"{directory}: this checkpoint cannot be continued: zero_stage is {found.zero_stage} there and "
            f"{wanted.zero_stage} in this job; a run may change between 1 and 2, and its number of processes, but no more. "
            "Use the stage it was made with, or remove the run's checkpoints directory to start again"
        )
    hyperparameters = [{k: v for k, v in group.items() if k != "params"} for group in engine.optimizer.param_groups]
    if found == wanted or wanted.zero_stage == 0:  # without ZeRO every process holds, and reads, the whole state
        _load(engine, directory, universal=False)
    else:
        _load(engine, _converted(directory), universal=True)
        if rank() == 0:
            shutil.rmtree(directory.parent / UNIVERSAL)
    if wanted.zero_stage == 3:
        _undo_sharing(engine, hyperparameters)


def _undo_sharing(engine: Engine, hyperparameters: list[dict[str, Any]]) -> None:
    """From a universal checkpoint, stage 3 gives every group the weight decay of the first one, and all parameters one
    and the same step counter, which each of them then counts up."""
    for group, values in zip(engine.optimizer.param_groups, hyperparameters, strict=True):
        group.update(values)
    for state in engine.optimizer.optimizer.state.values():
        if torch.is_tensor(state.get("step")):
            state["step"] = state["step"].clone()


def _load(engine: Engine, directory: Path, universal: bool) -> None:
    config: Any = engine._config
    config.load_universal_checkpoint = universal
    try:
        loaded, _ = engine.load_checkpoint(str(directory), tag=TAG)
    finally:
        config.load_universal_checkpoint = False
    if loaded is None:
        raise CorruptArtifactError(f"{directory}: the engine found no state in this checkpoint")


def _converted(directory: Path) -> Path:
    """The checkpoint as a universal one, in a scratch directory; every rank must call it.

    In a process of its own: the converter forks workers, which a process with collectives in flight must not.
    """
    target = directory.parent / UNIVERSAL
    ended = [0, ""]
    if rank() == 0:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        workers = str(min(CONVERSION_WORKERS, os.cpu_count() or 1))
        command = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--inject_missing_state"]
        command += ["--input_folder", str(directory / TAG), "--output_folder", str(target / TAG)]
        command += ["--num_extract_workers", workers, "--num_merge_workers", workers]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        ended = [done.returncode, (done.stdout + done.stderr)[-2000:]]
    distributed.broadcast_object_list(ended, src=0)
    if ended[0]:
        raise CorruptArtifactError(f"{directory}: it could not be converted for another number of processes:\n{ended[1]}")
    return target
