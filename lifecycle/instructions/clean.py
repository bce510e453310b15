"""Cleaning of instruction data: conversations are repaired, scored, and dropped under the first rule that they break."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.errors import CorruptArtifactError, DataError
from lifecycle.instructions.clean_plots import draw_cleaning
from lifecycle.instructions.conversations import Conversation, read_conversations, write_conversations
from lifecycle.instructions.identity import RULE as IDENTITY
from lifecycle.instructions.identity import asks_for, difference, foreign, with_own_identity
from lifecycle.instructions.raw import conversation_facts
from lifecycle.instructions.rules import broken_rules
from lifecycle.instructions.scores import FILE as SCORES
from lifecycle.instructions.scores import score
from lifecycle.ledger import Ledger, LedgerWriter
from lifecycle.recipe.alignment import InstructionsConfig
from lifecycle.recipe.instruction_rules import OwnIdentity
from lifecycle.tokens.chat import encode_conversations, load_tokenizer

logger = logging.getLogger(__name__)

KEPT = "kept"
UNANSWERED = "unanswered_end"


@dataclass
class _Case:
    """One conversation on its way: as read, as it is now, what changed it, and the rule that drops it."""

    read: Conversation
    now: Conversation
    changes: list[tuple[str, Conversation, Conversation]]
    rule: str | None = None

    def change(self, rule: str, after: Conversation) -> None:
        if after != self.now:
            self.changes.append((rule, self.now, after))
            self.now = after


def build_instructions(
    raw: Path, tokenizer: Path, heldout: Path, config: InstructionsConfig, out: Path, run_dir: Path
) -> dict[str, Any]:
    """Write the conversations of `raw` that every rule lets through, `scores.parquet` (all of them) and `ledger.json`.

    Repairs: `unanswered_end` (a last question without an answer goes), `identity` (claims to be another model get the
    recipe's own name and maker). Rules, in order: `heldout_group` (made from text that evaluation holds out),
    `roles_out_of_order` (after an optional system message, user and assistant must alternate and the assistant end),
    `empty_message`, `special_token` (a message spells a token of the tokenizer, which would end a turn), `identity` (a claim
    that is not rewritten), `duplicate` (the same messages as an earlier one), those of `lifecycle.instructions.rules`,
    `too_long` (more than `config.max_tokens` tokens when rendered), `enough` (beyond a source's `max_conversations`).

    Raises:
        DataError: no conversation is left.
    """
    cases = [_Case(conversation, conversation, []) for conversation in read_conversations(raw)]
    fast = load_tokenizer(tokenizer)
    _judge_form(cases, heldout_names(heldout), fast.all_special_tokens, config.identity)
    table = score([case.now for case in cases], config.sensitive)
    for case, rule, language in zip(cases, broken_rules(table, config.rules), table["language"].to_pylist(), strict=True):
        case.rule = case.rule or rule
        case.now = case.now.model_copy(update={"language": language})
    passed = [case for case in cases if case.rule is None]
    encoded = encode_conversations(fast, [case.now.chat() for case in passed])
    lengths = np.array([len(each.ids) for each in encoded], dtype=np.int64)
    for case, length in zip(passed, lengths.tolist(), strict=True):
        case.rule = "too_long" if length > config.max_tokens else None
    _apply_caps(cases, config)
    kept = [case.now for case in cases if case.rule is None]
    ledger = _account(cases)
    if not kept:
        dropped = {source.source: source.dropped for source in ledger.sources}
        raise DataError(f"instructions: of {len(cases)} conversations none is left; dropped: {dropped}")
    write_conversations(out, kept)
    decisions = pa.array([case.rule or KEPT for case in cases])
    place = table.schema.get_field_index("decision")
    pq.write_table(table.set_column(place, "decision", decisions), out / SCORES, compression="zstd")
    ledger.write(out)
    draw_cleaning(kept, table, [case.rule for case in cases], lengths, config.max_tokens, run_dir)
    return {
        "read": len(cases),
        "dropped": dict(sorted(Counter(case.rule for case in cases if case.rule).items())),
        "changed": dict(sorted(Counter(rule for case in cases for rule, _, _ in case.changes).items())),
        "languages": dict(sorted(Counter(each.language or "unknown" for each in kept).items())),
        **conversation_facts(kept),
    }


def heldout_names(heldout: Path) -> frozenset[str]:
    """Groups and document ids of the held-out text; raises CorruptArtifactError when `groups.json` is missing."""
    path = heldout / "groups.json"
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
        return frozenset(names["groups"]) | frozenset(names["documents"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifactError(f"{path}: missing or damaged: {error}") from error


def _judge_form(cases: Sequence[_Case], held: frozenset[str], special: Iterable[str], own: OwnIdentity | None) -> None:
    """Repairs, and the rules that look at messages one by one."""
    special = tuple(special)
    seen: set[tuple[tuple[str, str], ...]] = set()
    for case in cases:
        case.change(UNANSWERED, _answered(case.now))
        case.rule = _broken_form(case.now, held, special) or _identity(case, own)
        key = tuple((message.role, message.content.strip()) for message in case.now.messages)
        if case.rule is None and key in seen:
            case.rule = "duplicate"
        if case.rule is None:
            seen.add(key)


def _answered(conversation: Conversation) -> Conversation:
    """Without a last question that nobody answers, where something stays."""
    messages = conversation.messages
    if len(messages) > 2 and messages[-1].role == "user" and messages[-2].role == "assistant":
        return conversation.model_copy(update={"messages": messages[:-1]})
    return conversation


def _broken_form(conversation: Conversation, held: frozenset[str], special: Sequence[str]) -> str | None:
    if conversation.group in held or conversation.document_id in held:
        return "heldout_group"
    messages = conversation.messages
    turns = [message.role for message in messages if message.role != "system"]
    late_system = any(message.role == "system" for message in messages[1:])
    if not turns or turns != ["user", "assistant"] * (len(turns) // 2) or late_system:
        return "roles_out_of_order"
    if any(not message.content.strip() for message in messages):
        return "empty_message"
    if any(token in message.content for token in special for message in messages):
        return "special_token"
    return None


def _identity(case: _Case, own: OwnIdentity | None) -> str | None:
    """Rewrites claims to be another model, or says that the conversation goes: without an identity of its own, where the
    recipe wants it, and where the user asks for the other model by name."""
    names = foreign(case.now, own)
    if not names:
        return None
    if own is None or not own.rewrite or asks_for(case.now, names):
        return IDENTITY
    case.change(IDENTITY, with_own_identity(case.now, own))
    return IDENTITY if foreign(case.now, own) else None


def _apply_caps(cases: Sequence[_Case], config: InstructionsConfig) -> None:
    """Beyond `max_conversations` of a source, those with the largest hashes of their ids go."""
    caps = {source.name: source.max_conversations for source in config.sources if source.kind == "files"}
    for name, cap in caps.items():
        of_source = [case for case in cases if case.rule is None and case.read.source == name]
        of_source.sort(key=lambda case: hashlib.sha256(case.read.id.encode()).digest())
        for case in of_source[cap or len(of_source) :]:
            case.rule = "enough"


def _account(cases: Sequence[_Case]) -> Ledger:
    writers: dict[str, LedgerWriter] = {}
    for case in cases:
        writer = writers.setdefault(case.read.source, LedgerWriter(case.read.source))
        before, after = case.read.text(), case.now.text()
        for rule, old, new in case.changes:
            was, became = old.text(), new.text()
            writer.change(rule, case.read.id, *difference(was, became), removed=len(was) - len(became))
        if case.rule is None:
            writer.keep(after, before, language=case.now.language)
        else:
            writer.drop(case.rule, case.read.id, before, left=len(after))
    return Ledger(sources=tuple(writer.close() for writer in writers.values()))
