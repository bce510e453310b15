"""Conversations to token ids and a loss mask, by the tokenizer's own chat template and nothing else."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lifecycle.errors import CorruptArtifactError

logger = logging.getLogger(__name__)

Messages = Sequence[dict[str, str]]
BATCH = 512


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


def encode_conversations(tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Messages]) -> Iterator[Encoded]:
    """Render and encode conversations in order.

    Roles must be those that the template knows, and no content may hold a special token's text (it would become that
    token): `lifecycle.instructions.clean` drops such conversations.
    """
    announced = time.monotonic()
    for start in range(0, len(conversations), BATCH):
        batch: Any = tokenizer.apply_chat_template(
            [list(messages) for messages in conversations[start : start + BATCH]],
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        for ids, mask in zip(batch["input_ids"], batch["assistant_masks"], strict=True):
            yield Encoded(np.asarray(ids, dtype=np.int64), np.asarray(mask, dtype=np.uint8))
        if time.monotonic() - announced > 5:
            announced = time.monotonic()
            logger.info("rendered %d of %d conversations", start + BATCH, len(conversations))


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
