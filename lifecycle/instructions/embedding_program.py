"""The embedding program: every conversation as the pooled last hidden states of a model.

Run it through `lifecycle.training.launch`. Inputs: `instructions` and `model` (the base model or an encoder, with its
tokenizer); config: `EmbeddingConfig`. Writes `vectors.npy` to the output: float32 [conversations, hidden], less their mean,
in the canonical order of `lifecycle.instructions.embeddings`. Units are kept by their tokens and the model's digest.
"""

import hashlib
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch

from lifecycle.errors import DataError
from lifecycle.instructions.answer_losses import TOKENS, batches
from lifecycle.instructions.conversations import read_conversations
from lifecycle.instructions.embeddings import VECTORS, Vectors, canonical_order, what_is_said
from lifecycle.instructions.units import through_units
from lifecycle.jobs import TrainingJob
from lifecycle.pretrained import load_for_inference
from lifecycle.recipe.base import Section
from lifecycle.training.journal import Journal

KEPT = "states.npy"


class EmbeddingConfig(Section):
    """How much is read, where units are kept, and what they are kept for."""

    max_tokens: int
    cache: str
    model_digest: str


def main(job: TrainingJob) -> None:
    """Embed everything, and write `vectors.npy` and `result.json` (conversations, units reused, tokens per second).

    Raises:
        DataError: the encoder pools in a way that is not known.
    """
    config = EmbeddingConfig.model_validate(job.config)
    started, directory = time.monotonic(), Path(job.inputs["model"])
    first = _pools_first_token(directory)
    model, tokenizer = load_for_inference(directory, headless=True)
    conversations = read_conversations(Path(job.inputs["instructions"]))
    texts = [what_is_said(conversations[index]) for index in canonical_order(conversations)]
    limit = min(config.max_tokens, tokenizer.model_max_length, model.config.get_text_config().max_position_embeddings)
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    rows = [row or [pad] for row in tokenizer(texts, truncation=True, max_length=limit)["input_ids"]]
    entries, facts = through_units(
        rows,
        Path(config.cache),
        key=partial(_key, config.model_digest, first),
        make=partial(_keep, model, pad, first),
        tokens=len,
        journal=Journal(Path(job.run_dir)),
        done="embedded",
    )
    vectors = np.concatenate([np.load(entry / KEPT, allow_pickle=False) for entry in entries])
    # States of language models lie in a narrow cone (Ethayarajh 2019): with their mean in it any two texts look alike.
    vectors -= vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    output = Path(job.output)
    output.mkdir(parents=True, exist_ok=True)
    np.save(output / VECTORS, vectors, allow_pickle=False)
    facts |= {"rows": len(rows), "seconds": round(time.monotonic() - started, 3)}
    (Path(job.run_dir) / "result.json").write_bytes(orjson.dumps(facts))


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


def _keep(model: Any, pad: int, first: bool, rows: Sequence[Sequence[int]], directory: Path) -> None:
    np.save(directory / KEPT, pooled(model, rows, pad, first), allow_pickle=False)


def _key(model_digest: str, first: bool, rows: Sequence[Sequence[int]]) -> str:
    """Of all that decides the states of a unit: they are rounded as its rows share forward passes."""
    state = hashlib.sha256(f"{model_digest} {TOKENS} {first}".encode())
    for row in rows:
        state.update(np.array([len(row), *row], dtype=np.int64).tobytes())
    return state.hexdigest()[:32]


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


if __name__ == "__main__":
    main(TrainingJob.read(sys.argv[1]))
