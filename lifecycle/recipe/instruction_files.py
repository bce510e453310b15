"""The recipe's description of files that hold conversations."""

from typing import Literal

from pydantic import Field

from lifecycle.recipe.record_files import RecordFiles

InstructionFormat = Literal[
    "seed_tasks",
    "alpaca",
    "messages",
    "sharegpt",
    "chat_rounds",
    "message_list",
    "human_assistant",
    "data",
    "dialogue",
    "moss",
    "question_answer",
]


class InstructionFiles(RecordFiles):
    """Files of conversations: JSON, JSON lines or CSV, compressed or in tar or zip archives.

    A format is recognised from each file's first rows; `docs/post-training.md` lists them.
    """

    format: InstructionFormat | None = None
    """How the records are written; null recognises it."""
    language: str | None = Field(default=None, pattern=r"^[a-z]{2,3}$")
    """ISO 639-1 code, of records too short to tell; it also helps with the encoding of a file."""
    task: str = Field(default="general", min_length=1)
    """Of records that have no `task` of their own."""
    max_conversations: int | None = Field(default=None, gt=0)
    """Most conversations that cleaning keeps, drawn by a hash of their ids; null keeps all."""
