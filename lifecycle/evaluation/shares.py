"""What each process of an evaluation measured of its share of the items, before the shares are put together.

The processes need nothing of each other: process r of n takes every n-th item, from the r-th on. Each writes one file,
`<run_dir>/shares/<r>-of-<n>.json`, when it is done; a killed evaluation repeats only the shares that are missing.
"""

import math
from pathlib import Path

from pydantic import ConfigDict, ValidationError

from lifecycle.errors import CorruptArtifactError
from lifecycle.evaluation.said import Said
from lifecycle.evaluation.statistics import Control
from lifecycle.files import write_atomically
from lifecycle.portions import Portion
from lifecycle.recipe.base import Section

FOLDER = "shares"


class Sample(Section):
    """One item of an lm-eval task. Its value is the metric's, or for bits per byte (log-likelihood in nats, bytes)."""

    task: str
    index: int
    prompt: str
    target: str
    answer: str
    metric: str
    value: float | tuple[float, float]
    choices: int | None = None

    @property
    def score(self) -> float:
        """The figure of this item alone."""
        if isinstance(self.value, tuple):
            nats, size = self.value
            return -nats / size / math.log(2)
        return self.value


class AnswerRow(Section):
    """One greedy answer to a win-rate prompt: a row of `answers.parquet`."""

    id: str
    task: str
    prompt: str
    reference: str
    answer: str
    tokens: int
    finished: bool
    score: float


class PairMargins(Section):
    """The held-out pairs of one share."""

    margins: tuple[float, ...]
    """By how much the model prefers the chosen answer more than the one that it was trained from does, in nats."""
    too_long: int
    """Pairs of all shares that were left out because they are longer than the context."""
    length_only: Control | None
    """Over the pairs of all shares."""


class Share(Section):
    """One process's measurements."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    parameters: int
    samples: tuple[Sample, ...]
    missing: tuple[str, ...]
    """Tasks for which the held-out text has no items: the same in every share."""
    answers: tuple[AnswerRow, ...]
    pairs: PairMargins | None
    """None where the model was not made from preferences."""
    said: tuple[Said, ...] = ()
    """Answers to what the recipe asks beside the tasks."""

    def write(self, run_dir: Path, portion: Portion) -> None:
        """Keep it; it appears whole."""
        write_atomically(_path(run_dir, portion), self.model_dump_json())


def is_measured(run_dir: Path, portion: Portion) -> bool:
    """Whether this share was measured to its end."""
    return _path(run_dir, portion).exists()


def read_shares(run_dir: Path, world: int) -> list[Share]:
    """All shares of an evaluation by `world` processes.

    Raises:
        CorruptArtifactError: one is missing or damaged; the message names its file.
    """
    shares = []
    for rank in range(world):
        path = _path(run_dir, Portion(rank, world))
        try:
            shares.append(Share.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError) as error:
            raise CorruptArtifactError(f"{path}: missing or damaged; remove it and evaluate again: {error}") from error
    return shares


def _path(run_dir: Path, portion: Portion) -> Path:
    return run_dir / FOLDER / f"{portion.rank}-of-{portion.world}.json"
