"""What one device must hold, by component, before anything is loaded. Bytes throughout."""

from dataclasses import dataclass, fields

from lifecycle.recipe.preference_training import PreferenceTraining
from lifecycle.recipe.training import CausalTraining
from lifecycle.training.loss import CHUNK_LOGITS
from lifecycle.training.throughput import Shape

DEVICE_BYTES: tuple[tuple[str, float], ...] = (
    ("H200", 141e9),
    ("H100 NVL", 94e9),
    ("H100", 80e9),
    ("H800", 80e9),
    ("H20", 96e9),
    ("L40S", 48e9),
    ("L4", 24e9),
    ("A40", 48e9),
    ("A10", 24e9),
    ("MI300X", 192e9),
    ("RTX 4090", 24e9),
    ("RTX 3090", 24e9),
)
"""Memory by a word of the device's name, most specific first; those sold in several sizes (A100) are not known."""
ALLOCATOR = 1.1
"""What is needed beyond the tensors that are counted."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device at the height of a step; what the allocator and kernels add (often 10 %) is not in it."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """The sum."""
        return sum(getattr(self, field.name) for field in fields(self))


def memory(shape: Shape, training: CausalTraining) -> Memory:
    """The memory of one device for this run."""
    weights, gradients, optimizer = states(shape, training)
    tokens = training.micro_batch * training.sequence_length
    width = value_bytes(training)
    rows = min(tokens, max(1, CHUNK_LOGITS // shape.vocabulary))
    return Memory(
        weights,
        gradients,
        optimizer,
        activations=tokens * kept_bytes(shape, training),
        logits=rows * shape.vocabulary * (width + 4 + 4),  # as computed, in float32, and their gradient
    )


def preference_memory(shape: Shape, training: PreferenceTraining) -> Memory:
    """The memory of one device for a training on preferences: float32 weights, all answers' logits at once, and no reference
    model, whose log-probabilities are computed once before training. Several processes divide the optimizer (ZeRO-1).

    Args:
        shape: with its `vocabulary` as the outputs at each place, which of a reward model is 1.
    """
    tokens = training.answers * training.micro_batch * training.max_length
    width = 2 if training.precision == "bf16" else 4
    return Memory(
        weights=4 * shape.parameters,
        gradients=4 * shape.trainable,
        optimizer=_preference_optimizer_bytes(shape, training) // training.processes,
        activations=tokens * shape.layers * activation_bytes(shape, width),
        logits=tokens * shape.vocabulary * (width + 4 + 4),
    )


def preference_disk_bytes(shape: Shape, training: PreferenceTraining) -> int:
    """A run's checkpoints at their worst: TRL keeps two, and writes the third before it removes one; and the best weights.

    Frozen weights are in none. DeepSpeed saves the trained ones beside those that the trainer saves.
    """
    weights = 4 * shape.trainable
    one = weights * (1 if training.processes == 1 else 2) + _preference_optimizer_bytes(shape, training)
    return 3 * one + (weights if training.choose == "best" else 0)


def _preference_optimizer_bytes(shape: Shape, training: PreferenceTraining) -> int:
    """AdamW's moments, and under ZeRO a master weight besides."""
    return (8 if training.processes == 1 else 12) * shape.trainable


def device_bytes(name: str | None) -> float | None:
    """Memory of the device with this name, or None: it is never guessed."""
    words = set((name or "").replace("-", " ").split())
    return next((size for known, size in DEVICE_BYTES if set(known.split()) <= words), None)


def largest_micro_batch(shape: Shape, training: CausalTraining, room: float) -> int | None:
    """The largest micro-batch with which the run fits into `room` bytes at an equal global batch; None where none does."""
    share = training.global_batch // training.processes
    sizes = (size for size in range(share, 0, -1) if share % size == 0)
    for size in sizes:
        if ALLOCATOR * memory(shape, training.model_copy(update={"micro_batch": size})).total <= room:
            return size
    return None


def value_bytes(training: CausalTraining) -> int:
    """Bytes of a weight or activation."""
    return 2 if training.precision == "bf16" else 4


def states(shape: Shape, training: CausalTraining) -> tuple[int, int, int]:
    """Weights, gradients and optimizer of one device, as in Rajbhandari et al. 2020 (ZeRO), section 3.

    ZeRO-1 divides the optimizer among the ranks, ZeRO-2 the gradients too, ZeRO-3 the weights too. AdamW keeps two float32
    moments for every trained weight; under ZeRO there is a float32 master weight besides, also in a float32 run. Gradients
    are added up in float32. Weights in 4 bits (QLoRA) take 4.127 bits each with doubly quantized constants (Dettmers et al.
    2023, section 3), the embeddings and norms among them more.
    """
    stage, ranks, width = training.zero_stage, training.processes, value_bytes(training)
    frozen = shape.parameters - shape.trainable
    quantized = training.adapter is not None and training.adapter.kind == "qlora"
    weights = shape.trainable * width + (round(frozen * 4.127 / 8) if quantized else frozen * width)
    gradients, optimizer = shape.trainable * 4, shape.trainable * (8 if stage == 0 else 12)
    return (
        weights // (ranks if stage == 3 else 1),
        gradients // (ranks if stage >= 2 else 1),
        optimizer // (ranks if stage >= 1 else 1),
    )


def checkpoint_bytes(shape: Shape, training: CausalTraining) -> int:
    """One checkpoint: the trained weights, and of each a master weight and AdamW's moments in float32."""
    return shape.trainable * (value_bytes(training) + 12)


def disk_bytes(shape: Shape, training: CausalTraining) -> int:
    """A run's checkpoints at their worst: the last ones and the best, beside one being written, or one that a changed layout
    has converted, which writes every state twice (in fragments and whole)."""
    one = checkpoint_bytes(shape, training)
    kept = training.keep_checkpoints + (training.validation is not None)
    return one * kept + max(one, 2 * 12 * shape.trainable)


def kept_bytes(shape: Shape, training: CausalTraining) -> int:
    """What all layers keep of one token for the backward pass.

    A checkpointed layer keeps its input; what it computes again is there for one layer at a time.
    """
    width, every = value_bytes(training), training.checkpoint_activations
    layer = activation_bytes(shape, width)
    if not every:
        return shape.layers * layer
    checkpointed = -(-shape.layers // every)
    return (shape.layers - checkpointed + 1) * layer + checkpointed * width * shape.hidden


def activation_bytes(shape: Shape, width: int) -> int:
    """What one layer keeps of one token for the backward pass, with attention that stores no scores.

    After Korthikanti et al. 2022 (Reducing Activation Recomputation), section 4, for a Llama layer: each of the two norms
    keeps its input in float32, the scaled value, and what goes into the matrices behind it; attention keeps queries, keys
    and values (repeated to all heads), its result and the input of the output matrix; the gated MLP keeps both branches,
    the activated one and the product.
    """
    norms = 2 * (4 + 2 * width if width == 2 else 3 * width) * shape.hidden
    return norms + 5 * width * shape.attention + 4 * width * shape.intermediate
