"""What one training run works with."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.distributed import ProcessGroup

from lifecycle.recipe.training import CausalTraining
from lifecycle.training.balance import PLAIN, Balance
from lifecycle.training.batches import Order, Sequences
from lifecycle.training.checkpoints import Checkpoints, Layout
from lifecycle.training.distributed import world
from lifecycle.training.engine import Engine
from lifecycle.training.feed import Feed
from lifecycle.training.heartbeat import Heartbeat
from lifecycle.training.journal import Journal
from lifecycle.training.meter import Meter
from lifecycle.training.skipping import SkippedBatches
from lifecycle.training.validation import TaskSet, ValidationSet


@dataclass(frozen=True)
class Run:
    """What the loop works with.

    Attributes:
        journal: None on all ranks but 0.
        host_group: the group over which the hosts agree without touching their devices; None is the default group.
        reading_delay: steps that a step's loss and gradient norm may stay on the device before they are read.
    """

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
    feed: Feed
    validation: ValidationSet | None = None
    host_group: ProcessGroup | None = None
    reading_delay: int = 0
    balance: Balance = PLAIN
    tasks: TaskSet | None = None

    @property
    def layout(self) -> Layout:
        """How this run's engine spreads its state."""
        return Layout(processes=world(), zero_stage=self.training.zero_stage)
