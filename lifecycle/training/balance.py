"""What a task counts in the loss: factors on the weights of labels, from the sums of a whole global batch.

Every choice of the recipe is one formula. Each label has a base weight b: 1 where it is trained, or 1 over the number of
trained labels of its conversation. With λ_t the weight of task t and B_t the sum of b over the labels of t in the global
batch, on all ranks and in all accumulation steps, a label of t weighs b·λ_t, or b·λ_t / B_t where the loss is per task. The
loss is the sum of weight times cross-entropy over the sum of the weights, whatever the batch was split into.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from lifecycle.recipe.fine_tuning import TaskBalance
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.batches import Batch
from lifecycle.training.coba import CobaState
from lifecycle.training.exits import ConfigurationError

PRETRAINING = "pretraining"
"""Name of the text that is mixed in, among tasks."""


@dataclass(frozen=True)
class Balance:
    """The tasks of a run and what they weigh; without tasks all labels are of one.

    Attributes:
        tasks: names; the numbers in `Batch.tasks` are indices of them.
        weights: λ of each task.
        by_task: whether the loss is a mean of the tasks' means.
        followed: numbers of the tasks whose weights CoBa decides.
    """

    tasks: tuple[str, ...] = ("",)
    weights: tuple[float, ...] = (1.0,)
    by_task: bool = False
    followed: tuple[int, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether every factor is 1, and batches need no tasks."""
        return not self.by_task and set(self.weights) == {1.0}

    def totals(self, batches: Sequence[Batch]) -> list[float]:
        """The sum of base weights of each task over these batches, or of all where that is enough; to be added up over
        ranks."""
        if self.plain:
            return [sum(float(batch.weights.sum()) for batch in batches)]
        found = np.zeros(len(self.tasks))
        for batch in batches:
            assert batch.tasks is not None
            found += np.bincount(batch.tasks.flatten(), batch.weights.flatten().double(), len(self.tasks))
        return found.tolist()

    def factors(self, totals: Sequence[float], coba: CobaState | None = None) -> np.ndarray:
        """What the base weights behind each of `totals` are multiplied by, float64; 0 for tasks that the batch lacks.

        CoBa's weights, whose sum is 1, are taken times their number, so that equal ones are those of no CoBa at all.
        """
        if self.plain:
            return np.ones(1)
        weights = np.array(self.weights)
        if coba:
            weights[list(self.followed)] = len(self.followed) * np.array(coba.weights)
        sums = np.asarray(totals, dtype=np.float64)
        divisors = np.where(sums > 0, sums, 1.0) if self.by_task else 1.0
        return np.where(sums > 0, weights / divisors, 0.0)

    def weigh(self, batch: Batch, factors: np.ndarray) -> Batch:
        """The batch with its labels' final weights."""
        if self.plain:
            return batch
        assert batch.tasks is not None
        each = torch.from_numpy(factors).to(batch.weights.device)[batch.tasks.long()]
        return replace(batch, weights=(batch.weights * each).float(), tasks=None)


PLAIN = Balance()


def balance_of(config: TaskBalance, memmap: TokenMemmap, pretraining: float | None) -> Balance:
    """The balance of a fine-tuning run over `memmap`, with pretraining text of this weight mixed in, or none.

    Raises:
        ConfigurationError: the conversations have no tasks, or not those that are named.
    """
    tasks = memmap.describe.tasks
    unknown = sorted(set(config.weights) - set(tasks))
    if unknown:
        raise ConfigurationError(f"balance.weights: no task named {', '.join(unknown)}; {memmap.path} has {list(tasks)}")
    if config.by_task and not tasks:
        raise ConfigurationError(f"balance.per: {config.per} needs tasks, and {memmap.path} has none")
    own = np.zeros(0, dtype=np.int64) if memmap.task is None else np.unique(memmap.task)
    return Balance(
        tasks=(*(tasks or ("conversations",)), *([] if pretraining is None else [PRETRAINING])),
        weights=(
            *(config.weights.get(task, 1.0) for task in tasks or ("",)),
            *([] if pretraining is None else [pretraining]),
        ),
        by_task=config.by_task,
        followed=tuple(own.tolist()) if config.coba else (),
    )
