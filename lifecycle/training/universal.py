"""A checkpoint in DeepSpeed's universal form (Lian et al. 2024), for the ZeRO stage that is to read it.

`python -m lifecycle.training.universal SOURCE TARGET FROM_STAGE TO_STAGE`, in a process of its own: DeepSpeed's converter
forks workers, which a process with collectives in flight must not.

Stages 1 and 2 write and read each state as the whole tensor in a dictionary, with the step beside it; stage 3 writes a bare
flat tensor, reads both, and looks for the step in the optimizer's common state (0.19.8). What is converted is what the one
stage writes; here it becomes what the other reads.
"""

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import deepspeed
import torch
from deepspeed.checkpoint import ds_to_universal
from deepspeed.checkpoint.constants import CAT_DIM, DS_VERSION, OPTIMIZER_STATE_DICT, PARAM, PARAM_GROUPS, PARAM_SHAPES

STATES = ("fp32", "exp_avg", "exp_avg_sq")
WORKERS = 4


def convert(source: Path, target: Path, from_stage: int, to_stage: int) -> None:
    """Write the checkpoint that ZeRO stage `from_stage` left in `source` into `target`, for stage `to_stage` (1 to 3)."""
    workers = min(WORKERS, os.cpu_count() or 1)
    ds_to_universal.main(
        Namespace(
            input_folder=str(source),
            output_folder=str(target),
            num_extract_workers=workers,
            num_merge_workers=workers,
            keep_temp_folder=False,
            strict=True,
            inject_missing_state=True,
        )
    )
    if from_stage < 3 and to_stage == 3:
        _for_partitioned_weights(target)
    if from_stage == 3 and to_stage < 3:
        _for_partitioned_optimizer(target)


def _for_partitioned_weights(target: Path) -> None:
    whole = target / "mp_rank_00_model_states.pt"
    os.link(whole, target / f"zero_pp_rank_0_{whole.name}")
    common = target / "zero" / "optimizer_state.pt"
    state = _read(common)
    step = _read(next((target / "zero").rglob("step.pt")))
    state[OPTIMIZER_STATE_DICT] = {"state": {0: {"step": step}}, "param_groups": state[PARAM_GROUPS]}
    torch.save(state, common)


def _for_partitioned_optimizer(target: Path) -> None:
    first = target / "zero_pp_rank_0_mp_rank_00_model_states.pt"
    os.link(first, target / "mp_rank_00_model_states.pt")
    common = target / "zero" / "optimizer_state.pt"
    state = _read(common)
    torch.save({PARAM_GROUPS: state[PARAM_GROUPS], DS_VERSION: deepspeed.__version__}, common)
    step = state[OPTIMIZER_STATE_DICT]["state"][0]["step"]
    for shapes in _read(first)[PARAM_SHAPES]:
        for name, shape in shapes.items():
            for key in STATES:
                path = target / "zero" / name / f"{key}.pt"
                torch.save({PARAM: _read(path).view(shape), CAT_DIM: 0}, path)
            torch.save(step, target / "zero" / name / "step.pt")


def _read(path: Path) -> Any:
    """What the converter has just written itself, from files whose hashes were verified."""
    return torch.load(path, map_location="cpu", weights_only=False)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
