"""Which conversations give a prompt to sample."""

import hashlib
from collections.abc import Sequence

from lifecycle.instructions.conversations import Conversation
from lifecycle.ledger import LedgerWriter
from lifecycle.preferences.disjoint import EvaluationSets
from lifecycle.recipe.preferences import PreferencesConfig

CLOSED_TASKS = ("kind", "deprecated", "first_word")
"""Tasks with one right word: sampled answers to them differ only in being wrong."""


def choose_prompts(
    conversations: Sequence[Conversation],
    heldout: frozenset[str],
    sets: EvaluationSets,
    config: PreferencesConfig,
    ledger: LedgerWriter,
) -> list[Conversation]:
    """The conversations whose question is asked again, in an order drawn from the seed; the others enter the ledger."""
    order = sorted(conversations, key=lambda c: hashlib.sha256(f"{config.seed}:{c.id}".encode()).digest())
    chosen: list[Conversation] = []
    seen: set[str] = set()
    for conversation in order:
        rule = _reason_to_skip(conversation, heldout, sets, seen)
        if rule is None and len(chosen) >= config.prompts:
            rule = "enough_prompts"
        if rule is None and sets.quoted_in(_prompt(conversation)):
            rule = "evaluation_passage"
        if rule:
            ledger.drop(rule, conversation.id, conversation.text())
            continue
        seen.add(question(conversation))
        chosen.append(conversation)
    return chosen


def question(conversation: Conversation) -> str:
    """What the user asked last."""
    return next(message.content for message in reversed(conversation.messages) if message.role == "user")


def _reason_to_skip(conversation: Conversation, heldout: frozenset[str], sets: EvaluationSets, seen: set[str]) -> str | None:
    asked = question(conversation)
    rules = {
        "heldout_document": conversation.group in heldout or conversation.document_id in heldout,
        "evaluation_prompt": sets.is_prompt(asked),
        "several_turns": sum(message.role == "assistant" for message in conversation.messages) != 1,
        "closed_task": conversation.task in CLOSED_TASKS,
        "same_prompt": asked in seen,
    }
    return next((rule for rule, broken in rules.items() if broken), None)


def _prompt(conversation: Conversation) -> str:
    return "\n\n".join(message.content for message in conversation.messages[:-1])
