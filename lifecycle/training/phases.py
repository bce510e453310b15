"""Fine-tuning in phases: which phase a conversation belongs to, and an order in which one phase follows the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.recipe.fine_tuning import Phases
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.batches import Order, SampleOrder
from lifecycle.training.exits import ConfigurationError


def phase_numbers(memmap: TokenMemmap, phases: Phases, seed: int) -> np.ndarray:
    """The phase of each conversation, from 0, int64 [documents].

    Equal parts are those of the ranks, ties in the memmap's own (seeded) order. The random control gives the same numbers to
    conversations drawn by `seed`.

    Raises:
        ConfigurationError: a conversation has no difficulty, or a phase no conversation.
    """
    values = difficulty(memmap, phases)
    if isinstance(phases.into, int):
        ranks = np.empty(len(values), dtype=np.int64)
        ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
        numbers, count = ranks * phases.into // max(1, len(values)), phases.into
    else:
        numbers, count = np.searchsorted(phases.into, values, side="right"), len(phases.into) + 1
    sizes = np.bincount(numbers, minlength=count)
    if not sizes.all():
        least, most = float(values.min()), float(values.max())
        raise ConfigurationError(
            f"phases.into: of {len(values)} conversations the phases would hold {sizes.tolist()}; "
            f"{phases.by} goes from {least:g} to {most:g}"
        )
    return np.random.default_rng(seed).permutation(numbers) if phases.order == "random" else numbers


def difficulty(memmap: TokenMemmap, phases: Phases) -> np.ndarray:
    """What phases are told apart by, float64 [documents].

    Raises:
        ConfigurationError: a conversation has no difficulty.
    """
    if phases.by == "answer_tokens":
        return _trained_tokens(memmap).astype(np.float64)
    known = np.full(len(memmap), np.nan) if memmap.difficulty is None else np.asarray(memmap.difficulty, dtype=np.float64)
    missing = int(np.isnan(known).sum())
    if missing:
        raise ConfigurationError(
            f"phases.by: {missing} of the {len(known)} conversations in {memmap.path} have no difficulty; "
            "have it measured (instructions.scores), give their records the field `difficulty`, or say by: answer_tokens"
        )
    return known


def _trained_tokens(memmap: TokenMemmap) -> np.ndarray:
    lengths = np.diff(memmap.offsets)
    if memmap.loss_mask is None:
        return lengths
    found = np.zeros(len(lengths), dtype=np.int64)
    filled = lengths > 0
    found[filled] = np.add.reduceat(memmap.loss_mask, memmap.offsets[:-1][filled], dtype=np.int64)
    return found


def share_steps(sequences: Sequence[int], steps: int) -> tuple[int, ...]:
    """Steps of each phase in proportion to its sequences, at least one each; what is left goes to the largest remainders.

    Raises:
        ConfigurationError: there are fewer steps than phases.
    """
    if steps < len(sequences):
        raise ConfigurationError(f"training.steps: {steps} steps cannot be shared out among {len(sequences)} phases")
    exact = np.array(sequences) / sum(sequences) * (steps - len(sequences))
    shared = np.floor(exact).astype(np.int64)
    left = steps - len(sequences) - int(shared.sum())
    shared[np.argsort(shared - exact, kind="stable")[:left]] += 1
    return tuple((shared + 1).tolist())


@dataclass(frozen=True)
class PhasedOrder(Order):
    """Orders one after the other, each over sequences of its own that follow those of the one before."""

    phases: tuple[SampleOrder, ...]
    steps: tuple[int, ...]

    def global_step(self, step: int) -> np.ndarray:
        """The sequence numbers of step `step`; steps behind the last one (batches were skipped) are of the last phase."""
        ends = np.cumsum(self.steps)
        phase = min(int(np.searchsorted(ends, step, side="right")), len(self.phases) - 1)
        before = sum(each.sequences for each in self.phases[:phase])
        return before + self.phases[phase].global_step(step - int(ends[phase]) + self.steps[phase])
