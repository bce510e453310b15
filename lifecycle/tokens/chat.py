"""Conversations to token ids and a loss mask, by the tokenizer's own chat template and nothing else."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from lifecycle.errors import CorruptArtifactError, RecipeError
from lifecycle.tokens.templates import special_tokens, uses_bos

logger = logging.getLogger(__name__)

Messages = Sequence[dict[str, str]]
BATCH = 512
PROBE = ({"role": "user", "content": "Question?"}, {"role": "assistant", "content": "Answer."})


@dataclass(frozen=True)
class Encoded:
    """One rendered conversation: `ids` int64 [tokens], `mask` uint8 [tokens], 1 where the model is trained."""

    ids: np.ndarray
    mask: np.ndarray


def load_tokenizer(directory: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in `directory`, read offline; raises CorruptArtifactError when its files are missing or damaged."""
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{directory}: cannot load a tokenizer from here: {error}") from error
    if tokenizer.eos_token_id is None or not tokenizer.chat_template:
        raise CorruptArtifactError(f"{directory}: the tokenizer needs an eos_token and a chat template")
    return tokenizer


def check_template(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    """That the tokenizer's chat template can train: its tokens exist, and each answer is marked with its end token.

    Raises:
        RecipeError: naming `name` and the tokens that lack, or what the markers miss.
    """
    where = f"tokenizer.chat_template: {name}"
    source = str(tokenizer.chat_template)
    known = tokenizer.get_added_vocab()
    missing = [token for token in special_tokens(source) if token not in known]
    missing += ["bos_token"] if uses_bos(source) and tokenizer.bos_token is None else []
    missing += ["eos_token"] if tokenizer.eos_token is None else []
    if missing:
        raise RecipeError(
            f"{where}: the template needs special tokens that the tokenizer does not have: {', '.join(missing)}; "
            "take a template that goes with this tokenizer, or a tokenizer that has them"
        )
    try:
        (encoded,) = encode_conversations(tokenizer, [PROBE])
        prompt = encode_prompt(tokenizer, PROBE[:1])
    except (TemplateError, ArithmeticError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise RecipeError(f"{where}: the template does not render question and answer: {error}") from error
    trained = encoded.ids[encoded.mask.astype(bool)]
    if not len(trained) or trained[-1] != tokenizer.eos_token_id:
        raise RecipeError(
            f"{where}: put each answer and the eos_token behind it between {{% generation %}} and {{% endgeneration %}}; "
            f"marked as trained is {tokenizer.decode(trained)!r}"
        )
    if prompt.tolist() != encoded.ids[: int(encoded.mask.argmax())].tolist():
        raise RecipeError(
            f"{where}: an answer must follow exactly what generation starts from; the prompt is "
            f"{tokenizer.decode(prompt)!r}, the whole conversation {tokenizer.decode(encoded.ids)!r}"
        )


def encode_conversations(tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Messages]) -> Iterator[Encoded]:
    """Render and encode conversations in order.

    What is trained and what is not are encoded apart: a tokenizer may join the last sign of a prompt with the first of
    an answer (`:` and `Yes`), and then the model would be trained on a token that generation never begins with.

    Roles must be those that the template knows, and no content may hold a special token's text (it would become that
    token): `lifecycle.instructions.clean` drops such conversations.
    """
    announced = time.monotonic()
    for start in range(0, len(conversations), BATCH):
        yield from _encode(tokenizer, conversations[start : start + BATCH], prompt=False)
        if time.monotonic() - announced > 5:
            announced = time.monotonic()
            logger.info("rendered %d of %d conversations", start + BATCH, len(conversations))


def encode_prompt(tokenizer: PreTrainedTokenizerFast, messages: Messages) -> np.ndarray:
    """Ids int64 [tokens] that generation starts from: exactly those that precede the answer in training."""
    (encoded,) = _encode(tokenizer, [messages], prompt=True)
    return encoded.ids


def _encode(tokenizer: Any, conversations: Sequence[Messages], *, prompt: bool) -> Iterator[Encoded]:
    rendered: Any = render_jinja_template(
        [list(messages) for messages in conversations],
        chat_template=tokenizer.chat_template,
        return_assistant_tokens_mask=True,
        add_generation_prompt=prompt,
        **tokenizer.special_tokens_map,
    )
    texts, spans = rendered
    pieces = [list(_pieces(text, trained)) for text, trained in zip(texts, spans, strict=True)]
    flat = [(text, number > 0) for some in pieces for number, (text, _) in enumerate(some)]
    ids = iter(_ids(tokenizer, flat))
    for some in pieces:
        parts = [(np.asarray(next(ids), dtype=np.int64), trained) for _, trained in some]
        yield Encoded(
            np.concatenate([part for part, _ in parts]),
            np.repeat(np.array([trained for _, trained in parts], dtype=np.uint8), [len(part) for part, _ in parts]),
        )


def _pieces(text: str, trained: Sequence[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """The text cut where training begins and ends, and whether each piece is trained."""
    edges = [0, *(edge for span in trained for edge in span), len(text)]
    for number, (start, end) in enumerate(pairwise(edges)):
        if end > start:
            yield text[start:end], number % 2 == 1


def _ids(tokenizer: Any, pieces: Sequence[tuple[str, bool]]) -> Iterator[list[int]]:
    """The ids of each piece; the flag says that another piece stands before it."""
    backend, end = tokenizer.backend_tokenizer, tokenizer.eos_token
    # SentencePiece writes a blank before the first word of a text; a piece in the middle of one must not get it.
    opens = backend.encode(end + "a", add_special_tokens=False).ids[1:] != backend.encode("a", add_special_tokens=False).ids
    texts = [end + text if opens and inner else text for text, inner in pieces]
    for encoding, (_, inner) in zip(backend.encode_batch_fast(texts, add_special_tokens=False), pieces, strict=True):
        yield encoding.ids[1:] if opens and inner else encoding.ids


def mask_preview(tokenizer: PreTrainedTokenizerFast, encoded: Encoded) -> str:
    """The conversation as Markdown: trained tokens in **bold**, special tokens as code, line ends as ⏎."""
    special = set(tokenizer.all_special_ids)
    edges = np.flatnonzero(np.diff(encoded.mask)) + 1
    parts: list[str] = []
    for piece, trained in zip(np.split(encoded.ids, edges), np.split(encoded.mask, edges), strict=True):
        text = "".join(_markdown(tokenizer, run, run[0] in special) for run in _runs(piece, special)).strip()
        parts.append(f"**{text}**" if trained[0] and text else text)
    return " ".join(part for part in parts if part)


def _runs(ids: np.ndarray, special: set[int]) -> Iterator[list[int]]:
    run: list[int] = []
    for token in ids.tolist():
        if run and (token in special or run[0] in special):
            yield run
            run = []
        run.append(token)
    if run:
        yield run


def _markdown(tokenizer: PreTrainedTokenizerFast, ids: list[int], special: bool) -> str:
    text = str(tokenizer.decode(ids))
    if special:
        return f" `{text}` "
    for character in "\\*_`<>#[]":
        text = text.replace(character, "\\" + character)
    return text.replace("\n", " ⏎ ")
