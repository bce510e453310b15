"""The instruction data as found: from the corpus's documentation and from files, before any cleaning."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lifecycle.instructions.conversations import Conversation, write_conversations
from lifecycle.instructions.documented import documented_conversations
from lifecycle.instructions.files import file_conversations
from lifecycle.instructions.own_identity import own_identity_conversations
from lifecycle.ledger import Ledger, SourceLedger
from lifecycle.plots import plot
from lifecycle.recipe.alignment import DocumentedObjects, InstructionFiles, InstructionsConfig

logger = logging.getLogger(__name__)

SAMPLES_PER_TASK = 1
SAMPLE_CHARACTERS = 600


def build_raw_instructions(corpus: Path, config: InstructionsConfig, out: Path, run_dir: Path) -> dict[str, Any]:
    """Write `conversations.parquet` and `ledger.json`: the conversations of every source of the recipe.

    In the ledger of a documentation source the unit is the document (one may give two conversations; their number is in
    the notes), in that of a file source the record.

    Raises:
        DataError: a source has nothing to give, or is damaged beyond its tolerance.
    """
    conversations: list[Conversation] = []
    ledgers: list[SourceLedger] = []
    for source in config.sources:
        if isinstance(source, DocumentedObjects):
            made, accounts = documented_conversations(corpus, source)
            ledgers += accounts
        elif isinstance(source, InstructionFiles):
            made, account = file_conversations(source)
            ledgers.append(account)
        else:
            assert config.identity is not None, "the recipe is checked for it"
            made, account = own_identity_conversations(source, config.identity)
            ledgers.append(account)
        logger.info("%d conversations from %s", len(made), source.kind)
        conversations += made
    write_conversations(out, conversations)
    Ledger(sources=tuple(ledgers)).write(out)
    draw_tasks(conversations, "Conversations per task", run_dir)
    return conversation_facts(conversations)


def conversation_facts(conversations: Sequence[Conversation]) -> dict[str, Any]:
    """Counts per task and source, and a sample of each task as Markdown."""
    samples: dict[str, list[Conversation]] = {}
    for conversation in conversations:
        chosen = samples.setdefault(conversation.task, [])
        if len(chosen) < SAMPLES_PER_TASK:
            chosen.append(conversation)
    return {
        "rows": len(conversations),
        "tasks": dict(sorted(Counter(conversation.task for conversation in conversations).items())),
        "sources": dict(sorted(Counter(conversation.source for conversation in conversations).items())),
        "multi_turn": sum(sum(m.role == "user" for m in conversation.messages) > 1 for conversation in conversations),
        "samples": "\n\n---\n\n".join(_markdown(c) for task in sorted(samples) for c in samples[task]),
    }


def draw_tasks(conversations: Sequence[Conversation], title: str, run_dir: Path) -> None:
    """Bars of the conversations per task."""
    counts = Counter(conversation.task for conversation in conversations)
    with plot(run_dir, "tasks", title) as axes:
        ordered = sorted(counts.items(), key=lambda item: (item[1], item[0]))
        axes.barh([task for task, _ in ordered], [count for _, count in ordered])
        axes.set_xlabel("conversations")


def _markdown(conversation: Conversation) -> str:
    turns = []
    for message in conversation.messages:
        quoted = message.content[:SAMPLE_CHARACTERS].replace("\n", "\n    ")
        turns.append(f"*{message.role}*\n\n    {quoted}")
    return f"**{conversation.task}** ({conversation.source})\n\n" + "\n\n".join(turns)
