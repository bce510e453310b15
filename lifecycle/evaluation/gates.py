"""Gates: conditions on the figures of one model that must hold before it is promoted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from lifecycle.errors import CorruptArtifactError, RecipeError
from lifecycle.recipe.base import Section
from lifecycle.recipe.evaluation import Gate

REPORT = "report.json"


class GateResult(Section):
    """One gate, and the figure that decided it."""

    model: str
    metric: str
    value: float
    at_least: float | None
    at_most: float | None
    blocking: bool
    passed: bool

    @property
    def failed(self) -> bool:
        """Whether this gate alone refuses the model."""
        return self.blocking and not self.passed

    def condition(self) -> str:
        """The gate in words."""
        parts = [f"at least {self.at_least:g}" if self.at_least is not None else None]
        parts.append(f"at most {self.at_most:g}" if self.at_most is not None else None)
        return " and ".join(part for part in parts if part)


def evaluate_gates(report: dict[str, Any], gates: Sequence[Gate]) -> list[GateResult]:
    """Decide each gate on the figures in `report["models"][model]["metrics"]`; `dpo` is the model of the last round.

    Raises:
        RecipeError: a gate names a metric, or a model, that the report does not have; the message lists those it has.
    """
    results = []
    for gate in gates:
        models = report["models"]
        name = report.get("final", gate.model) if gate.model == "dpo" else gate.model
        metrics = models[name]["metrics"] if name in models else {}
        if gate.metric not in metrics:
            raise RecipeError(
                f"gates: {gate.model} has no metric {gate.metric!r}; the report has "
                + ("; ".join(f"{name}: {', '.join(sorted(model['metrics']))}" for name, model in sorted(models.items())))
            )
        value = metrics[gate.metric]["value"]
        passed = (gate.at_least is None or value >= gate.at_least) and (gate.at_most is None or value <= gate.at_most)
        results.append(GateResult(value=value, passed=passed, **gate.model_dump()))
    return results


def decide_gates(directory: Path, gates: Sequence[Gate]) -> list[GateResult]:
    """The gates of a recipe, decided on the figures of the report in `directory`.

    Raises:
        CorruptArtifactError: the report is missing or damaged.
        RecipeError: as `evaluate_gates`.
    """
    path = directory / REPORT
    try:
        report = orjson.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{path}: missing or damaged: {error!r}") from error
    return evaluate_gates(report, gates)


def read_gate_results(directory: Path, model: str | None = None) -> list[GateResult]:
    """The gates (of `model` alone) as the report in `directory` decided them.

    Raises:
        CorruptArtifactError: the report is missing or damaged.
    """
    path = directory / REPORT
    try:
        results = [GateResult.model_validate(entry) for entry in orjson.loads(path.read_bytes())["gates"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifactError(f"{path}: missing or damaged: {error!r}") from error
    return [result for result in results if model in (None, result.model)]
