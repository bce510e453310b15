"""Attention that stays inside a packed document, by the fastest kernel that the machine has.

Only sdpa and eager have trained so far. flex has no backward pass on the CPU and flash-attn needs a GPU: neither has been
run in training. What decides between them, and what each is told, is tested on the CPU.
"""

import importlib.util
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from transformers.utils.import_utils import is_flash_attn_2_available, is_flash_attn_3_available

from lifecycle.pretrained import ATTENTION

EAGER_LENGTH = 512
"""Longest sequence for which compiled plain attention is used on the CPU; its scores take memory with the square of it."""
HOPPER, AMPERE = (9, 0), (8, 0)


@dataclass(frozen=True)
class Attention:
    """An implementation of transformers, and why it is the one."""

    implementation: str
    label: str
    reason: str

    def __str__(self) -> str:
        return f"attention: {self.label}, because {self.reason}"


@dataclass(frozen=True)
class Machine:
    """What the choice depends on."""

    device_type: str
    capability: tuple[int, int] = (0, 0)
    """Of the GPU, (0, 0) elsewhere."""
    installed: frozenset[str] = frozenset()
    """Of flash-attn 2 (`flash_attn`), flash-attn 3 (`flash_attn_3`) and `triton`."""


def machine(device: torch.device) -> Machine:
    """This machine."""
    if device.type != "cuda":
        return Machine(device.type)
    here = {
        "flash_attn": is_flash_attn_2_available(),
        "flash_attn_3": is_flash_attn_3_available(),
        "triton": importlib.util.find_spec("triton") is not None,
    }
    installed = frozenset(name for name, found in here.items() if found)
    return Machine("cuda", torch.cuda.get_device_capability(device), installed)


def choose(found: Machine, precision: str, compiled: bool, sequence_length: int) -> Attention:
    """The attention to train with.

    On the CPU, plain attention that `torch.compile` fuses beats the sdpa kernel: at sequence 256, hidden 128, one thread,
    bf16, a forward and backward pass took 53 ms against 62 ms. On a GPU the kernels that skip what a document may not see
    come first.
    """
    if found.device_type != "cuda":
        if compiled and sequence_length <= EAGER_LENGTH:
            return Attention("eager", "eager, compiled", f"the device is a CPU and sequences are at most {EAGER_LENGTH}")
        return Attention(ATTENTION, "sdpa, block-diagonal mask", f"the device is a {found.device_type.upper()}")
    lacking = []
    for name, implementation, least in (
        ("flash_attn_3", "flash_attention_3", HOPPER),
        ("flash_attn", "flash_attention_2", AMPERE),
    ):
        if name not in found.installed:
            lacking.append(f"{name} is not installed")
        elif precision != "bf16":
            lacking.append(f"{name} computes in bf16, not {precision}")
        elif found.capability < least:
            lacking.append(f"{name} needs compute capability {least[0]}.{least[1]}")
        else:
            reason = "; ".join([*lacking, f"{name} is installed"])
            return Attention(implementation, "flash-attn varlen", reason)
    if "triton" in found.installed:
        return Attention("flex_attention", "flex, block mask", "; ".join(lacking))
    return Attention(ATTENTION, "sdpa, block-diagonal mask", "; ".join([*lacking, "flex needs triton"]))


def reads_lengths(implementation: str) -> bool:
    """Whether this attention is told where documents begin by cumulative lengths: it then wants `segments` on the host,
    where their number can be counted without waiting for the device."""
    return implementation.startswith("flash")


def inside_segments(implementation: str, segments: torch.Tensor, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments to a transformers decoder so that no position attends to another segment or to what follows it.

    The mask is given outright. transformers would infer it from the positions, but only without a cache, and slower.

    Args:
        segments: [sequences, sequence_length] as in `Batch`. With `reads_lengths` the decoder must be given all sequences as
            one, [1, sequences x sequence_length].
        dtype: of the model.
    """
    if reads_lengths(implementation):
        lengths = cumulative_lengths(segments).to(device, non_blocking=True)
        longest = segments.shape[1]  # no document reaches from one sequence into the next
        return {
            "attention_mask": None,
            "cu_seq_lens_q": lengths,
            "cu_seq_lens_k": lengths,
            "max_length_q": longest,
            "max_length_k": longest,
        }
    if implementation == "flex_attention":
        return {"attention_mask": block_mask(segments)}
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    mask = (segments[:, None, :, None] == segments[:, None, None, :]) & causal
    if implementation == "eager":
        mask = torch.where(mask, 0.0, torch.finfo(dtype).min).to(dtype)
    return {"attention_mask": mask}


def cumulative_lengths(segments: torch.Tensor) -> torch.Tensor:
    """Where each segment begins in the flattened batch, then its length: int32 on the host, [a power of two].

    The end is repeated (segments of no length) up to a power of two, because compiled blocks are compiled once more for
    every size that they meet.
    """
    host = segments.cpu()
    begins = torch.ones_like(host, dtype=torch.bool)
    begins[:, 1:] = host[:, 1:] != host[:, :-1]
    starts = begins.flatten().nonzero().flatten()
    result = torch.full((1 << len(starts).bit_length(),), host.numel(), dtype=torch.int32)
    result[: len(starts)] = starts
    return result.pin_memory() if torch.cuda.is_available() else result


def block_mask(segments: torch.Tensor) -> BlockMask:
    """flex_attention's mask of blocks, made on the device that holds `segments`."""

    def seen(sequence: torch.Tensor, _: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (query >= key) & (segments[sequence, query] == segments[sequence, key])

    count, length = segments.shape
    on_gpu = segments.device.type == "cuda"
    return create_block_mask(seen, count, None, length, length, device=segments.device, _compile=on_gpu)
