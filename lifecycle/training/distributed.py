"""The process group of a run, and the few numbers that all ranks must agree on at every step."""

import importlib
import logging
from datetime import timedelta
from typing import Any

import deepspeed
import torch
from torch import distributed
from torch.distributed.distributed_c10d import _set_pg_timeout  # pyright: ignore[reportPrivateUsage] - as torchtitan does

from lifecycle.pretrained import device as own_device
from lifecycle.training.imports import uncompiled

logger = logging.getLogger(__name__)

COLLECTIVE_TIMEOUT = timedelta(minutes=20)
MEETING_TIMEOUT = timedelta(minutes=3)
"""For all ranks to meet for the first time, before there is any work that could keep one of them."""


def start() -> torch.device:
    """Join the process group that RANK, WORLD_SIZE, LOCAL_RANK and MASTER_* describe; returns this rank's device.

    Raises:
        DistError: not all ranks came within `MEETING_TIMEOUT`.
        ConnectionError: their first sum is wrong.

    On the CPU DeepSpeed would first compile a shared-memory kernel, which needs a C++ compiler and 40 s. Only its
    `inference_all_reduce` uses that kernel and training never calls it, so it is declared unavailable.
    """
    with uncompiled():  # before ZeRO imports it, to see that our optimizer is none
        importlib.import_module("deepspeed.runtime.zero.muon.muon_optimizer")
    device = own_device()
    backend = "nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        # Several threads add up the rows of one embedding gradient in no fixed order otherwise, and a resumed run
        # must repeat the losses of an uninterrupted one bit for bit.
        torch.use_deterministic_algorithms(True, warn_only=True)
        settings: Any = torch.utils.deterministic
        settings.fill_uninitialized_memory = False  # a debugging aid that fills every new tensor
    deepspeed.init_distributed(dist_backend=backend, timeout=MEETING_TIMEOUT, verbose=False)
    total = sum_over_ranks(device, 1.0)[0]
    if total != world():
        raise ConnectionError(f"the start-up all-reduce over {world()} ranks gave {total}")
    _set_pg_timeout(COLLECTIVE_TIMEOUT, distributed.group.WORLD)
    return device


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank()


def world() -> int:
    """The number of processes."""
    return distributed.get_world_size()


def hosts(device: torch.device) -> Any:
    """The group over which the ranks' hosts agree: None, the default one, where that is on the CPU anyway."""
    return distributed.new_group(backend="gloo", timeout=COLLECTIVE_TIMEOUT) if device.type == "cuda" else None


def agree(group: distributed.ProcessGroup | None, *values: float) -> list[float]:
    """The sums of host numbers over all ranks, which wait for no device; every rank must call it."""
    if world() == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(tensor, group=group)
    return tensor.tolist()


def sum_over_ranks(device: torch.device, *values: float) -> list[float]:
    """The sums of `values` over all ranks, in double precision; every rank must call it."""
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(tensor)
    return tensor.tolist()
