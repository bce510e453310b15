"""Log-probabilities of answers, and the implicit reward that DPO gives them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lifecycle.evaluation.statistics import HeldoutRewards, wilson_interval

Row = tuple[list[int], list[int]]
"""Prompt ids and answer ids."""


@torch.inference_mode()
def token_logps(
    model: Any, rows: Sequence[Row], *, pad_token_id: int, batch: int = 32, share: tuple[int, int] = (0, 1)
) -> np.ndarray:
    """log p(token | prompt, tokens before) of every answer token, in nats; float32 [tokens], the rows' one after the other.

    Rows of similar length share a batch.

    Args:
        share: (i, n) computes every n-th batch, from the i-th, and leaves 0 elsewhere, so that the sum over n processes is
            what one process computes, bit for bit.
    """
    training = model.training
    model.eval()
    offsets = np.cumsum([0, *(len(answer) for _, answer in rows)])
    found = np.zeros(offsets[-1], dtype=np.float32)
    order = sorted(range(len(rows)), key=lambda index: (sum(map(len, rows[index])), index))
    for begin in range(batch * share[0], len(order), batch * share[1]):
        chosen = order[begin : begin + batch]
        joined = [rows[index][0] + rows[index][1] for index in chosen]
        width = max(map(len, joined))
        tokens = torch.tensor([ids + [pad_token_id] * (width - len(ids)) for ids in joined], device=model.device)
        attention = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in joined], device=model.device)
        logits = model(input_ids=tokens, attention_mask=attention, use_cache=False).logits[:, :-1].float()
        logps = (torch.gather(logits, 2, tokens[:, 1:, None]).squeeze(2) - logits.logsumexp(-1)).cpu().numpy()
        for row, index in enumerate(chosen):
            first = len(rows[index][0]) - 1
            found[offsets[index] : offsets[index + 1]] = logps[row, first : len(joined[row]) - 1]
    model.train(training)
    return found


def answer_sums(logps: np.ndarray, rows: Sequence[Row]) -> torch.Tensor:
    """The sum of each row's share of `token_logps`; float64, shape (rows,)."""
    ends = np.cumsum([len(answer) for _, answer in rows], dtype=np.int64)
    sums = np.concatenate([[0.0], np.cumsum(logps, dtype=np.float64)])
    return torch.from_numpy(sums[ends] - sums[np.concatenate([[0], ends[:-1]])] if len(ends) else sums[:0])


def answer_logps(model: Any, rows: Sequence[Row], *, pad_token_id: int, batch: int = 32) -> torch.Tensor:
    """Sum over the answer's tokens of log p(token | prompt, tokens before), in nats; float64, shape (rows,)."""
    return answer_sums(token_logps(model, rows, pad_token_id=pad_token_id, batch=batch), rows)


def preferred(margins: torch.Tensor) -> HeldoutRewards:
    """How often a score prefers the chosen answer, from its `margins` over the rejected one, of shape (pairs,)."""
    right, pairs = int((margins > 0).sum()), len(margins)
    return HeldoutRewards(
        pairs=pairs,
        accuracy=right / pairs if pairs else 0.0,
        interval=wilson_interval(right, pairs),
        margin=float(margins.mean()) if pairs else 0.0,
    )
