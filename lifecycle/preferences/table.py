"""The one format of preference pairs, and its Parquet files."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.digests import digest_json
from lifecycle.errors import CorruptArtifactError
from lifecycle.instructions.conversations import Message
from lifecycle.recipe.base import Section

RAW, TRAIN, HELDOUT = "pairs.parquet", "train.parquet", "heldout.parquet"
LABELS = "labels.parquet"
PROMPT = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt", PROMPT),
        ("chosen", pa.string()),
        ("rejected", pa.string()),
        ("source", pa.string()),
        ("task", pa.string()),
        ("chosen_score", pa.float64()),
        ("rejected_score", pa.float64()),
    ]
)
LABELS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt", PROMPT),
        ("answer", pa.string()),
        ("wanted", pa.bool_()),
        ("source", pa.string()),
        ("task", pa.string()),
    ]
)


class Pair(Section):
    """Two answers to one prompt; the scores are None where nobody scored them."""

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    source: str
    task: str
    chosen_score: float | None = None
    rejected_score: float | None = None

    def prompt_key(self) -> str:
        """Equal for equal prompts."""
        return prompt_key(self.prompt)

    def text(self) -> str:
        """Prompt and answers as plain text, for ledgers and samples."""
        question = "\n\n".join(message.content for message in self.prompt)
        return f"{question}\n\nchosen: {self.chosen}\n\nrejected: {self.rejected}"


class Labelled(Section):
    """One answer to a prompt, and whether it was wanted: what KTO learns from (Ethayarajh et al. 2024)."""

    id: str
    prompt: tuple[Message, ...]
    answer: str
    wanted: bool
    source: str
    task: str

    def prompt_key(self) -> str:
        """Equal for equal prompts."""
        return prompt_key(self.prompt)

    def text(self) -> str:
        """Prompt and answer as plain text, for ledgers and samples."""
        question = "\n\n".join(message.content for message in self.prompt)
        return f"{question}\n\n{'wanted' if self.wanted else 'not wanted'}: {self.answer}"


Row = TypeVar("Row", Pair, Labelled)


@dataclass(frozen=True)
class Answer:
    """One generated answer: its text without special tokens, its length, and whether it ended by itself."""

    text: str
    tokens: int
    finished: bool


def prompt_key(prompt: tuple[Message, ...]) -> str:
    """Equal for equal prompts."""
    return digest_json([[message.role, message.content] for message in prompt])


def pair_id(source: str, locator: str) -> str:
    """Stable across runs: digest of source and locator."""
    return hashlib.sha256(f"{source}:{locator}".encode()).hexdigest()[:24]


def write_labels(path: Path, labels: Iterable[Labelled]) -> None:
    """Write the labelled answers in the order given."""
    rows = [label.model_dump() for label in labels]
    pq.write_table(pa.Table.from_pylist(rows, schema=LABELS_SCHEMA), path, compression="zstd")


def read_labels(path: Path) -> list[Labelled]:
    """The labelled answers in `path`; raises CorruptArtifactError naming the file when it is damaged."""
    return _read(path, Labelled)


def write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """Write the pairs in the order given."""
    pq.write_table(pa.Table.from_pylist([pair.model_dump() for pair in pairs], schema=SCHEMA), path, compression="zstd")


def read_pairs(path: Path) -> list[Pair]:
    """The pairs in `path`; raises CorruptArtifactError naming the file when it is damaged."""
    return _read(path, Pair)


def _read(path: Path, kind: type[Row]) -> list[Row]:
    try:
        return [kind.model_validate(row) for row in pq.read_table(path).to_pylist()]
    except (OSError, pa.ArrowException, ValueError) as error:
        raise CorruptArtifactError(f"{path}: missing or damaged: {error}") from error
