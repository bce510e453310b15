"""Prompts and pairs for sampling, DPO and reward accuracy, by the one renderer of `lifecycle.tokens.chat`."""

from collections.abc import Mapping, Sequence
from typing import Any

from lifecycle.errors import DataError
from lifecycle.tokens.chat import encode_conversations, encode_prompt

Message = Mapping[str, str]


def as_messages(prompt: str | Sequence[Message]) -> list[dict[str, str]]:
    """A prompt as a message list; a plain string is one user message."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return [{"role": message["role"], "content": message["content"]} for message in prompt]


def pair_ids(tokenizer: Any, prompt: Sequence[Message], answer: str) -> tuple[list[int], list[int]]:
    """Token ids of the prompt, and of the answer with the end-of-turn token that closes it.

    They are what SFT trains on and generation starts from. What a template writes after the end of the last turn
    (ChatML: a newline) is not part of the answer: the model is never asked to produce it.

    Raises:
        DataError: the prompt's tokens are not the beginning of the conversation's, or the template marks no answer that
            ends with the end-of-turn token; the chat template cannot be used for training.
    """
    asked = as_messages(prompt)
    start = encode_prompt(tokenizer, asked).tolist()
    (whole,) = encode_conversations(tokenizer, [[*asked, {"role": "assistant", "content": answer}]])
    if whole.ids[: len(start)].tolist() != start:
        raise DataError(
            f"the chat template renders a prompt differently once an answer follows it ({tokenizer.decode(start)[-40:]!r} "
            f"against {tokenizer.decode(whole.ids[: len(start)])[-40:]!r})"
        )
    completion = whole.ids[len(start) :][whole.mask[len(start) :].astype(bool)].tolist()
    if not completion or completion[-1] != tokenizer.eos_token_id:
        raise DataError(
            f"the chat template does not mark an answer that the end-of-turn token {tokenizer.eos_token!r} closes; put both "
            "between {% generation %} and {% endgeneration %}"
        )
    return start, completion
