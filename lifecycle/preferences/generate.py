"""Batched generation with a Hugging Face causal model: key-value cache, left padding, one noise stream per answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from lifecycle.preferences.render import Message, as_messages
from lifecycle.preferences.table import Answer
from lifecycle.tokens.chat import encode_prompt

COLDEST = 1e-6
"""Instead of a temperature of 0, whose draw is not used."""


def generate_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[Message]],
    *,
    max_new_tokens: int,
    temperatures: Sequence[float] = (0.0,),
    batch: int = 64,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> list[list[Answer]]:
    """Answer each prompt once at each of `temperatures`; 0 takes the most likely token each time.

    Sampling takes one uniform number per step from a stream that belongs to (seed, key of the prompt, candidate) and
    inverts the cumulative distribution, so an answer depends neither on the batch size nor on its neighbours, beyond
    the rounding of padded arithmetic: logits differ by some 1e-6 with the width and size of a batch, and a draw changes
    where its uniform number lies so close to the edge between two tokens (greedy: where two logits are so close).
    `keys` name the prompts for that purpose and default to their positions. Prompts of similar length share a batch of
    at most `batch` answers. An answer ends at the tokenizer's end-of-turn token; prompts longer than the model's
    positions less `max_new_tokens` lose their beginning.
    """
    encoded = prompt_ids(model.config, tokenizer, prompts, max_new_tokens)
    names = list(range(len(prompts))) if keys is None else list(keys)
    order = sorted(range(len(prompts)), key=lambda index: (len(encoded[index]), index))
    candidates = len(temperatures)
    size = max(1, batch // candidates)
    results: list[list[Answer]] = [[] for _ in prompts]
    for begin in range(0, len(order), size):
        chosen = order[begin : begin + size]
        noise = _noise(seed, [names[i] for i in chosen], temperatures, max_new_tokens)
        rows = _generate_batch(model, tokenizer, [encoded[i] for i in chosen], max_new_tokens, temperatures, noise)
        for position, index in enumerate(chosen):
            ids = rows[position * candidates : (position + 1) * candidates]
            results[index] = [_answer(tokenizer, row) for row in ids]
    return results


def prompt_ids(config: Any, tokenizer: Any, prompts: Sequence[Sequence[Message]], max_new_tokens: int) -> list[list[int]]:
    """The ids that generation starts from; a prompt that leaves too little room for its answer loses its beginning."""
    room = config.max_position_embeddings - max_new_tokens
    return [encode_prompt(tokenizer, as_messages(prompt)).tolist()[-room:] for prompt in prompts]


def _noise(seed: int, keys: list[int], temperatures: Sequence[float], steps: int) -> torch.Tensor | None:
    """Uniform numbers in [0, 1), shape (prompts x candidates, steps); None where nothing is drawn."""
    if not any(temperatures):
        return None
    streams = [np.random.default_rng([seed, key, number]) for key in keys for number in range(len(temperatures))]
    return torch.from_numpy(np.stack([stream.random(steps) for stream in streams]))


def _answer(tokenizer: Any, ids: list[int]) -> Answer:
    finished = bool(ids) and ids[-1] == tokenizer.eos_token_id
    return Answer(tokenizer.decode(ids, skip_special_tokens=True).strip(), len(ids), finished)


@torch.inference_mode()
def _generate_batch(
    model: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    max_new_tokens: int,
    temperatures: Sequence[float],
    noise: torch.Tensor | None,
) -> list[list[int]]:
    """Token ids of each answer, the end-of-turn token included; prompts x temperatures rows, prompt-major."""
    candidates = len(temperatures)
    width = max(map(len, prompts))
    tokens = torch.full((len(prompts), width), tokenizer.pad_token_id)
    mask = torch.zeros((len(prompts), width), dtype=torch.long)
    for row, ids in enumerate(prompts):
        tokens[row, width - len(ids) :] = torch.tensor(ids)
        mask[row, width - len(ids) :] = 1
    tokens, mask = tokens.to(model.device), mask.to(model.device)
    cache = DynamicCache(config=model.config)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]
    if candidates > 1:
        cache.batch_repeat_interleave(candidates)
        logits, mask = logits.repeat_interleave(candidates, 0), mask.repeat_interleave(candidates, 0)
        positions = positions.repeat_interleave(candidates, 0)
    answers: list[list[int]] = [[] for _ in range(len(prompts) * candidates)]
    alive = torch.arange(len(answers))
    heat = torch.tensor(temperatures, dtype=torch.float64, device=logits.device).repeat(len(prompts))
    position = positions[:, -1:]
    for step in range(max_new_tokens):
        picked = _pick(logits, heat, None if noise is None else noise[alive, step])
        for row, token in zip(alive.tolist(), picked.tolist(), strict=True):
            answers[row].append(token)
        going = (picked != tokenizer.eos_token_id).nonzero().squeeze(1)
        if step + 1 == max_new_tokens or not len(going):
            break
        if len(going) < len(picked):  # finished answers leave the batch: most of the time goes into the last few
            cache.batch_select_indices(going)
            picked, mask, position, alive = picked[going], mask[going], position[going], alive[going.cpu()]
            heat = heat[going]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        position = position + 1
        logits = model(
            input_ids=picked[:, None], attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True
        ).logits[:, -1]
    return answers


def _pick(logits: torch.Tensor, temperatures: torch.Tensor, uniform: torch.Tensor | None) -> torch.Tensor:
    """The next token of each row: the inverse of its cumulative distribution at `uniform`, or at 0 the most likely one."""
    likeliest = logits.argmax(-1)
    if uniform is None:
        return likeliest
    cumulative = (logits.double() / temperatures.clamp(min=COLDEST)[:, None]).softmax(-1).cumsum(-1)
    target = uniform.to(cumulative.device)[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, target, right=True).squeeze(1).clamp(max=logits.shape[-1] - 1)
    return torch.where(temperatures > 0, drawn, likeliest)
