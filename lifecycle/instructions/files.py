"""Conversations from JSONL files, plain or compressed: {"messages": […]} or {"instruction", "input", "output"}."""

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any

from lifecycle.corpora.opening import UnreadableError, open_bytes
from lifecycle.corpora.snapshot import source_files
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Conversation, Message
from lifecycle.ledger import LedgerWriter, SourceLedger
from lifecycle.recipe.alignment import InstructionFiles

ROLES = {"system", "user", "assistant"}


def file_conversations(config: InstructionFiles) -> tuple[list[Conversation], SourceLedger]:
    """The conversations of one file source, in file and line order; damaged lines are counted under `damaged_line`.

    A record may carry strings `task` and `group` and a number `difficulty`; the task is otherwise the source's, and the
    group the conversation's own.

    Raises:
        DataError: the path matches nothing, there is no record, or more lines are damaged than the tolerance allows;
            the message names the first damaged file and line.
    """
    ledger = LedgerWriter(config.name)
    conversations = []
    problems: list[str] = []
    for place, line, broken in _records(config):
        try:
            if broken is not None:
                raise ValueError(f"the file cannot be read further: {broken}")
            conversation = _conversation(config, place, json.loads(line))
        except (ValueError, UnicodeDecodeError) as error:
            problems.append(f"{place}: {error}")
            ledger.drop("damaged_line", place, line.decode("utf-8", errors="replace"))
            continue
        conversations.append(conversation)
        ledger.keep(conversation.text())
    if not ledger.read:
        raise DataError(f"instructions.sources: {config.name}: {config.path} holds no record")
    if len(problems) > config.tolerance * ledger.read:
        raise DataError(
            f"instructions.sources: {config.name}: {len(problems)} of {ledger.read} lines are damaged, more than the "
            f"tolerance of {config.tolerance:.1%}; the first: {problems[0]}"
        )
    return conversations, ledger.close()


def _records(config: InstructionFiles) -> Iterator[tuple[str, bytes, Exception | None]]:
    """Place (`file:line`) and content of every line that is not blank, or the error that ends a damaged file."""
    for path, name in source_files(config):
        number = 0
        try:
            with open_bytes(path) as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield f"{name}:{number}", line, None
        except UnreadableError as error:
            yield f"{name}:{number + 1}", b"", error


def _conversation(config: InstructionFiles, place: str, record: Any) -> Conversation:
    if not isinstance(record, dict):
        raise ValueError(f"a record is a JSON object, this is {type(record).__name__}")
    identifier = hashlib.sha256(f"{config.name}:{place}".encode()).hexdigest()[:24]
    return Conversation(
        id=identifier,
        source=config.name,
        task=_string(record, "task", config.task),
        group=_string(record, "group", identifier),
        messages=tuple(_messages(record)),
        language=config.language,
        document_id=identifier,
        difficulty=_number(record, "difficulty"),
    )


def _messages(record: dict[str, Any]) -> Iterator[Message]:
    if "messages" in record:
        if not isinstance(record["messages"], list) or not record["messages"]:
            raise ValueError("field messages: must be a list of {role, content} that is not empty")
        for index, message in enumerate(record["messages"]):
            if not isinstance(message, dict) or message.get("role") not in ROLES:
                raise ValueError(f"field messages[{index}].role: must be one of {', '.join(sorted(ROLES))}")
            yield Message(role=message["role"], content=_string(message, "content"))
        return
    if "instruction" not in record or "output" not in record:
        raise ValueError("needs the fields messages, or instruction and output")
    given = _string(record, "input", "").strip()
    instruction = _string(record, "instruction")
    yield Message(role="user", content=f"{instruction}\n\n{given}" if given else instruction)
    yield Message(role="assistant", content=_string(record, "output"))


def _string(record: dict[str, Any], field: str, default: str | None = None) -> str:
    value = record.get(field, default)
    if not isinstance(value, str):
        raise ValueError(f"field {field}: must be a string, is {type(value).__name__}")
    return value


def _number(record: dict[str, Any], field: str) -> float | None:
    value = record.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"field {field}: must be a finite number, is {value!r}")
    return float(value)
