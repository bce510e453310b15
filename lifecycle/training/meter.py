"""Throughput over the steps since the last report."""

from dataclasses import dataclass


@dataclass
class Meter:
    """Adds up steps; `read` gives the figures since the last reading.

    The first step is left out: it compiles, and would spoil the average by minutes. Checkpoint time is not step time.
    """

    devices: int
    flops_per_token: float
    peak_flops: float | None
    tokens: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0
    steps: int = 0
    seen: int = 0

    def add(self, tokens: int, seconds: float, data_seconds: float) -> None:
        """Count one step over the whole global batch."""
        self.seen += 1
        if self.seen == 1:
            return
        self.tokens += tokens
        self.seconds += seconds
        self.data_seconds += data_seconds
        self.steps += 1

    def read(self, steps_left: int) -> dict[str, float]:
        """tokens_per_second, tokens_per_second_per_device, tflops_per_device, data_wait_share, seconds_left, and mfu where
        the peak is known.

        Empty when no step but the first has been counted.
        """
        if not self.steps:
            return {}
        rate = self.tokens / self.seconds
        figures = {
            "tokens_per_second": rate,
            "tokens_per_second_per_device": rate / self.devices,
            "tflops_per_device": rate * self.flops_per_token / self.devices / 1e12,
            "data_wait_share": self.data_seconds / self.seconds,
            "seconds_left": steps_left * self.seconds / self.steps,
        }
        if self.peak_flops is not None:
            figures["mfu"] = rate * self.flops_per_token / (self.devices * self.peak_flops)
        self.tokens = self.steps = 0
        self.seconds = self.data_seconds = 0.0
        return figures
