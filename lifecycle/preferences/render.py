"""One rendering of prompt and answer for sampling, DPO and reward accuracy: the tokenizer's own chat template."""

from collections.abc import Mapping, Sequence
from typing import Any

from lifecycle.errors import DataError

Message = Mapping[str, str]


def as_messages(prompt: str | Sequence[Message]) -> list[dict[str, str]]:
    """A prompt as a message list; a plain string is one user message."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return [{"role": message["role"], "content": message["content"]} for message in prompt]


def prompt_ids(tokenizer: Any, prompt: Sequence[Message]) -> list[int]:
    """Token ids of the prompt up to and including the header of the assistant's turn."""
    return _encode(tokenizer, _render(tokenizer, as_messages(prompt), add_generation_prompt=True))


def pair_ids(tokenizer: Any, prompt: Sequence[Message], answer: str) -> tuple[list[int], list[int]]:
    """Token ids of the prompt, and of the answer with the end-of-turn token that closes it.

    The two are encoded apart, so that the answer follows exactly the tokens that generation starts from, even where the
    tokenizer would merge the last characters of the one with the first of the other. What a template writes after the
    end of the last turn (ChatML: a newline) is not part of the answer: the model is never asked to produce it.

    Raises:
        DataError: the rendered prompt is not the beginning of the rendered conversation, or no end-of-turn token
            closes the answer; the chat template cannot be used for training.
    """
    start = _render(tokenizer, as_messages(prompt), add_generation_prompt=True)
    messages = [*as_messages(prompt), {"role": "assistant", "content": answer}]
    whole = _render(tokenizer, messages, add_generation_prompt=False)
    if not whole.startswith(start):
        raise DataError(
            f"the chat template renders a prompt differently once an answer follows it ({start[-40:]!r} against "
            f"{whole[max(0, len(start) - 40) : len(start)]!r})"
        )
    completion = _encode(tokenizer, whole[len(start) :])
    if tokenizer.eos_token_id not in completion:
        raise DataError(f"the chat template does not close an answer with the end-of-turn token {tokenizer.eos_token!r}")
    last = len(completion) - 1 - completion[::-1].index(tokenizer.eos_token_id)
    return _encode(tokenizer, start), completion[: last + 1]


def _render(tokenizer: Any, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
    return tokenizer.apply_chat_template(messages, add_generation_prompt=add_generation_prompt, tokenize=False)


def _encode(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]
