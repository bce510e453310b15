"""Stage `instruction_embeddings`: every kept conversation as a point, once; what is decided by it may change later."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from numpy.typing import NDArray

from lifecycle.errors import CorruptArtifactError, DataError
from lifecycle.instructions.answer_losses import batches
from lifecycle.instructions.conversations import Conversation, read_conversations
from lifecycle.instructions.data_map import draw_before, map_points
from lifecycle.instructions.lexical import lexical_embeddings
from lifecycle.pretrained import load_for_inference
from lifecycle.recipe.base import Section
from lifecycle.recipe.selection import Embeddings, LexicalEmbeddings

FILE, MAP, ABOUT = "embeddings.npy", "map.npy", "about.json"
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


def build_instruction_embeddings(
    instructions: Path, config: Embeddings, model: Path | None, out: Path, run_dir: Path
) -> dict[str, Any]:
    """Write `embeddings.npy` (float16 [conversations, dimensions], rows of length 1), `map.npy` (float32
    [conversations, 2], NaN for those that are not on the map) and `about.json`, all in the order of `instructions`.

    A row depends on the set of conversations, not on their order. System messages are left out: the functions of a
    conversation with tools would be most of it.

    Args:
        model: folder of the base model or the encoder, with its tokenizer; None where embeddings are lexical.

    Raises:
        DataError: there are too few conversations, or the encoder pools in a way that is not known.
    """
    conversations = read_conversations(instructions)
    order = canonical_order(conversations)
    texts = [_said(conversations[index]) for index in order]
    if isinstance(config, LexicalEmbeddings):
        found = lexical_embeddings(texts, config.dimensions, config.seed)
    else:
        assert model is not None, "the recipe names one"
        found = _encode(texts, model, config.max_tokens)
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


def pooled(model: Any, rows: Sequence[Sequence[int]], pad_token_id: int, first: bool = False) -> Vectors:
    """The mean of each row's last hidden states over its own tokens, or the state of its first, float32 [rows, hidden].

    Rows of similar length share a forward pass; padding stands behind, and the attention mask leaves it out.
    """
    found: Vectors | None = None
    with torch.inference_mode():
        for chosen in batches([len(row) for row in rows]):
            width = len(rows[chosen[0]])
            ids = torch.full((len(chosen), width), pad_token_id)
            mask = torch.zeros((len(chosen), width), dtype=torch.long)
            for place, index in enumerate(chosen):
                ids[place, : len(rows[index])] = torch.tensor(rows[index])
                mask[place, : len(rows[index])] = 1
            ids, mask = ids.to(model.device), mask.to(model.device)
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            weights = mask[:, :, None].float()
            means = states[:, 0] if first else (states * weights).sum(1) / weights.sum(1)
            found = np.empty((len(rows), means.shape[1]), np.float32) if found is None else found
            found[chosen] = means.cpu().numpy()
    assert found is not None, "there are conversations"
    return found


def _encode(texts: Sequence[str], directory: Path, max_tokens: int) -> Vectors:
    first = _pools_first_token(directory)
    model, tokenizer = load_for_inference(directory, headless=True)
    limit = min(max_tokens, tokenizer.model_max_length, model.config.get_text_config().max_position_embeddings)
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    rows = tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]
    vectors = pooled(model, [row or [pad] for row in rows], pad, first)
    # States of language models lie in a narrow cone (Ethayarajh 2019): with their mean in it any two texts look alike.
    return vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)


def _pools_first_token(directory: Path) -> bool:
    """What a sentence-transformer's folder says of pooling: its first token, or the mean of all, as without a word of it."""
    path = directory / "1_Pooling" / "config.json"
    if not path.is_file():
        return False
    try:
        config = orjson.loads(path.read_bytes())
        modes = {key for key, value in config.items() if key.startswith("pooling_mode_") and value is True}
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise DataError(f"{path}: not a pooling configuration: {error}") from error
    if modes not in ({"pooling_mode_mean_tokens"}, {"pooling_mode_cls_token"}):
        raise DataError(f"{path}: pools by {sorted(modes)}; only the mean of all tokens and the first token are known here")
    return modes == {"pooling_mode_cls_token"}


def _said(conversation: Conversation) -> str:
    return "\n\n".join(message.content for message in conversation.messages if message.role != "system")


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
