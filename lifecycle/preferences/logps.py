"""Log-probabilities of answers, and the implicit reward that DPO gives them."""

from collections.abc import Sequence
from typing import Any

import torch

from lifecycle.evaluation.statistics import HeldoutRewards, wilson_interval


@torch.inference_mode()
def answer_logps(
    model: Any,
    rows: Sequence[tuple[list[int], list[int]]],
    *,
    pad_token_id: int,
    batch: int = 32,
    max_length: int | None = None,
) -> torch.Tensor:
    """Sum over the answer's tokens of log p(token | prompt, tokens before), in nats; float64, shape (rows,).

    `rows` are (prompt ids, answer ids). Rows of similar length share a batch; a row longer than `max_length` loses
    its end, as in training.
    """
    sums = torch.zeros(len(rows), dtype=torch.float64)
    order = sorted(range(len(rows)), key=lambda index: (sum(map(len, rows[index])), index))
    for begin in range(0, len(order), batch):
        chosen = order[begin : begin + batch]
        joined = [(rows[index][0] + rows[index][1])[:max_length] for index in chosen]
        width = max(map(len, joined))
        tokens = torch.tensor([ids + [pad_token_id] * (width - len(ids)) for ids in joined], device=model.device)
        mask = torch.zeros_like(tokens, dtype=torch.bool)
        for row, (index, ids) in enumerate(zip(chosen, joined, strict=True)):
            mask[row, len(rows[index][0]) : len(ids)] = True
        attention = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in joined], device=model.device)
        logits = model(input_ids=tokens, attention_mask=attention, use_cache=False).logits[:, :-1].float()
        logps = torch.gather(logits.log_softmax(-1), 2, tokens[:, 1:, None]).squeeze(2).double()
        sums[chosen] = (logps * mask[:, 1:]).sum(1).cpu()
    return sums


def rewards(
    chosen: torch.Tensor, rejected: torch.Tensor, reference_chosen: torch.Tensor, reference_rejected: torch.Tensor
) -> HeldoutRewards:
    """Compare policy and reference log-probabilities, each of shape (pairs,); a tie counts as wrong."""
    margins = (chosen - reference_chosen) - (rejected - reference_rejected)
    right, pairs = int((margins > 0).sum()), len(margins)
    return HeldoutRewards(
        pairs=pairs,
        accuracy=right / pairs if pairs else 0.0,
        interval=wilson_interval(right, pairs),
        margin=float(margins.mean()) if pairs else 0.0,
    )
