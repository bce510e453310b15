"""Batched generation with a Hugging Face causal model: key-value cache, left padding, one noise stream per answer."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from lifecycle.preferences.render import Message, as_messages
from lifecycle.preferences.table import Answer
from lifecycle.tokens.chat import encode_prompt

Progress = Callable[[int, int, float], None]
"""Called with prompts done, prompts in total and generated tokens per second so far."""


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[Message]],
    *,
    max_new_tokens: int,
    temperature: float | None = None,
    candidates: int = 1,
    batch: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[list[str]]:
    """The texts of `generate_answers`, per prompt and candidate."""
    answers = generate_answers(
        model,
        tokenizer,
        prompts,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        candidates=candidates,
        batch=batch,
        seed=seed,
        progress=progress,
    )
    return [[answer.text for answer in row] for row in answers]


def generate_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[Message]],
    *,
    max_new_tokens: int,
    temperature: float | None = None,
    candidates: int = 1,
    batch: int = 64,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> list[list[Answer]]:
    """Answer each prompt `candidates` times; greedy when `temperature` is None.

    Sampling takes one uniform number per step from a stream that belongs to (seed, key of the prompt, candidate) and
    inverts the cumulative distribution, so an answer depends neither on the batch size nor on its neighbours, beyond
    the rounding of padded arithmetic. `keys` name the prompts for that purpose and default to their positions. Prompts
    of similar length share a batch of at most `batch` answers. An answer ends at the tokenizer's end-of-turn token;
    prompts longer than the model's positions less `max_new_tokens` lose their beginning.
    """
    room = model.config.max_position_embeddings - max_new_tokens
    encoded = [encode_prompt(tokenizer, as_messages(prompt)).tolist()[-room:] for prompt in prompts]
    names = list(range(len(prompts))) if keys is None else list(keys)
    order = sorted(range(len(prompts)), key=lambda index: (len(encoded[index]), index))
    size = max(1, batch // candidates)
    results: list[list[Answer]] = [[] for _ in prompts]
    started, made = time.monotonic(), 0
    for begin in range(0, len(order), size):
        chosen = order[begin : begin + size]
        noise = None if temperature is None else _noise(seed, [names[i] for i in chosen], candidates, max_new_tokens)
        rows = _generate_batch(
            model, tokenizer, [encoded[i] for i in chosen], candidates, max_new_tokens, temperature, noise
        )
        for position, index in enumerate(chosen):
            ids = rows[position * candidates : (position + 1) * candidates]
            results[index] = [_answer(tokenizer, row) for row in ids]
        made += sum(map(len, rows))
        if progress:
            progress(min(begin + size, len(order)), len(order), made / max(time.monotonic() - started, 1e-9))
    return results


def _noise(seed: int, keys: list[int], candidates: int, steps: int) -> torch.Tensor:
    """Uniform numbers in [0, 1), shape (prompts x candidates, steps)."""
    streams = [np.random.default_rng([seed, key, candidate]) for key in keys for candidate in range(candidates)]
    return torch.from_numpy(np.stack([stream.random(steps) for stream in streams]))


def _answer(tokenizer: Any, ids: list[int]) -> Answer:
    finished = bool(ids) and ids[-1] == tokenizer.eos_token_id
    return Answer(tokenizer.decode(ids, skip_special_tokens=True).strip(), len(ids), finished)


@torch.inference_mode()
def _generate_batch(
    model: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    candidates: int,
    max_new_tokens: int,
    temperature: float | None,
    noise: torch.Tensor | None,
) -> list[list[int]]:
    """Token ids of each answer, the end-of-turn token included; prompts x candidates rows, prompt-major."""
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
    position = positions[:, -1:]
    for step in range(max_new_tokens):
        picked = _pick(logits, temperature, None if noise is None else noise[alive, step])
        for row, token in zip(alive.tolist(), picked.tolist(), strict=True):
            answers[row].append(token)
        going = (picked != tokenizer.eos_token_id).nonzero().squeeze(1)
        if step + 1 == max_new_tokens or not len(going):
            break
        if len(going) < len(picked):  # finished answers leave the batch: most of the time goes into the last few
            cache.batch_select_indices(going)
            picked, mask, position, alive = picked[going], mask[going], position[going], alive[going.cpu()]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        position = position + 1
        logits = model(
            input_ids=picked[:, None], attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True
        ).logits[:, -1]
    return answers


def _pick(logits: torch.Tensor, temperature: float | None, uniform: torch.Tensor | None) -> torch.Tensor:
    """The next token of each row: the most likely one, or the inverse of the cumulative distribution at `uniform`."""
    if temperature is None or uniform is None:
        return logits.argmax(-1)
    cumulative = (logits.double() / temperature).softmax(-1).cumsum(-1)
    target = uniform.to(cumulative.device)[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target, right=True).squeeze(1).clamp(max=logits.shape[-1] - 1)
