"""The memmap that fine-tuning reads: conversations with their loss mask, and apart from them those to validate on."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.curation.split import is_heldout
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Conversation, read_conversations
from lifecycle.recipe.fine_tuning import HeldoutConversations
from lifecycle.tokens.build import VALIDATION, draw_lengths, token_format_of
from lifecycle.tokens.chat import Encoded, encode_conversations, load_tokenizer, mask_preview
from lifecycle.tokens.memmap import MemmapWriter
from lifecycle.tokens.packing import packing_table

logger = logging.getLogger(__name__)

PREVIEW_TOKENS = 120
UNKNOWN = "unknown"
"""Language of conversations that name none, among others that do."""


def build_sft_memmap(
    instructions: Path,
    tokenizer: Path,
    max_tokens: int,
    heldout: HeldoutConversations | None,
    seed: int,
    out: Path,
    run_dir: Path,
    difficulty: Mapping[str, float | None] | None = None,
) -> dict[str, Any]:
    """Render conversations with the tokenizer's chat template; the loss mask comes from its generation markers.

    Conversations longer than `max_tokens`, and such without a trained token, are left out and counted. Those that `heldout`
    chooses, by a hash of the group that they were made from, go to `validation/`: no group is on both sides.

    Args:
        difficulty: what was measured, by conversation id, in place of the conversations' own.

    Raises:
        DataError: no conversation is left, or none was held out.
    """
    conversations = read_conversations(instructions)
    if difficulty is not None:
        conversations = [each.model_copy(update={"difficulty": difficulty.get(each.id)}) for each in conversations]
    order = np.random.default_rng(seed).permutation(len(conversations)).tolist()
    held = [heldout is not None and is_heldout(conversation.group, heldout) for conversation in conversations]
    side = _Sides(conversations, tokenizer, max_tokens)
    trained = side.write([conversations[index] for index in order if not held[index]], out)
    if not trained["rows"]:
        raise DataError(
            f"instructions.max_tokens: of {len(conversations)} conversations none is left ({trained['dropped']}); raise "
            "instructions.max_tokens, or use a chat template that marks what is trained"
        )
    validated: dict[str, Any] = {}
    if heldout:
        aside = side.write([conversations[index] for index in order if held[index]], out / VALIDATION)
        if not aside["rows"]:
            raise DataError(f"sft.heldout.share: {heldout.share:g} of {len(conversations)} conversations is none; raise it")
        validated = {f"validation_{name}": aside[name] for name in ("rows", "tokens", "trained_tokens", "tasks")}
    offsets = np.load(out / "documents.npy")
    draw_lengths(np.diff(offsets), "Tokens per conversation", run_dir)
    packing = packing_table(offsets, max_tokens)
    for row in packing:
        logger.info("packed into sequences of %(sequence_length)d: %(sequences)d, efficiency %(efficiency).4f", row)
    preview = "Bold is trained.\n\n" + mask_preview(side.tokenizer, side.preview) if side.preview else ""
    return {
        "conversations_read": len(conversations),
        **trained,
        **validated,
        "template": side.format.template,
        "packing": packing,
        "mask_preview": preview,
    }


class _Sides:
    """Writes memmaps whose task and language numbers mean the same in all of them."""

    def __init__(self, conversations: Sequence[Conversation], tokenizer: Path, max_tokens: int) -> None:
        self.tokenizer = load_tokenizer(tokenizer)
        self.format = token_format_of(tokenizer)
        self.preview: Encoded | None = None
        self._max_tokens = max_tokens
        self._tasks = tuple(sorted({conversation.task for conversation in conversations}))
        known = any(conversation.language for conversation in conversations)
        self._languages = tuple(sorted({c.language or UNKNOWN for c in conversations})) if known else ()
        self._difficulty = any(conversation.difficulty is not None for conversation in conversations)

    def write(self, conversations: Sequence[Conversation], out: Path) -> dict[str, Any]:
        """Write these conversations in this order; what was written and what was left out."""
        dropped = {"too_long": 0, "nothing_trained": 0}
        per_task = np.zeros((len(self._tasks), 3), dtype=np.int64)
        labels: dict[str, Any] = {"tasks": self._tasks, "languages": self._languages, "difficulty": self._difficulty}
        with MemmapWriter(out, self.format, masked=True, **labels) as writer:
            rendered = encode_conversations(self.tokenizer, [conversation.chat() for conversation in conversations])
            for conversation, encoded in zip(conversations, rendered, strict=True):
                length, trained = len(encoded.ids), int(encoded.mask.sum())
                if length > self._max_tokens or not trained:
                    dropped["too_long" if length > self._max_tokens else "nothing_trained"] += 1
                    continue
                writer.append(encoded.ids, np.array([length]), encoded.mask, **self._labels(conversation))
                per_task[self._tasks.index(conversation.task)] += (1, length, trained)
                if length <= PREVIEW_TOKENS and (self.preview is None or len(self.preview.ids) < length):
                    self.preview = encoded
        rows, tokens, trained = per_task.sum(axis=0).tolist()
        return {
            "rows": rows,
            "dropped": dropped,
            "tokens": tokens,
            "trained_tokens": trained,
            "tasks": [
                {"task": task, "conversations": int(row[0]), "tokens": int(row[1]), "trained_tokens": int(row[2])}
                for task, row in zip(self._tasks, per_task, strict=True)
            ],
        }

    def _labels(self, conversation: Conversation) -> dict[str, np.ndarray]:
        labels = {"task": np.array([self._tasks.index(conversation.task)])}
        if self._languages:
            labels["language"] = np.array([self._languages.index(conversation.language or UNKNOWN)])
        if self._difficulty:
            unknown = conversation.difficulty is None
            labels["difficulty"] = np.array([np.nan if unknown else conversation.difficulty], dtype=np.float32)
        return labels
