"""Training batches. Which sequences a step sees is arithmetic on (seed, step), so a resumed run needs no saved order."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from lifecycle.errors import DataError
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.tokens.packing import pack_best_fit, pack_fill

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
    """

    ids: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return int((self.segments >= 0).sum())

    def to(self, device: torch.device) -> "Batch":
        """The batch on `device`."""
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))


class PackedDocuments:
    """The packed sequences of a memmap, read row by row; nothing but the pieces' bounds is held in memory."""

    def __init__(self, memmap: TokenMemmap, sequence_length: int, kind: Literal["pretrain", "sft"]) -> None:
        self.memmap = memmap
        self.sequence_length = sequence_length
        pieces = (pack_fill if kind == "pretrain" else pack_best_fit)(np.asarray(memmap.offsets), sequence_length)
        if not len(pieces):
            raise DataError(
                f"{memmap.path}: {memmap.describe.tokens} tokens do not fill one sequence of {sequence_length}; "
                "give more text or lower training.sequence_length"
            )
        self._starts, self._ends = pieces[:, 1], pieces[:, 2]
        self.sequences = int(pieces[-1, 0]) + 1
        self._first = np.searchsorted(pieces[:, 0], np.arange(self.sequences + 1))
        self.tokens_left_out = memmap.describe.tokens - int((self._ends - self._starts).sum())

    def batch(self, sequences: np.ndarray) -> Batch:
        """The packed sequences with these numbers, in this order."""
        shape = (len(sequences), self.sequence_length)
        ids = np.full(shape, self.memmap.describe.pad_token_id, dtype=np.int64)
        positions = np.zeros(shape, dtype=np.int64)
        segments = np.full(shape, -1, dtype=np.int64)
        labels = np.full(shape, self.memmap.describe.pad_token_id, dtype=np.int64)
        weights = np.zeros(shape, dtype=np.float32)
        mask = self.memmap.loss_mask
        for row, sequence in enumerate(sequences):
            at = 0
            for number, piece in enumerate(range(self._first[sequence], self._first[sequence + 1])):
                start, end = int(self._starts[piece]), int(self._ends[piece])
                stop = at + end - start
                ids[row, at:stop] = self.memmap.tokens[start:end]
                positions[row, at:stop] = np.arange(end - start)
                segments[row, at:stop] = number
                labels[row, at : stop - 1] = ids[row, at + 1 : stop]
                weights[row, at : stop - 1] = 1 if mask is None else mask[start + 1 : end]
                at = stop
        return Batch(*map(torch.from_numpy, (ids, positions, segments, labels, weights)))

    def documents(self, sequences: np.ndarray) -> list[int]:
        """The numbers of the documents that these sequences hold."""
        starts = np.concatenate([self._starts[self._first[s] : self._first[s + 1]] for s in sequences])
        return sorted(set((np.searchsorted(self.memmap.offsets, starts, side="right") - 1).tolist()))


@dataclass(frozen=True)
class SampleOrder:
    """Which sequences each rank sees: all sequences once per epoch, in global batches.

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

    def micro_batch(self, step: int, micro_step: int, rank: int, world: int, size: int) -> np.ndarray:
        """The sequence numbers of one forward pass on one rank [size]."""
        start = (micro_step * world + rank) * size
        return self.global_step(step)[start : start + size]


@lru_cache(maxsize=4)
def _permutation(size: int, seed: int, epoch: int, block: int) -> np.ndarray:
    key = np.array([seed, (epoch << 32) | block], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(size)
