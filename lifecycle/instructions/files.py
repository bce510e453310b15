"""Conversations from files, in any format of `lifecycle.instructions.formats`."""

import hashlib

from lifecycle.instructions.conversations import Conversation
from lifecycle.instructions.formats import FORMATS
from lifecycle.instructions.records import read_rows
from lifecycle.ledger import LedgerWriter, SourceLedger
from lifecycle.recipe.alignment import InstructionFiles


def file_conversations(config: InstructionFiles) -> tuple[list[Conversation], SourceLedger]:
    """The conversations of one file source, in file and record order; records that do not fit are counted by their reason.

    A record may carry strings `task` and `group` and a number `difficulty`; the task is otherwise the source's, and the
    group the conversation's own.

    Raises:
        DataError: the path matches nothing, there is no record, or more records do not fit than the tolerance allows;
            the message names the first of them by file and line.
    """
    ledger = LedgerWriter(config.name)
    conversations = []
    for place, reading in read_rows(config, FORMATS, "instructions", ledger):
        identifier = hashlib.sha256(f"{config.name}:{place}".encode()).hexdigest()[:24]
        conversation = Conversation(
            id=identifier,
            source=config.name,
            task=reading.task or config.task,
            group=reading.group or identifier,
            messages=reading.messages,
            language=config.language,
            document_id=identifier,
            difficulty=reading.difficulty,
        )
        conversations.append(conversation)
        ledger.keep(conversation.text())
    return conversations, ledger.close()
