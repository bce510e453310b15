"""Gates: conditions on the figures of one model that must hold before it is promoted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lifecycle.errors import RecipeError
from lifecycle.evaluation.champion import Champion
from lifecycle.evaluation.contrasts import Contrast, standard_error
from lifecycle.evaluation.figures import find_contrast, metrics_of, read_report
from lifecycle.evaluation.results import Metric
from lifecycle.recipe.base import Section
from lifecycle.recipe.gates import CHAMPION, FINAL, Gate


class GateResult(Section):
    """One gate, and what decided it."""

    name: str
    """That of its asset check."""
    metric: str
    model: str
    """As the report calls it; never `final`."""
    condition: str
    blocking: bool
    passed: bool
    said: str
    """The outcome in one sentence."""
    value: float
    other: float | None = None
    """The figure of the model that it was compared with."""
    standard_errors: float | None = None
    """How far the figure lies on the good side of its limit, or of the other model; None where no error is known."""
    items: int | None = None
    """Items that both models answered, where the comparison is paired."""
    champion: str | None = None
    """`NAME/VERSION` that a gate against the champion was decided with; None there while there was no champion."""
    against_champion: bool = False

    @property
    def failed(self) -> bool:
        """Whether this gate alone refuses the model."""
        return self.blocking and not self.passed


def decide_gates(directory: Path, gates: Sequence[Gate], champion: Champion | None = None) -> list[GateResult]:
    """The gates of a recipe, decided on the figures of the report in `directory`.

    Args:
        champion: what gates against the champion are decided with; None where there is none.

    Raises:
        CorruptArtifactError: the report is missing or damaged.
        RecipeError: a gate names a metric, or a model, that the report does not have; the message lists those it has.
    """
    return evaluate_gates(read_report(directory), gates, champion)


def evaluate_gates(report: Mapping[str, Any], gates: Sequence[Gate], champion: Champion | None = None) -> list[GateResult]:
    """As `decide_gates`, on a report that was read."""
    return [_decide(report, gate, champion) for gate in gates]


def _decide(report: Mapping[str, Any], gate: Gate, champion: Champion | None) -> GateResult:
    model = report["final"] if gate.model == FINAL else gate.model
    metric = metrics_of(report, model).get(gate.metric)
    if metric is None:
        raise _unknown(report, model, gate.metric)
    known = {
        "name": gate.name,
        "metric": gate.metric,
        "model": model,
        "condition": gate.condition(),
        "blocking": gate.blocking,
        "value": metric.value,
    }
    if gate.compared_to is None:
        return _in_range(gate, metric, known)
    if gate.compared_to == CHAMPION:
        return _against_champion(gate, known, champion)
    contrasts = [Contrast.model_validate(each) for each in report["contrasts"]]
    found = find_contrast(contrasts, gate.metric, model, gate.compared_to)
    if found is None:
        raise _unknown(report, gate.compared_to, gate.metric)
    return _compared(gate, known, found, gate.compared_to)


def _unknown(report: Mapping[str, Any], model: str, metric: str) -> RecipeError:
    there = (f"{name}: {', '.join(sorted(each['metrics']))}" for name, each in sorted(report["models"].items()))
    return RecipeError(f"gates: {model} has no metric {metric!r} that could be compared; the report has {'; '.join(there)}")


def _in_range(gate: Gate, metric: Metric, known: dict[str, Any]) -> GateResult:
    room = [metric.value - gate.at_least] if gate.at_least is not None else []
    room += [gate.at_most - metric.value] if gate.at_most is not None else []
    error = standard_error(metric)
    passed = min(room) + gate.tolerance * (error or 0.0) >= 0
    said = f"{gate.metric} of {known['model']} is {metric.value:.4g}, must be {gate.condition()}"
    return GateResult(**known, passed=passed, said=said, standard_errors=min(room) / error if error else None)


def _against_champion(gate: Gate, known: dict[str, Any], champion: Champion | None) -> GateResult:
    about = f"{gate.metric} of {known['model']} is {known['value']:.4g}"
    if champion is None:
        said = f"{about}; there is no champion yet that it could be worse than"
        return GateResult(**known, passed=True, said=said, against_champion=True)
    found = find_contrast(champion.contrasts, gate.metric, known["model"], CHAMPION)
    if found is None:
        why = champion.problem or f"it was not measured for {champion.label} on items that both answered"
        todo = f"Run the recipe of {champion.label} again with this evaluation (no model is remade), or set blocking: false"
        said = f"{about} and cannot be compared with the champion: {why}. {todo}"
        return GateResult(**known, passed=False, said=said, champion=champion.label, against_champion=True)
    decided = _compared(gate, known, found, f"the champion {champion.label}")
    return decided.model_copy(update={"champion": champion.label, "against_champion": True})


def _compared(gate: Gate, known: dict[str, Any], found: Contrast, name: str) -> GateResult:
    error = found.stderr or 0.0
    passed = found.gain >= -(gate.no_worse_by or 0.0) * error
    if gate.better_by is not None:
        passed = found.gain > 0 and found.gain >= gate.better_by * error
    distance = found.standard_errors
    how = "by an amount whose error is not known" if distance is None else f"by {abs(distance):.1f} standard errors"
    paired = f" over {found.items:,} items that both answered" if found.items else ""
    side = "equal to" if found.gain == 0 else f"{'better' if found.gain > 0 else 'worse'} {how} than"
    said = (
        f"{gate.metric} of {known['model']} is {found.value:.4g}, {side} the {found.other:.4g} of {name}{paired}; "
        f"must be {gate.condition()}"
    )
    return GateResult(**known, passed=passed, said=said, other=found.other, standard_errors=distance, items=found.items)
