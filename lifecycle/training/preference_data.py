"""Preference pairs as the preference program sees them: rendered, ordered by (seed, step), and kept on disk."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from datasets import Dataset, load_from_disk

from lifecycle.errors import DataError
from lifecycle.preferences.render import pair_ids
from lifecycle.recipe.alignment import DpoConfig


@dataclass(frozen=True)
class RenderedPairs:
    """Pairs of one split as token ids, and how many were left out because they are longer than `max_length`."""

    ids: list[str]
    rows: list[dict[str, list[int]]]
    """`prompt_ids`, `chosen_ids`, `rejected_ids`: the columns that TRL's collator reads."""
    too_long: int

    def side(self, name: str) -> list[tuple[list[int], list[int]]]:
        """(prompt ids, answer ids) of the `chosen` or the `rejected` answers."""
        return [(row["prompt_ids"], row[f"{name}_ids"]) for row in self.rows]


def read_pairs(path: Path, tokenizer: Any, max_length: int | None) -> RenderedPairs:
    """Render `train.parquet` or `heldout.parquet` of a `preference_pairs` artifact with the model's chat template."""
    ids: list[str] = []
    rows: list[dict[str, list[int]]] = []
    too_long = 0
    for pair in pq.read_table(path).to_pylist():
        prompt, chosen = pair_ids(tokenizer, pair["prompt"], pair["chosen"])
        _, rejected = pair_ids(tokenizer, pair["prompt"], pair["rejected"])
        if max_length is not None and len(prompt) + max(len(chosen), len(rejected)) > max_length:
            too_long += 1
            continue
        ids.append(pair["id"])
        rows.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected})
    return RenderedPairs(ids, rows, too_long)


def training_order(pairs: int, config: DpoConfig) -> np.ndarray:
    """Which pair each position of each global batch takes, shape (steps x global_batch,).

    Permutations of all pairs, one per epoch and drawn from (seed, epoch), are laid end to end; the last batch is
    filled from the next epoch, so every step has exactly `global_batch` pairs whatever the number of processes.

    Raises:
        DataError: there is no pair to train on.
    """
    if pairs == 0:
        raise DataError("no preference pair to train on; see the ledger of preference_pairs for where they went")
    needed = config.steps(pairs) * config.global_batch
    epochs = [np.random.default_rng([config.seed, epoch]).permutation(pairs) for epoch in range(math.ceil(needed / pairs))]
    return np.concatenate(epochs)[:needed]


def store_dataset(rows: list[dict[str, list[int]]], directory: Path) -> None:
    """Write the rows as a dataset on disk, whole or not at all.

    TRL caches reference log-probabilities beside the dataset's own files; every rank, and a resumed run, finds them
    there, which a dataset in memory does not allow.
    """
    if directory.exists():
        return
    temporary = directory.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    Dataset.from_list(rows).save_to_disk(str(temporary))
    temporary.rename(directory)


def load_dataset(directory: Path) -> Dataset:
    """The dataset written by `store_dataset`."""
    dataset = load_from_disk(str(directory))
    assert isinstance(dataset, Dataset)
    return dataset
