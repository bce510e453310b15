"""What one training run works with."""

from dataclasses import dataclass
from typing import Any

import torch

from lifecycle.recipe.training import CausalTraining
from lifecycle.training.balance import PLAIN, Balance
from lifecycle.training.batches import Order, Sequences
from lifecycle.training.checkpoints import Checkpoints, Layout
from lifecycle.training.distributed import world
from lifecycle.training.engine import Engine
from lifecycle.training.heartbeat import Heartbeat
from lifecycle.training.journal import Journal
from lifecycle.training.meter import Meter
from lifecycle.training.skipping import SkippedBatches
from lifecycle.training.validation import TaskSet, ValidationSet


@dataclass(frozen=True)
class Run:
    """What the loop works with. `journal` is None on all ranks but 0."""

    training: CausalTraining
    engine: Engine
    data: Sequences
    order: Order
    device: torch.device
    checkpoints: Checkpoints
    identity: dict[str, Any]
    journal: Journal | None
    meter: Meter
    heartbeat: Heartbeat
    skipped: SkippedBatches
    validation: ValidationSet | None = None
    balance: Balance = PLAIN
    tasks: TaskSet | None = None

    @property
    def layout(self) -> Layout:
        """How this run's engine spreads its state."""
        return Layout(processes=world(), zero_stage=self.training.zero_stage)
