"""Training batches. Which sequences a step sees is arithmetic on (seed, step), so a resumed run needs no saved order."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
import torch

from lifecycle.errors import DataError
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.tokens.packing import FilledSequences, PackedSequences, pack_best_fit

BLOCK = 8192
"""Sequences that are read in mixed order: 64 MB of tokens at 4,096 positions."""


@dataclass(frozen=True)
class Batch:
    """Packed sequences; every tensor is [sequences, sequence_length].

    Attributes:
        ids: int64 token ids; what a sequence lacks is padding.
        positions: int64, from 0 in each piece of a document.
        segments: int64 number of the piece within its sequence, -1 in padding; attention stays inside a segment.
        labels: int64, the token that follows.
        weights: float32 weight of each label; 0 where the label is in another piece, masked out, or padding.
        tasks: int16 number of each label's task, where tasks differ in weight.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    tasks: torch.Tensor | None = None

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return int((self.segments >= 0).sum())

    def to(self, device: torch.device) -> "Batch":
        """The batch on `device`."""
        there = {name: each for name in self.__dataclass_fields__ if (each := getattr(self, name)) is not None}
        return replace(self, **{name: each.to(device, non_blocking=True) for name, each in there.items()})


class Sequences(Protocol):
    """What training reads: packed sequences by number."""

    @property
    def sequences(self) -> int: ...

    @property
    def tokens_left_out(self) -> int: ...

    @property
    def efficiency(self) -> float: ...

    def batch(self, sequences: np.ndarray) -> Batch: ...

    def documents(self, sequences: np.ndarray) -> list[int]: ...


class PackedDocuments:
    """The packed sequences of a memmap, read row by row; of pretraining's nothing is held in memory.

    Args:
        groups: of documents, as in `pack_best_fit`; for conversations only.
        by_sample: let the labels of each piece of a document weigh 1 together.
        tasks: number of each document's task [documents], for `Batch.tasks`.
    """

    def __init__(
        self,
        memmap: TokenMemmap,
        sequence_length: int,
        kind: Literal["pretrain", "sft"],
        *,
        groups: np.ndarray | None = None,
        by_sample: bool = False,
        tasks: np.ndarray | None = None,
    ) -> None:
        self.memmap = memmap
        self.sequence_length = sequence_length
        self._by_sample, self._tasks = by_sample, tasks
        offsets = memmap.offsets
        self._packed = (
            FilledSequences(offsets, sequence_length)
            if kind == "pretrain"
            else PackedSequences(pack_best_fit(np.asarray(offsets), sequence_length, groups))
        )
        self.sequences = self._packed.sequences
        if not self.sequences:
            raise DataError(
                f"{memmap.path}: {memmap.describe.tokens} tokens do not fill one sequence of {sequence_length}; "
                "give more text or lower training.sequence_length"
            )
        self.tokens_left_out = memmap.describe.tokens - self._packed.tokens
        self.efficiency = self._packed.tokens / (self.sequences * sequence_length)
        """Share of the places that is not padding."""

    def batch(self, sequences: np.ndarray) -> Batch:
        """The packed sequences with these numbers, in this order."""
        shape = (len(sequences), self.sequence_length)
        ids = np.full(shape, self.memmap.describe.pad_token_id, dtype=np.int64)
        positions = np.zeros(shape, dtype=np.int64)
        segments = np.full(shape, -1, dtype=np.int64)
        labels = np.full(shape, self.memmap.describe.pad_token_id, dtype=np.int64)
        weights = np.zeros(shape, dtype=np.float32)
        tasks = None if self._tasks is None else np.zeros(shape, dtype=np.int16)
        mask = self.memmap.loss_mask
        for row, sequence in enumerate(sequences):
            at = 0
            for number, (start, end) in enumerate(self._packed.pieces(sequence).tolist()):
                stop = at + end - start
                ids[row, at:stop] = self.memmap.tokens[start:end]
                positions[row, at:stop] = np.arange(end - start)
                segments[row, at:stop] = number
                labels[row, at : stop - 1] = ids[row, at + 1 : stop]
                weights[row, at : stop - 1] = 1 if mask is None else mask[start + 1 : end]
                if self._by_sample:
                    weights[row, at : stop - 1] /= max(1.0, weights[row, at : stop - 1].sum(dtype=np.float64))
                if tasks is not None and self._tasks is not None:
                    tasks[row, at:stop] = self._tasks[self._document(start)]
                at = stop
        batch = Batch(*map(torch.from_numpy, (ids, positions, segments, labels, weights)))
        return batch if tasks is None else replace(batch, tasks=torch.from_numpy(tasks))

    def documents(self, sequences: np.ndarray) -> list[int]:
        """The numbers of the documents that these sequences hold."""
        starts = np.concatenate([self._packed.pieces(sequence)[:, 0] for sequence in sequences])
        return sorted(set(self._document(starts).tolist()))

    def document_of_places(self, sequences: np.ndarray) -> np.ndarray:
        """The number of the document at each place of these sequences, -1 in padding: int64 [sequences, sequence_length]."""
        found = np.full((len(sequences), self.sequence_length), -1, dtype=np.int64)
        for row, sequence in enumerate(sequences):
            starts, ends = self._packed.pieces(sequence).T
            found[row, : (ends - starts).sum()] = np.repeat(self._document(starts), ends - starts)
        return found

    def per_group(self, groups: np.ndarray) -> list[int]:
        """How many sequences each group has that the documents were packed by."""
        starts = np.array([self._packed.pieces(sequence)[0, 0] for sequence in range(self.sequences)])
        return np.bincount(groups[self._document(starts)]).tolist()

    def _document(self, starts: np.ndarray | int) -> np.ndarray:
        """The document that holds the token at each of these places of the memmap."""
        return np.searchsorted(self.memmap.offsets, starts, side="right") - 1


class Order(ABC):
    """Which sequences a step sees: a function of the step alone."""

    @abstractmethod
    def global_step(self, step: int) -> np.ndarray:
        """The sequence numbers of step `step` (0-based) [global_batch]."""

    def micro_batch(self, step: int, micro_step: int, rank: int, world: int, size: int) -> np.ndarray:
        """The sequence numbers of one forward pass on one rank [size]."""
        start = (micro_step * world + rank) * size
        return self.global_step(step)[start : start + size]


@dataclass(frozen=True)
class SampleOrder(Order):
    """All sequences once per epoch, in global batches.

    The memmap is read from front to back in blocks of `block` sequences, each block in an order of its own. Random reads
    over a file larger than memory are slow; a strictly sequential order would fill whole batches with one long document.
    """

    sequences: int
    global_batch: int
    seed: int
    block: int

    def global_step(self, step: int) -> np.ndarray:
        """The sequence numbers of step `step` (0-based) [global_batch]."""
        numbers = np.arange(step * self.global_batch, (step + 1) * self.global_batch)
        epochs, places = np.divmod(numbers, self.sequences)
        blocks, offsets = np.divmod(places, self.block)
        result = np.empty_like(numbers)
        for epoch, block in np.unique(np.stack([epochs, blocks], 1), axis=0).tolist():
            chosen = (epochs == epoch) & (blocks == block)
            first = block * self.block
            order = _permutation(min(self.block, self.sequences - first), self.seed, epoch, block)
            result[chosen] = first + order[offsets[chosen]]
        return result


@lru_cache(maxsize=4)
def _permutation(size: int, seed: int, epoch: int, block: int) -> np.ndarray:
    key = np.array([seed, (epoch << 32) | block], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(size)
