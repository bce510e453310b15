"""Checks at every step. Each stops the run with an error that names the step and, where it helps, the documents."""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from lifecycle.errors import DataError
from lifecycle.recipe.preference_training import PreferenceTraining
from lifecycle.recipe.training import CausalTraining
from lifecycle.training.exits import ConfigurationError, NumericsError, OutOfMemoryError

Documents = Callable[[], Sequence[int]]
"""The numbers of the memmap's documents to name; asked for only when something is wrong."""

SHOWN_DOCUMENTS = 20
HISTORY = 50
"""Steps that a spike or an explosion is measured against."""
ENOUGH_HISTORY = 20
MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")


def check_weight(step: int, total_weight: float, documents: Documents) -> None:
    """Raises DataError when no label of the global batch counts: the loss would be 0 / 0."""
    if not total_weight > 0:
        raise DataError(
            f"step {step}: no label of the batch has any weight (is the whole loss mask 0?); {named(documents)}. "
            "Look at the loss-mask preview of the memmap and at the chat template's generation marks"
        )


def check_loss(step: int, loss: float, documents: Documents) -> None:
    """Raises NumericsError for a loss that is not finite, or is exactly 0, which no cross-entropy reaches honestly."""
    if not math.isfinite(loss):
        raise NumericsError(f"step {step}: the loss is {loss}; {named(documents)}")
    if loss == 0:
        raise NumericsError(f"step {step}: the loss is exactly 0; {named(documents)}")


def spike(step: int, loss: float, before: Sequence[float], factor: float) -> str | None:
    """What is to be said of a loss that is `factor` times the median of those `before`; None for any other.

    The median, because the mean would be moved by the last spike.
    """
    if len(before) < ENOUGH_HISTORY or loss <= factor * median(before):
        return None
    return f"step {step}: the loss {loss:.4g} is {loss / median(before):.1f} times the median of the {len(before)} before"


def check_gradient_norm(step: int, norm: float, before: Sequence[float], factor: float, documents: Documents) -> None:
    """Raises NumericsError when the global gradient norm is not finite, or `factor` times the median of those `before`."""
    if not math.isfinite(norm):
        raise NumericsError(f"step {step}: the gradient norm is {norm}; {named(documents)}")
    if len(before) >= ENOUGH_HISTORY and norm > factor * median(before):
        raise NumericsError(
            f"step {step}: the gradient norm {norm:.4g} is {norm / median(before):,.0f} times the median of the "
            f"{len(before)} before (guards.explosion_factor {factor:g}); {named(documents)}"
        )


def check_learning_rate(step: int, actual: Sequence[float], expected: float) -> None:
    """Raises NumericsError when the engine's learning rate is not the schedule's: something else moved it."""
    if any(rate != expected for rate in actual):
        raise NumericsError(
            f"step {step}: the engine's learning rate is {list(actual)}, the schedule says {expected}; "
            "a second scheduler (a DeepSpeed preset, Accelerate) is at work"
        )


def check_data(training: CausalTraining, sequences: int, batch: int) -> None:
    """Raises ConfigurationError when the steps, of `batch` of these sequences each, would pass over them more often than
    the recipe allows."""
    epochs, limit = training.steps * batch / sequences, training.guards.max_epochs
    if limit is not None and epochs > limit:
        most = int(limit * sequences) // batch
        raise ConfigurationError(
            f"training.steps: {training.steps} steps of {batch} sequences are {epochs:.2f} passes over "
            f"the {sequences} there are, guards.max_epochs allows {limit:g}: {most} steps, or more data"
        )


def disk_share(directory: Path) -> float:
    """Used share of the file system that holds `directory`."""
    usage = shutil.disk_usage(directory)
    return 1 - usage.free / usage.total


def explain_memory(
    error: BaseException, step: int, training: CausalTraining | PreferenceTraining
) -> OutOfMemoryError | None:
    """An allocator's error with the micro-batch to try next; None for any other error."""
    memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if not memory and not any(word in str(error).lower() for word in MEMORY_WORDS):
        return None
    size = training.micro_batch
    length, shorter = (
        (training.sequence_length, "raise zero_stage or shorten sequence_length")
        if isinstance(training, CausalTraining)
        else (training.answers * training.max_length, "raise processes or shorten max_length")
    )
    accumulation = training.global_batch // (training.processes * size)
    following = (
        f"try micro_batch {size // 2} (accumulation {2 * accumulation}): the global batch, and so the result, stays the same"
        if size % 2 == 0
        else f"a micro-batch of this size cannot be halved: {shorter}"
    )
    return OutOfMemoryError(f"step {step}: out of memory with micro_batch {size} x {length} tokens; {following}. {error}")


def named(find: Documents) -> str:
    """The documents of a batch, for a message."""
    documents = find()
    shown = ", ".join(map(str, documents[:SHOWN_DOCUMENTS]))
    more = f" and {len(documents) - SHOWN_DOCUMENTS} more" if len(documents) > SHOWN_DOCUMENTS else ""
    return f"the batch holds the memmap's documents {shown}{more} (counted from 0)"
