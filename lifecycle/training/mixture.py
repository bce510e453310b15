"""Batches of fine-tuning with pretraining text in them: two sets of packed sequences under one numbering, in one order."""

from dataclasses import dataclass

import numpy as np
import torch

from lifecycle.training.batches import Batch, Order, SampleOrder, Sequences


@dataclass(frozen=True)
class Mixture:
    """Packed conversations, and behind them packed text; documents are numbered through in the same way."""

    conversations: Sequences
    text: Sequences
    conversation_documents: int
    """Documents from this number on are text, counted from there."""

    @property
    def sequences(self) -> int:
        """Of both kinds."""
        return self.conversations.sequences + self.text.sequences

    @property
    def tokens_left_out(self) -> int:
        """Of both kinds."""
        return self.conversations.tokens_left_out + self.text.tokens_left_out

    @property
    def efficiency(self) -> float:
        """Share of the places that is not padding, over all sequences."""
        parts = (self.conversations, self.text)
        return sum(part.efficiency * part.sequences for part in parts) / self.sequences

    def batch(self, sequences: np.ndarray) -> Batch:
        """The sequences with these numbers, in this order."""
        first = self.conversations.sequences
        sequences = np.asarray(sequences)
        parts = [(self.conversations, sequences[sequences < first]), (self.text, sequences[sequences >= first] - first)]
        batches = [part.batch(numbers) for part, numbers in parts if len(numbers)]
        places = torch.from_numpy(np.argsort(np.argsort(sequences >= first, kind="stable"), kind="stable"))
        joined = {}
        for name in Batch.__dataclass_fields__:
            values = [getattr(batch, name) for batch in batches]
            joined[name] = None if values[0] is None else torch.cat(values)[places]
        return Batch(**joined)

    def documents(self, sequences: np.ndarray) -> list[int]:
        """The numbers of the documents that these sequences hold, those of text behind those of conversations."""
        first = self.conversations.sequences
        sequences = np.asarray(sequences)
        own, text = sequences[sequences < first], sequences[sequences >= first] - first
        found = self.conversations.documents(own) if len(own) else []
        behind = self.text.documents(text) if len(text) else []
        return found + [self.conversation_documents + number for number in behind]


@dataclass(frozen=True)
class MixedOrder(Order):
    """Two orders in every global batch, the second's sequences spread evenly over it.

    Attributes:
        conversations: an order in batches of what text leaves of the global batch.
        first_text: number of the first sequence of text.
    """

    conversations: Order
    text: SampleOrder
    global_batch: int
    first_text: int

    def global_step(self, step: int) -> np.ndarray:
        """The sequence numbers of step `step`; row i is text where i·share passes a whole number."""
        size = self.global_batch
        is_text = np.diff(np.arange(size + 1) * self.text.global_batch // size).astype(bool)
        numbers = np.empty(size, dtype=np.int64)
        numbers[~is_text] = self.conversations.global_step(step)
        numbers[is_text] = self.first_text + self.text.global_step(step)
        return numbers
