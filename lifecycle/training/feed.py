"""Batches on their way to the device."""

from dataclasses import fields
from typing import Any

import torch

from lifecycle.training.batches import Batch


class Feed:
    """Copies batches to the device while it computes.

    The host is a step ahead of a GPU: what it sends for the next step goes from pinned memory over a stream of its own, and
    has arrived when the computation gets there.
    """

    def __init__(self, device: torch.device, host_segments: bool = False) -> None:
        """`host_segments`: the attention wants `segments` on the host (`attention.reads_lengths`)."""
        self._device, self._host_segments = device, host_segments
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def send(self, batch: Batch) -> Batch:
        """The batch on the device, to be used by the current stream."""
        if self._stream is None:
            return batch.to(self._device)
        current = torch.cuda.current_stream(self._device)
        moved: dict[str, Any] = {}
        with torch.cuda.stream(self._stream):
            for field in fields(Batch):
                tensor = getattr(batch, field.name)
                if tensor is not None and not (self._host_segments and field.name == "segments"):
                    tensor = tensor.pin_memory().to(self._device, non_blocking=True)
                    tensor.record_stream(current)
                moved[field.name] = tensor
        current.wait_stream(self._stream)
        return Batch(**moved)
