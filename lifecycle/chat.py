"""Talk to a model in the terminal, or through a pipe, in the model's own chat format."""

import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any, TextIO

import torch
from transformers import TextIteratorStreamer
from transformers.utils.logging import disable_progress_bar

from lifecycle.errors import LifecycleError
from lifecycle.pretrained import load_for_inference
from lifecycle.tokens.chat import encode_prompt

HELP = "/reset forgets the conversation, /quit (or the end of input) ends it."


def chat(
    model_dir: Path,
    *,
    temperature: float = 0.7,
    max_new_tokens: int = 80,
    input_stream: TextIO | None = None,
    output_stream: TextIO | None = None,
) -> None:
    """Read a line, stream the answer, and go on with the whole conversation as context, until `/quit` or end of input.

    Where the conversation grows longer than the model's context, its oldest turns are left out, and that is said.

    Args:
        temperature: 0 takes the most likely token each time.
        max_new_tokens: longest answer.

    Raises:
        LifecycleError: there is no model in `model_dir`, it has no chat template, or one line exceeds its context.
    """
    source = input_stream or sys.stdin
    sink = output_stream or sys.stdout
    model, tokenizer = _load(model_dir)
    asks = source.isatty()
    if asks:
        print(f"{model_dir.name}: {model.num_parameters():,} parameters. {HELP}", file=sink)
    messages: list[dict[str, str]] = []
    for line in _lines(source, sink, asks):
        if line == "/quit":
            break
        if line == "/reset":
            messages.clear()
            print("(a new conversation)", file=sink, flush=True)
            continue
        messages.append({"role": "user", "content": line})
        answer = _answer(model, tokenizer, messages, temperature, max_new_tokens, sink)
        messages.append({"role": "assistant", "content": answer})


def _load(model_dir: Path) -> tuple[Any, Any]:
    if not (model_dir / "config.json").is_file():
        raise LifecycleError(
            f"{model_dir}: no model here (config.json is missing); `lifecycle plan` shows which models exist"
        )
    disable_progress_bar()  # it would be the only line that is not conversation
    model, tokenizer = load_for_inference(model_dir, "auto")
    if not tokenizer.chat_template:
        raise LifecycleError(f"{model_dir}: the tokenizer has no chat template, so this model cannot be talked to")
    return model, tokenizer


def _lines(source: TextIO, sink: TextIO, asks: bool) -> Iterator[str]:
    while True:
        if asks:
            print("> ", end="", file=sink, flush=True)
        line = source.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def _answer(
    model: Any, tokenizer: Any, messages: list[dict[str, str]], temperature: float, max_new_tokens: int, sink: TextIO
) -> str:
    ids = _prompt(model, tokenizer, messages, max_new_tokens, sink)
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    settings = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature > 0 else {"do_sample": False}
    settings |= {"attention_mask": torch.ones_like(ids), "max_new_tokens": max_new_tokens}
    failure: list[BaseException] = []

    def generate() -> None:
        try:
            with torch.inference_mode():
                model.generate(ids, streamer=streamer, **settings)
        except BaseException as error:  # carried to the main thread, which waits for the end of the stream
            failure.append(error)
            streamer.end()

    thread = Thread(target=generate, name="generate", daemon=True)
    thread.start()
    parts = []
    for part in streamer:
        parts.append(part)
        print(part, end="", file=sink, flush=True)
    thread.join()
    print(file=sink, flush=True)
    if failure:
        raise LifecycleError(f"the model failed to answer: {failure[0]}") from failure[0]
    return "".join(parts)


def _prompt(model: Any, tokenizer: Any, messages: list[dict[str, str]], max_new_tokens: int, sink: TextIO) -> torch.Tensor:
    """Ids [1, tokens] of the conversation in the model's format; whole turns leave its beginning until it fits."""
    room = model.config.max_position_embeddings - max_new_tokens
    left_out = 0
    while True:
        ids = torch.from_numpy(encode_prompt(tokenizer, messages)).unsqueeze(0)
        length = ids.shape[1]
        if length <= room:
            break
        if len(messages) < 3:
            context = model.config.max_position_embeddings
            raise LifecycleError(
                f"this line is {length} tokens long and the answer may take {max_new_tokens}, but the model's context is "
                f"{context} tokens: write less, or lower --max-new-tokens"
            )
        del messages[:2]
        left_out += 1
    if left_out:
        print(f"(the context is full: the {left_out} oldest turn(s) were left out)", file=sink, flush=True)
    return ids.to(model.device)
