"""Preferences as their programs see them: rendered with the model's template, and ordered by (seed, step)."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.errors import DataError
from lifecycle.preferences.logps import Row
from lifecycle.preferences.render import pair_ids
from lifecycle.preferences.table import HELDOUT, TRAIN, Labelled
from lifecycle.preferences.table import read_pairs as read_table
from lifecycle.recipe.preference_training import PreferenceTraining


@dataclass(frozen=True)
class RenderedPairs:
    """Pairs of one split as token ids, and how many were left out because they are longer than `max_length`."""

    ids: list[str]
    sources: list[str]
    rows: list[dict[str, list[int]]]
    """`prompt_ids`, `chosen_ids` and `rejected_ids`; a prompt's ids are the same list in each."""
    too_long: int

    def side(self, name: str) -> list[Row]:
        """(prompt ids, answer ids) of the `chosen` or the `rejected` answers."""
        return [(row["prompt_ids"], row[f"{name}_ids"]) for row in self.rows]

    def lengths(self) -> list[tuple[int, int]]:
        """Tokens of the chosen and of the rejected answer."""
        return [(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in self.rows]


@dataclass(frozen=True)
class Splits:
    """Both splits of a `preference_pairs` artifact."""

    train: RenderedPairs
    heldout: RenderedPairs


@dataclass(frozen=True)
class RenderedLabels:
    """Labelled answers as token ids."""

    ids: list[str]
    rows: list[Row]
    wanted: list[bool]
    too_long: int


def read_splits(directory: Path, tokenizer: Any, max_length: int, section: str) -> Splits:
    """Both splits of a `preference_pairs` artifact, rendered; raises DataError when there is no pair to train on."""
    pairs = Splits(*(read_pairs(directory / name, tokenizer, max_length) for name in (TRAIN, HELDOUT)))
    if not pairs.train.rows:
        raise DataError(
            f"{directory / TRAIN}: no pair to train on ({pairs.train.too_long} are longer than "
            f"{section}.max_length {max_length}); see the ledger of preference_pairs for where the others went"
        )
    return pairs


def read_pairs(path: Path, tokenizer: Any, max_length: int | None) -> RenderedPairs:
    """Render `train.parquet` or `heldout.parquet` of a `preference_pairs` artifact with the model's chat template."""
    ids: list[str] = []
    sources: list[str] = []
    rows: list[dict[str, list[int]]] = []
    too_long = 0
    for pair in read_table(path):
        asked = [message.model_dump() for message in pair.prompt]
        prompt, chosen = pair_ids(tokenizer, asked, pair.chosen)
        _, rejected = pair_ids(tokenizer, asked, pair.rejected)
        if max_length is not None and len(prompt) + max(len(chosen), len(rejected)) > max_length:
            too_long += 1
            continue
        ids.append(pair.id)
        sources.append(pair.source)
        rows.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected})
    return RenderedPairs(ids, sources, rows, too_long)


def render_labels(labels: Iterable[Labelled], tokenizer: Any, max_length: int) -> RenderedLabels:
    """Labelled answers with the model's chat template; those longer than `max_length` are left out and counted."""
    found = RenderedLabels([], [], [], 0)
    too_long = 0
    for label in labels:
        prompt, answer = pair_ids(tokenizer, [message.model_dump() for message in label.prompt], label.answer)
        if len(prompt) + len(answer) > max_length:
            too_long += 1
            continue
        found.ids.append(label.id)
        found.rows.append((prompt, answer))
        found.wanted.append(label.wanted)
    return RenderedLabels(found.ids, found.rows, found.wanted, too_long)


def training_order(rows: int, config: PreferenceTraining) -> np.ndarray:
    """Which row each position of each global batch takes, shape (steps x global_batch,).

    Permutations of all rows, one per epoch and drawn from (seed, epoch), are laid end to end; the last batch is
    filled from the next epoch, so every step has exactly `global_batch` rows whatever the number of processes.

    Raises:
        DataError: there is nothing to train on.
    """
    if rows == 0:
        raise DataError("no preference to train on; see the ledger of preference_pairs for where they went")
    needed = config.steps(rows) * config.global_batch
    epochs = [np.random.default_rng([config.seed, epoch]).permutation(rows) for epoch in range(math.ceil(needed / rows))]
    return np.concatenate(epochs)[:needed]


def names_of_steps(ids: list[str], order: np.ndarray, global_batch: int) -> Callable[[int], list[str]]:
    """What gives the names of a step's rows, to name those of a batch that breaks."""

    def names(step: int) -> list[str]:
        return [ids[index] for index in order[step * global_batch : (step + 1) * global_batch]]

    return names
