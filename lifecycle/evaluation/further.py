"""What an evaluation measures beside the tasks: bits per byte by source and language, generation health, safety."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lifecycle.evaluation.asked import AskedItem
from lifecycle.evaluation.bits import bits_by_group
from lifecycle.evaluation.health import health_metrics
from lifecycle.evaluation.results import Metric
from lifecycle.evaluation.safety import safety_metrics
from lifecycle.evaluation.said import in_order
from lifecycle.evaluation.shares import Share
from lifecycle.recipe.evaluation import EvaluationConfig
from lifecycle.recipe.instruction_rules import OwnIdentity


@dataclass(frozen=True)
class Checks:
    """What judging answers needs to know."""

    own: OwnIdentity | None = None
    """Who the model is; any claim to be another one leaks."""
    cache: Path | None = None
    """Where a judge's answers are kept between runs; needed where the recipe has one."""


def further_metrics(
    shares: Sequence[Share], asked: Sequence[AskedItem], heldout: Path, config: EvaluationConfig, checks: Checks, out: Path
) -> dict[str, Metric]:
    """The figures by name; the answers that they are made from go to `out` as Parquet, where the tasks' samples are already.

    Raises:
        EndpointError: a judge of safety is configured and cannot be asked.
    """
    found = bits_by_group(out, heldout)
    said = in_order([row for share in shares for row in share.said], asked)
    if config.health:
        found |= health_metrics([row for row in said if row.kind == "health"], checks.own, out)
    if config.safety:
        found |= safety_metrics([row for row in said if row.kind == "safety"], config.safety, checks.cache, out)
    return found
