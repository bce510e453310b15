"""The probe: all ranks meet and add up a tensor. Run it through `lifecycle.training.launch`."""

import json
import time
from pathlib import Path

import torch
from torch import distributed

from lifecycle.files import write_atomically
from lifecycle.jobs import TrainingJob
from lifecycle.training.distributed import rank, start, world
from lifecycle.training.failures import RESULT

MEGABYTES = 64
ROUNDS = 5


def main(job: TrainingJob) -> None:
    """Write ranks, device and the bus bandwidth of an all-reduce to `result.json`.

    Bandwidth is that of nccl-tests: bytes / seconds x 2(n-1)/n.
    """
    begun = time.monotonic()
    device = start()
    met = time.monotonic() - begun
    tensor = torch.ones(MEGABYTES * 2**20 // 4, device=device)
    distributed.all_reduce(tensor)
    _wait(device)
    begun = time.monotonic()
    for _ in range(ROUNDS):
        distributed.all_reduce(tensor)
    _wait(device)
    seconds = (time.monotonic() - begun) / ROUNDS
    if rank() == 0:
        bandwidth = tensor.numel() * 4 / seconds * 2 * (world() - 1) / world() / 1e9
        facts = {"ranks": world(), "device": str(device.type), "seconds to meet": round(met, 1)}
        facts |= {"all-reduce GB/s": round(bandwidth, 3)} if world() > 1 else {}
        write_atomically(Path(job.run_dir) / RESULT, json.dumps(facts))
    distributed.destroy_process_group()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
