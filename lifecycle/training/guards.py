"""Checks at every step. Each stops the run with an error that names the step and, where it helps, the documents."""

import math
from collections.abc import Callable, Sequence

from lifecycle.errors import DataError
from lifecycle.training.exits import NumericsError

Documents = Callable[[], Sequence[int]]
"""The numbers of the memmap's documents to name; asked for only when something is wrong."""

SHOWN_DOCUMENTS = 20


def check_weight(step: int, total_weight: float, documents: Documents) -> None:
    """Raises DataError when no label of the global batch counts: the loss would be 0 / 0."""
    if not total_weight > 0:
        raise DataError(
            f"step {step}: no label of the batch has any weight (is the whole loss mask 0?); {_named(documents)}. "
            "Look at the loss-mask preview of the memmap and at the chat template's generation marks"
        )


def check_loss(step: int, loss: float, documents: Documents) -> None:
    """Raises NumericsError for a loss that is not finite, or is exactly 0, which no cross-entropy reaches honestly."""
    if not math.isfinite(loss):
        raise NumericsError(f"step {step}: the loss is {loss}; {_named(documents)}")
    if loss == 0:
        raise NumericsError(f"step {step}: the loss is exactly 0; {_named(documents)}")


def check_gradient_norm(step: int, norm: float, documents: Documents) -> None:
    """Raises NumericsError when the global gradient norm is not finite."""
    if not math.isfinite(norm):
        raise NumericsError(f"step {step}: the gradient norm is {norm}; {_named(documents)}")


def check_learning_rate(step: int, actual: Sequence[float], expected: float) -> None:
    """Raises NumericsError when the engine's learning rate is not the schedule's: something else moved it."""
    if any(rate != expected for rate in actual):
        raise NumericsError(
            f"step {step}: the engine's learning rate is {list(actual)}, the schedule says {expected}; "
            "a second scheduler (a DeepSpeed preset, Accelerate) is at work"
        )


def _named(find: Documents) -> str:
    documents = find()
    shown = ", ".join(map(str, documents[:SHOWN_DOCUMENTS]))
    more = f" and {len(documents) - SHOWN_DOCUMENTS} more" if len(documents) > SHOWN_DOCUMENTS else ""
    return f"the batch holds the memmap's documents {shown}{more} (counted from 0)"
