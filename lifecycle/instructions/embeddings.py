"""Stage `instruction_embeddings`: every kept conversation as a point, once; what is decided by it may change later."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lifecycle.errors import CorruptArtifactError
from lifecycle.instructions.conversations import Conversation, read_conversations
from lifecycle.instructions.data_map import draw_before, map_points
from lifecycle.instructions.lexical import lexical_embeddings
from lifecycle.jobs import ModelFolder, TrainingJob
from lifecycle.recipe.base import Section
from lifecycle.recipe.selection import CheckpointEmbeddings, Embeddings, EncoderEmbeddings, LexicalEmbeddings

FILE, MAP, ABOUT = "embeddings.npy", "map.npy", "about.json"
VECTORS = "vectors.npy"
"""What the embedding program writes."""
LABELS = {
    "lexical": "lexical (words and pairs of words, TF-IDF)",
    "checkpoint": "mean of the base model's last hidden states",
    "encoder": "a given encoder",
}
PAIRS = 20_000
"""Pairs drawn to say how alike two conversations are that have nothing to do with each other."""

Vectors = NDArray[np.float32]


class About(Section):
    """What the vectors are; whoever shows them says it."""

    label: str
    dimensions: int


@dataclass(frozen=True)
class Encoder:
    """The model that embeds, and how it is run.

    Attributes:
        cache: where embedded units are kept between runs.
        launch: runs the embedding program and gives back its facts.
    """

    model: ModelFolder
    cache: Path
    launch: Callable[[TrainingJob], dict[str, Any]]


def build_instruction_embeddings(
    instructions: Path, config: Embeddings, encoder: Encoder | None, out: Path, run_dir: Path
) -> dict[str, Any]:
    """Write `embeddings.npy` (float16 [conversations, dimensions], rows of length 1), `map.npy` (float32
    [conversations, 2], NaN for those that are not on the map) and `about.json`, all in the order of `instructions`.

    A row depends on the set of conversations, not on their order. System messages are left out: the functions of a
    conversation with tools would be most of it.

    Args:
        encoder: of the base model or a given one; None where embeddings are lexical.

    Raises:
        DataError: there are too few conversations.
        JobFailedError: the embedding program ended badly.
    """
    conversations = read_conversations(instructions)
    order = canonical_order(conversations)
    facts: dict[str, Any] = {}
    if isinstance(config, LexicalEmbeddings):
        texts = [what_is_said(conversations[index]) for index in order]
        found = lexical_embeddings(texts, config.dimensions, config.seed)
    else:
        assert encoder is not None, "the recipe names one"
        facts["embedding"] = encoder.launch(_job(instructions, config, encoder, run_dir))
        found = np.load(run_dir / "vectors" / VECTORS, allow_pickle=False)
    vectors = unit_rows(found).astype(np.float16)
    ids = [conversations[index].id for index in order]
    points = _scattered(map_points(unit_rows(vectors), ids, config.map, config.seed), order)
    about = About(label=LABELS[config.kind], dimensions=vectors.shape[1])
    np.save(out / FILE, _scattered(vectors, order), allow_pickle=False)
    np.save(out / MAP, points, allow_pickle=False)
    (out / ABOUT).write_bytes(orjson.dumps(about.model_dump()))
    draw_before([each.source for each in conversations], points, about.label, run_dir)
    return {
        "rows": len(conversations),
        "embeddings": about.label,
        "dimensions": about.dimensions,
        "on_the_map": int(np.isfinite(points[:, 0]).sum()),
        **_likeness(unit_rows(vectors), config.seed),
        **facts,
    }


def read_embeddings(directory: Path) -> tuple[Vectors, NDArray[np.float32], About]:
    """The vectors as float32 with rows of length 1, the map, and what they are; raises CorruptArtifactError."""
    try:
        vectors = np.load(directory / FILE, allow_pickle=False)
        points = np.load(directory / MAP, allow_pickle=False)
        about = About.model_validate_json((directory / ABOUT).read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{directory}: no readable embeddings: {error}") from error
    return unit_rows(vectors), points, about


def canonical_order(conversations: Sequence[Conversation]) -> list[int]:
    """Positions by id: whatever the order of the rows, sums are made in this one."""
    return sorted(range(len(conversations)), key=lambda index: (conversations[index].id, conversations[index].source))


def unit_rows(vectors: NDArray[Any]) -> Vectors:
    """Rows as float32, divided by their length; rows of zeros stay."""
    wide = vectors.astype(np.float32)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return (wide / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)


def what_is_said(conversation: Conversation) -> str:
    """The text that is embedded: all messages but those of the system."""
    return "\n\n".join(message.content for message in conversation.messages if message.role != "system")


def _job(
    instructions: Path, config: CheckpointEmbeddings | EncoderEmbeddings, encoder: Encoder, run_dir: Path
) -> TrainingJob:
    return TrainingJob(
        stage="instruction_embeddings",
        fingerprint=run_dir.name,
        program="lifecycle.instructions.embedding_program",
        config={
            "max_tokens": config.max_tokens,
            "cache": str(encoder.cache / "instruction_embeddings"),
            "model_digest": encoder.model.digest,
        },
        inputs={"instructions": str(instructions), "model": str(encoder.model.path)},
        output=str(run_dir / "vectors"),
        run_dir=str(run_dir),
    )


def _scattered(rows: NDArray[Any], order: Sequence[int]) -> NDArray[Any]:
    """Rows that were made in `order`, in the order of the file."""
    placed = np.empty_like(rows)
    placed[np.asarray(order)] = rows
    return placed


def _likeness(vectors: Vectors, seed: int) -> dict[str, float]:
    """Cosines of pairs drawn by chance: a threshold for duplicates lies well above them."""
    pairs = np.random.default_rng(seed).integers(len(vectors), size=(2, PAIRS))
    different = pairs[:, pairs[0] != pairs[1]]
    cosines = np.einsum("ij,ij->i", vectors[different[0]], vectors[different[1]])
    median, high = np.quantile(cosines, (0.5, 0.999)) if cosines.size else (0.0, 0.0)
    return {
        "random_pairs_cosine_median": round(float(median), 4),
        "random_pairs_cosine_of_one_in_1000": round(float(high), 4),
    }
