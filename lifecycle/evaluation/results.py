"""What one evaluation of one model found; stored as `results.json`, without timings or paths."""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from lifecycle.errors import CorruptArtifactError
from lifecycle.evaluation.statistics import HeldoutRewards, error_of, wilson_interval
from lifecycle.recipe.base import Section

RESULTS = "results.json"
SAMPLES = "samples.parquet"
ANSWERS = "answers.parquet"
PAIRS_OF = "preferences/source:"
"""How the names of reward accuracies begin that are over the held-out pairs of one source."""


class Metric(Section):
    """One figure; `stderr` and `interval` (95 %) where they are known."""

    value: float
    higher_is_better: bool
    stderr: float | None = None
    interval: tuple[float, float] | None = None


def higher(value: float, interval: tuple[float, float]) -> Metric:
    """A figure of which more is better, with the standard error that its interval stands for."""
    return Metric(value=value, higher_is_better=True, stderr=error_of(interval), interval=interval)


class TaskResult(Section):
    """One lm-eval task; `chance` is the expected accuracy of a guess, for multiple choice."""

    n: int
    metrics: dict[str, Metric]
    shown: str | None = None
    """The first of `metrics`: the one that stands for the task where one figure is shown."""
    chance: float | None = None
    truncated: int = 0
    """Items that were longer than the context, and lost their beginning."""


class AnswerSummary(Section):
    """Greedy answers to the win-rate prompts."""

    n: int
    score: float
    """Mean reference score (`lifecycle.preferences.score`)."""
    interval: tuple[float, float]
    finished: float
    """Share that ended before the token limit."""
    mean_tokens: float


def read_answers(evaluation: Path) -> list[dict[str, Any]]:
    """The greedy answers of an artifact of evaluation; none where the held-out text gave no prompts."""
    import pyarrow.parquet as pq  # `lifecycle plan` needs the figures and no table

    path = evaluation / ANSWERS
    return pq.read_table(path).to_pylist() if path.exists() else []


class Results(Section):
    """All figures of one model."""

    model: str
    parameters: int
    tasks: dict[str, TaskResult]
    missing: tuple[str, ...] = ()
    """Tasks of the recipe for which the held-out text gave no items."""
    answers: AnswerSummary | None = None
    preferences: HeldoutRewards | None = None
    further: dict[str, Metric] = Field(default_factory=dict)
    """What is measured beside the tasks, by the names of `metrics`."""

    def metrics(self) -> dict[str, Metric]:
        """Every figure under the name that gates and the report use, `<task>/<metric>`."""
        named = {f"{task}/{name}": metric for task, result in self.tasks.items() for name, metric in result.metrics.items()}
        if self.answers is not None:
            answers = self.answers
            finished = wilson_interval(round(answers.finished * answers.n), answers.n)
            named["answers/reference_score"] = higher(answers.score, answers.interval)
            named["answers/finished"] = higher(answers.finished, finished)
        if self.preferences is not None:
            rewards = self.preferences
            named["preferences/reward_accuracy"] = higher(rewards.accuracy, rewards.interval)
            for source, found in rewards.by_source.items():
                named[f"{PAIRS_OF}{source}"] = higher(found.accuracy, found.interval)
            for name, control in (("shuffled_pairs", rewards.shuffled), ("length_only", rewards.length_only)):
                if control:
                    named[f"preferences/{name}"] = higher(control.accuracy, control.interval)
        return named | self.further

    def write(self, directory: Path) -> None:
        """Write `results.json`."""
        (directory / RESULTS).write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> "Results":
        """The results in `directory`; raises CorruptArtifactError naming the file when it is damaged."""
        path = directory / RESULTS
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise CorruptArtifactError(f"{path}: missing or damaged: {error}") from error
