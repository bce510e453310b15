"""Cleaning of instruction data: each conversation passes all rules, or is dropped under the first that it breaks."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.errors import CorruptArtifactError, DataError
from lifecycle.instructions.conversations import Conversation, read_conversations, write_conversations
from lifecycle.instructions.raw import conversation_facts, draw_tasks
from lifecycle.ledger import Ledger, LedgerWriter
from lifecycle.plots import plot
from lifecycle.recipe.alignment import InstructionsConfig
from lifecycle.tokens.chat import encode_conversations, load_tokenizer

logger = logging.getLogger(__name__)


def build_instructions(
    raw: Path, tokenizer: Path, heldout: Path, config: InstructionsConfig, out: Path, run_dir: Path
) -> dict[str, Any]:
    """Write the conversations of `raw` that every rule lets through, and `ledger.json`.

    Rules, in order: `heldout_group` (made from text that evaluation holds out), `roles_out_of_order` (after an optional
    system message, user and assistant must alternate and the assistant end), `empty_message`, `short_answer`,
    `special_token` (a message spells a token of the tokenizer, which would end a turn), `duplicate` (the same messages
    as an earlier one), `too_long` (more than `config.max_tokens` tokens when rendered).

    Raises:
        DataError: no conversation is left.
    """
    conversations = read_conversations(raw)
    held = heldout_names(heldout)
    fast = load_tokenizer(tokenizer)
    reasons: list[str | None] = []
    seen: set[tuple[tuple[str, str], ...]] = set()
    for conversation in conversations:
        reason = _broken_rule(conversation, held, fast.all_special_tokens, config.min_answer_characters)
        key = tuple((message.role, message.content.strip()) for message in conversation.messages)
        if reason is None and key in seen:
            reason = "duplicate"
        if reason is None:
            seen.add(key)
        reasons.append(reason)
    passed = [index for index, reason in enumerate(reasons) if reason is None]
    lengths = np.array(
        [len(e.ids) for e in encode_conversations(fast, [conversations[i].chat() for i in passed])], dtype=np.int64
    )
    for index, length in zip(passed, lengths.tolist(), strict=True):
        if length > config.max_tokens:
            reasons[index] = "too_long"
    kept = [conversation for conversation, reason in zip(conversations, reasons, strict=True) if reason is None]
    ledger = _account(conversations, reasons)
    if not kept:
        dropped = {source.source: source.dropped for source in ledger.sources}
        raise DataError(f"instructions: of {len(conversations)} conversations none is left; dropped: {dropped}")
    write_conversations(out, kept)
    ledger.write(out)
    draw_tasks(kept, "Conversations per task, cleaned", run_dir)
    _draw_lengths(lengths, config.max_tokens, run_dir)
    rules = sorted({rule for source in ledger.sources for rule in source.dropped})
    dropped = {rule: sum(source.dropped.get(rule, 0) for source in ledger.sources) for rule in rules}
    return {"read": len(conversations), "dropped": dropped, **conversation_facts(kept)}


def heldout_names(heldout: Path) -> frozenset[str]:
    """Groups and document ids of the held-out text; raises CorruptArtifactError when `groups.json` is missing."""
    path = heldout / "groups.json"
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
        return frozenset(names["groups"]) | frozenset(names["documents"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifactError(f"{path}: missing or damaged: {error}") from error


def _broken_rule(conversation: Conversation, held: frozenset[str], special: Iterable[str], min_answer: int) -> str | None:
    if conversation.group in held or conversation.document_id in held:
        return "heldout_group"
    messages = conversation.messages
    turns = [message.role for message in messages if message.role != "system"]
    expected = ["user", "assistant"] * (len(turns) // 2)
    late_system = any(message.role == "system" for message in messages[1:])
    if not turns or turns != expected or late_system:
        return "roles_out_of_order"
    if any(not message.content.strip() for message in messages):
        return "empty_message"
    if any(len(message.content.strip()) < min_answer for message in messages if message.role == "assistant"):
        return "short_answer"
    if any(token in message.content for token in special for message in messages):
        return "special_token"
    return None


def _account(conversations: list[Conversation], reasons: list[str | None]) -> Ledger:
    writers: dict[str, LedgerWriter] = {}
    for conversation, reason in zip(conversations, reasons, strict=True):
        writer = writers.setdefault(conversation.source, LedgerWriter(conversation.source))
        if reason is None:
            writer.keep(conversation.text())
        else:
            writer.drop(reason, conversation.id, conversation.text())
    return Ledger(sources=tuple(writer.close() for writer in writers.values()))


def _draw_lengths(lengths: np.ndarray, limit: int, run_dir: Path) -> None:
    with plot(run_dir, "lengths", "Tokens per conversation, rendered") as axes:
        axes.hist(np.minimum(lengths, 2 * limit), bins=40)
        axes.axvline(limit, linestyle="--")
        axes.set_xlabel(f"tokens (limit {limit})")
        axes.set_ylabel("conversations")
