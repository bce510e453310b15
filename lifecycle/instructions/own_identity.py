"""Conversations about the model itself, from a file of questions and answers in English and Chinese."""

import hashlib
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from lifecycle.instructions.conversations import Conversation, Message
from lifecycle.ledger import LedgerWriter, SourceLedger
from lifecycle.recipe.alignment import OwnIdentityConversations
from lifecycle.recipe.instruction_rules import OwnIdentity

SOURCE = TASK = "own_identity"
TEMPLATES = Path(__file__).parent / "identity.yaml"
FOLLOW_UP = ("who_are_you", "who_made_you")
"""Topics that are also asked one after the other."""


def own_identity_conversations(
    config: OwnIdentityConversations, own: OwnIdentity
) -> tuple[list[Conversation], SourceLedger]:
    """Questions and answers about name and maker, of the recipe's languages, in an order drawn by hash from the seed.

    The ledger's unit is the conversation; those over `config.max_conversations` are dropped under `enough`.
    """
    made = [each for language in config.languages for each in _made(language, own)]
    made.sort(key=lambda each: hashlib.sha256(f"{config.seed}:{each.id}".encode()).digest())
    ledger = LedgerWriter(SOURCE)
    for place, conversation in enumerate(made):
        if place < config.max_conversations:
            ledger.keep(conversation.text(), language=conversation.language)
        else:
            ledger.drop("enough", conversation.id, conversation.text())
    return made[: config.max_conversations], ledger.close()


def _made(language: str, own: OwnIdentity) -> list[Conversation]:
    name, maker = own.in_language(language)
    topics = {
        topic: [
            (question, answer.format(name=name, maker=maker))
            for question, answer in product(entry["questions"], entry["answers"])
        ]
        for topic, entry in _templates()[language].items()
    }
    made = [_conversation(language, topic, (turn,)) for topic, turns in topics.items() for turn in turns]
    # Each opening once, with a second question that goes on through the list.
    first, second = (topics[topic] for topic in FOLLOW_UP)
    made += [
        _conversation(language, "_then_".join(FOLLOW_UP), (turn, second[place % len(second)]))
        for place, turn in enumerate(first)
    ]
    return made


def _conversation(language: str, topic: str, turns: tuple[tuple[str, str], ...]) -> Conversation:
    identifier = hashlib.sha256(f"{SOURCE}:{language}:{topic}:{turns}".encode()).hexdigest()[:24]
    messages = []
    for question, answer in turns:
        messages += [Message(role="user", content=question), Message(role="assistant", content=answer)]
    return Conversation(
        id=identifier,
        source=SOURCE,
        task=TASK,
        group=f"{SOURCE}:{language}:{topic}:{turns[0][0]}",
        messages=tuple(messages),
        language=language,
        document_id=identifier,
    )


@cache
def _templates() -> dict[str, Any]:
    return yaml.safe_load(TEMPLATES.read_text(encoding="utf-8"))
