"""What one evaluation of one model found; stored as `results.json`, without timings or paths."""

from pathlib import Path

from pydantic import Field, ValidationError

from lifecycle.errors import CorruptArtifactError
from lifecycle.evaluation.statistics import HeldoutRewards, wilson_interval
from lifecycle.recipe.base import Section

RESULTS = "results.json"
SAMPLES = "samples.parquet"
ANSWERS = "answers.parquet"


class Metric(Section):
    """One figure; `stderr` and `interval` (95 %) where they are known."""

    value: float
    higher_is_better: bool
    stderr: float | None = None
    interval: tuple[float, float] | None = None


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
            named["answers/reference_score"] = Metric(value=answers.score, higher_is_better=True, interval=answers.interval)
            named["answers/finished"] = Metric(
                value=answers.finished,
                higher_is_better=True,
                interval=wilson_interval(round(answers.finished * answers.n), answers.n),
            )
        if self.preferences is not None:
            rewards = self.preferences
            named["preferences/reward_accuracy"] = Metric(
                value=rewards.accuracy, higher_is_better=True, interval=rewards.interval
            )
            for name, control in (("shuffled_pairs", rewards.shuffled), ("length_only", rewards.length_only)):
                if control:
                    named[f"preferences/{name}"] = Metric(
                        value=control.accuracy, higher_is_better=True, interval=control.interval
                    )
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
