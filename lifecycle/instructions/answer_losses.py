"""Losses of answers under a model, with and without what was asked: how much the questions tell of them.

The numbers of Li et al. 2023 ("From Quantity to Quality"): an answer's mean loss in nats given everything before it, the
same without, and their ratio, the instruction-following difficulty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lifecycle.tokens.chat import Encoded

TOKENS = 4096
"""Of one forward pass, padding included; it decides which conversations share one, and so the last bits of the sums."""


@dataclass(frozen=True)
class Row:
    """One sequence to read: `ids` int64 [tokens], `wanted` bool [tokens], where the loss of the token counts."""

    ids: np.ndarray
    wanted: np.ndarray


def scored_tokens(encoded: Encoded, special: Sequence[int]) -> np.ndarray:
    """Which tokens of a rendered conversation are answers, bool [tokens]: trained ones but for special tokens.

    The end of a turn tells nothing of an answer, and a base model has never seen it. The first token is never scored: no
    model predicts it.
    """
    wanted = encoded.mask.astype(bool) & ~np.isin(encoded.ids, np.asarray(special, dtype=np.int64))
    wanted[:1] = False
    return wanted


def answers_alone(ids: np.ndarray, wanted: np.ndarray) -> list[Row]:
    """Each answer of a conversation by itself, behind the one token that stands before it.

    The same tokens are scored as in the conversation; of the template's opening of an answer only the last token is left.
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], wanted, [False])).astype(np.int8)))
    return [Row(ids[start - 1 : end], np.arange(end - start + 1) > 0) for start, end in edges.reshape(-1, 2)]


def answer_losses(model: Any, conversations: Sequence[Row], pad_token_id: int) -> np.ndarray:
    """Sums in nats over the scored tokens of each conversation, float64 [2, conversations]: given all before, and alone.

    Every conversation has a scored token and fits the model.
    """
    alone = [answers_alone(each.ids, each.wanted) for each in conversations]
    owners = np.repeat(np.arange(len(conversations)), [len(rows) for rows in alone])
    sums = row_losses(model, [*conversations, *(row for rows in alone for row in rows)], pad_token_id)
    given, apart = np.split(sums, [len(conversations)])
    return np.stack([given, np.bincount(owners, weights=apart, minlength=len(conversations))])


@torch.inference_mode()
def row_losses(model: Any, rows: Sequence[Row], pad_token_id: int) -> np.ndarray:
    """Sum of -log p(token | tokens before) over the wanted tokens of each row, in nats, float64 [rows].

    Rows of similar length share a forward pass, padded behind their end, where causal attention lets nothing reach them.
    """
    sums = np.zeros(len(rows))
    for chosen in batches([len(row.ids) for row in rows]):
        width = len(rows[chosen[0]].ids)
        ids = np.full((len(chosen), width), pad_token_id, dtype=np.int64)
        wanted = np.zeros((len(chosen), width), dtype=bool)
        for place, index in enumerate(chosen):
            row = rows[index]
            ids[place, : len(row.ids)], wanted[place, : len(row.ids)] = row.ids, row.wanted
        tokens = torch.from_numpy(ids).to(model.device)
        mask = torch.from_numpy(wanted).to(model.device)
        first = max(1, int(wanted.any(axis=0).argmax()))
        logits = model(input_ids=tokens, use_cache=False, logits_to_keep=width - first + 1).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits[mask[:, first:]].float(), tokens[:, first:][mask[:, first:]], reduction="none"
        )
        owner = mask.nonzero()[:, 0]
        found = torch.zeros(len(chosen), dtype=torch.float64, device=owner.device)
        sums[chosen] = found.index_add_(0, owner, losses.double()).cpu().numpy()
    return sums


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of rows that share a pass of `TOKENS`, the longest rows first: what does not fit into memory fails at once."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    begin = 0
    while begin < len(order):
        size = max(1, TOKENS // lengths[order[begin]])
        yield order[begin : begin + size]
        begin += size
