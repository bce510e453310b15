"""What the reference model says of every answer: computed once, and kept between runs by what decides it.

Runs that differ in their loss, beta, learning rate or seed share model, data and template, and so the reference too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from lifecycle.digests import digest_json
from lifecycle.preferences.logps import Row, token_logps
from lifecycle.recipe.base import Section
from lifecycle.recipe.preference_training import AlignmentTraining
from lifecycle.results import kept, result
from lifecycle.training.exits import NumericsError

CODE_VERSION = "1"
"""Raised when the same key would have other numbers."""
FILE = "{name}.npy"


class ReferenceSource(Section):
    """What the reference's log-probabilities are made from, and where they are kept."""

    model: str
    """Digest of the reference model."""
    data: str
    """Digest of the data."""
    results: str
    """Directory of what is kept between runs (`Store.results`)."""


@dataclass(frozen=True)
class Reference:
    """Log-probabilities of answer tokens under the reference, as `token_logps` gives them, by the name of their rows."""

    logps: dict[str, np.ndarray]
    reused: bool
    facts: dict[str, Any]
    """What they are kept by, for people."""


def reference_logps(
    model: Any, tokenizer: Any, rows: dict[str, list[Row]], source: ReferenceSource, config: AlignmentTraining
) -> Reference:
    """The log-probabilities of all `rows`, by name, under `model`: kept ones where there are any.

    They are kept by the digests of model, data and chat template, by the token ids themselves (so that no change of the
    renderer or of `max_length` is missed) and by what moves their last bits: precision and batch. All ranks share the
    work, and every one of them gets all numbers.

    Raises:
        NumericsError: the model gives an answer no probability; the message names it.
    """
    template = digest_json(tokenizer.chat_template)
    batch = 2 * config.micro_batch
    made_from = {"code": CODE_VERSION, "model": source.model, "data": source.data, "template": template}
    ids = digest_json({name: [list(row) for row in each] for name, each in rows.items()})
    key = digest_json({**made_from, "ids": ids, "precision": config.precision, "batch": batch})
    root = Path(source.results) / "reference_logps"
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    entry = _agreed(kept(root, key) if rank == 0 else None, world)
    if entry is None:
        found = {name: _computed(model, tokenizer, each, config, batch, (rank, world)) for name, each in rows.items()}
        _check_finite(found, rows)
        if rank == 0:
            result(root, key, lambda directory: _write(found, directory))
    else:
        found = {name: np.load(entry / FILE.format(name=name)) for name in rows}
    short = {name: digest[:12] for name, digest in made_from.items() if name != "code"}
    return Reference(found, entry is not None, {"reused": entry is not None, **short})


def summed(values: np.ndarray, device: torch.device, world: int) -> np.ndarray:
    """The sum of each rank's numbers, of which all but one are 0; every rank must call it."""
    if world == 1:
        return values
    tensor = torch.from_numpy(values).to(device)
    dist.all_reduce(tensor)
    return tensor.cpu().numpy()


def _computed(
    model: Any, tokenizer: Any, rows: list[Row], config: AlignmentTraining, batch: int, share: tuple[int, int]
) -> np.ndarray:
    with torch.autocast(model.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        own = token_logps(model, rows, pad_token_id=tokenizer.pad_token_id, batch=batch, share=share)
    return summed(own, model.device, share[1])


def _check_finite(found: dict[str, np.ndarray], rows: dict[str, list[Row]]) -> None:
    for name, values in found.items():
        broken = np.flatnonzero(~np.isfinite(values))
        if len(broken):
            ends = np.cumsum([len(answer) for _, answer in rows[name]])
            row = int(np.searchsorted(ends, broken[0], side="right"))
            raise NumericsError(
                f"the reference model gives {values[broken[0]]} for a token of row {row} of {name}: no training can begin "
                "with it"
            )


def _write(found: dict[str, np.ndarray], directory: Path) -> None:
    for name, values in found.items():
        np.save(directory / FILE.format(name=name), values)


def _agreed(entry: Path | None, world: int) -> Path | None:
    """What rank 0 found."""
    if world == 1:
        return entry
    said = [None if entry is None else str(entry)]
    dist.broadcast_object_list(said, src=0)
    return None if said[0] is None else Path(said[0])
