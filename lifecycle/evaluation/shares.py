"""What each process of an evaluation measured of its share of the items, before the shares are put together.

The processes need nothing of each other: process r of n takes every n-th item, from the r-th on. Each writes one file,
`<run_dir>/shares/<r>-of-<n>.json`, when it is done; a killed evaluation repeats only the shares that are missing, and of
those only the tasks that were not done with.
"""

import math
from pathlib import Path

from pydantic import ConfigDict, JsonValue, ValidationError

from lifecycle.errors import CorruptArtifactError
from lifecycle.evaluation.said import Said
from lifecycle.evaluation.statistics import PairAccuracy
from lifecycle.files import write_atomically
from lifecycle.portions import Portion
from lifecycle.recipe.base import Section

FOLDER = "shares"


class Sample(Section):
    """One item of an lm-eval task."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    index: int
    """Its number in the task's data."""
    prompt: str
    """The question."""
    request: str = ""
    """Everything that the model was given, with worked examples and chat template; for several, the first."""
    target: str
    answer: str
    choices: tuple[str, ...] | None = None
    loglikelihoods: tuple[float, ...] = ()
    """In nats: of each choice, or of the target."""
    truncated: bool = False
    """Whether the request was longer than the context, and lost its beginning."""
    values: dict[str, JsonValue]
    """What each metric says of this item: a figure, or what lm-eval's aggregation takes, as (nats, bytes)."""

    def score(self, metric: str) -> float | None:
        """The figure of this item alone; None where the metric has none for a single item."""
        value = self.values.get(metric)
        if metric == "bits_per_byte" and isinstance(value, list):
            nats, size = (float(str(each)) for each in value)
            return -nats / size / math.log(2) if size else None
        return float(value) if isinstance(value, (int, float)) else None


class MetricRule(Section):
    """How the values of a metric become one figure."""

    name: str
    aggregation: str
    """A name of lm-eval's registry."""
    higher_is_better: bool


class TaskShare(Section):
    """What one process measured of one task; `key` is what its result is kept by."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    task: str
    """The recipe's name for it."""
    part: str
    """lm-eval's name: another one where the recipe's is that of a group."""
    key: str
    rules: tuple[MetricRule, ...]
    shown: str | None = None
    """The metric that the recipe wants shown."""
    chance: float | None = None
    reused: bool = False
    samples: tuple[Sample, ...]


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
    sources: tuple[str, ...]
    """Where each of these pairs comes from."""
    too_long: int
    """Pairs of all shares that were left out because they are longer than the context."""
    length_only: PairAccuracy | None
    """Over the pairs of all shares."""


class Share(Section):
    """One process's measurements."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    parameters: int
    tasks: tuple[TaskShare, ...]
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
