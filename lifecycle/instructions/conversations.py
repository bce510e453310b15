"""The one message format of instruction data, and its Parquet file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.errors import CorruptArtifactError
from lifecycle.recipe.base import Section

FILE = "conversations.parquet"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("task", pa.string()),
        ("group", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("language", pa.string()),
        ("document_id", pa.string()),
        ("difficulty", pa.float64()),
    ]
)


class Message(Section):
    """One turn."""

    role: Literal["system", "user", "assistant"]
    content: str


class Conversation(Section):
    """One conversation; `group` and `document_id` name the text that it was made from."""

    id: str
    source: str
    task: str
    group: str
    messages: tuple[Message, ...]
    language: str | None = None
    document_id: str
    difficulty: float | None = None
    """How hard the question is, on the scale of whoever judged it."""

    def chat(self) -> list[dict[str, str]]:
        """The messages as chat templates take them."""
        return [{"role": message.role, "content": message.content} for message in self.messages]

    def text(self) -> str:
        """All messages as plain text, for ledgers and samples."""
        return "\n\n".join(f"{message.role}: {message.content}" for message in self.messages)

    def characters(self, role: str | None = None) -> int:
        """Characters of all messages, or of those of one role."""
        return sum(len(message.content) for message in self.messages if role in (None, message.role))


def write_conversations(directory: Path, conversations: Iterable[Conversation]) -> None:
    """Write `conversations.parquet`, in the order given."""
    rows = [{**conversation.model_dump(), "messages": conversation.chat()} for conversation in conversations]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), directory / FILE, compression="zstd")


def read_conversations(directory: Path) -> list[Conversation]:
    """The conversations in `directory`; raises CorruptArtifactError naming the file when it is damaged."""
    path = directory / FILE
    try:
        return [Conversation.model_validate(row) for row in pq.read_table(path).to_pylist()]
    except (OSError, pa.ArrowException, ValueError) as error:
        raise CorruptArtifactError(f"{path}: missing or damaged: {error}") from error
