"""Reward models: how they are read, what they see, and what they answer."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification

from lifecycle.errors import CorruptArtifactError, DataError
from lifecycle.preferences.render import as_messages, pair_ids
from lifecycle.pretrained import ATTENTION, device, load_tokenizer

MARKED = re.compile(r"\{%-?\s*generation")


def load_reward_model(directory: Path) -> tuple[Any, Any]:
    """The sequence classifier in a Hugging Face folder, in evaluation mode on `device()`, and its tokenizer.

    Raises:
        CorruptArtifactError: one of them is not usable.
        DataError: it has not one output, or no chat template, or weights of its head are missing: random ones would judge.
    """
    tokenizer = load_tokenizer(directory)
    try:
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            str(directory),
            dtype=torch.float32,
            attn_implementation=ATTENTION,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise CorruptArtifactError(f"{directory}: the reward model cannot be loaded: {error}") from error
    wrong = f"{directory}: not a reward model:"
    if loading["missing_keys"]:
        raise DataError(f"{wrong} its files lack {sorted(loading['missing_keys'])[:3]}; is it a language model?")
    if model.config.num_labels != 1:
        raise DataError(f"{wrong} it has {model.config.num_labels} outputs; one reward is needed")
    if not tokenizer.chat_template:
        raise DataError(f"{wrong} its tokenizer has no chat template, by which a conversation would be rendered")
    model.config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return model.to(device()).eval(), tokenizer


@torch.inference_mode()
def rewards_of(
    model: Any, tokenizer: Any, rows: Sequence[Mapping[str, Any]], max_length: int, batch: int
) -> list[float | None]:
    """The reward of each row's `answer` to its `prompt`; None where both are longer than `max_length` tokens together.

    The model sees what ours are trained on: the prompt, and the answer up to its end-of-turn token (`pair_ids`); a stock
    template, which marks no answer, renders the whole conversation. Rows of a length share a batch; padding stands on the
    right, and the reward is read at the last token.
    """
    encoded = [_ids(tokenizer, row["prompt"], row["answer"]) for row in rows]
    given: list[float | None] = [None] * len(rows)
    places = [place for place in range(len(rows)) if len(encoded[place]) <= max_length]
    places.sort(key=lambda place: (len(encoded[place]), place))
    pad = model.config.pad_token_id
    for begin in range(0, len(places), batch):
        chosen = places[begin : begin + batch]
        width = max(len(encoded[place]) for place in chosen)
        tokens = torch.tensor([encoded[place] + [pad] * (width - len(encoded[place])) for place in chosen])
        mask = torch.tensor([[1] * len(encoded[place]) + [0] * (width - len(encoded[place])) for place in chosen])
        rewards = model(input_ids=tokens.to(model.device), attention_mask=mask.to(model.device)).logits[:, 0]
        for place, reward in zip(chosen, rewards.double().tolist(), strict=True):
            given[place] = reward if math.isfinite(reward) else None
    return given


def _ids(tokenizer: Any, prompt: Sequence[Mapping[str, str]], answer: str) -> list[int]:
    if MARKED.search(str(tokenizer.chat_template)):
        start, completion = pair_ids(tokenizer, prompt, answer)
        return start + completion
    messages = [*as_messages(prompt), {"role": "assistant", "content": answer}]
    return tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
