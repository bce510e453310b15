"""Gates: what they ask for, how they are decided, and what cannot be asked."""

import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lifecycle.errors import CorruptArtifactError, RecipeError
from lifecycle.evaluation.champion import Champion
from lifecycle.evaluation.contrasts import Contrast, standard_error
from lifecycle.evaluation.gates import decide_gates, evaluate_gates
from lifecycle.evaluation.results import AnswerSummary, Results
from lifecycle.evaluation.statistics import Z95, HeldoutRewards, PairAccuracy, mean_interval, wilson_interval
from lifecycle.recipe.gates import Gate

BITS = "text/bits_per_byte"


def figures(value: float, error: float | None, higher: bool = True, contrasts: tuple[Contrast, ...] = ()) -> dict:
    interval = None if error is None else (value - Z95 * error, value + Z95 * error)
    metric = {"value": value, "higher_is_better": higher, "interval": interval}
    models = {name: {"metrics": {"a/b": metric, BITS: metric}} for name in ("base", "dpo")}
    return {"final": "dpo", "models": models, "contrasts": [each.model_dump() for each in contrasts]}


def against(name: str, gain: float, stderr: float | None = 0.1) -> Contrast:
    return Contrast(metric="a/b", model="dpo", compared_to=name, value=0.5 + gain, other=0.5, gain=gain, stderr=stderr)


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        (Gate(metric="a/b", at_least=0.5), True),
        (Gate(metric="a/b", at_most=0.5), True),
        (Gate(metric="a/b", at_least=0.500001), False),
        (Gate(metric="a/b", at_least=0.1, at_most=0.4), False),
        (Gate(metric="a/b", at_least=0.69, tolerance=2), True),
        (Gate(metric="a/b", at_least=0.71, tolerance=2), False),
        (Gate(metric="a/b", at_most=0.31, tolerance=2), True),
    ],
)
def test_a_range_holds_on_its_bound_and_within_its_tolerance(gate: Gate, passed: bool):
    assert evaluate_gates(figures(0.5, 0.1), [gate])[0].passed is passed


def test_a_tolerance_without_a_known_error_forgives_nothing():
    gate = Gate(metric="a/b", at_least=0.500001, tolerance=100)
    assert not evaluate_gates(figures(0.5, None), [gate])[0].passed


def test_answers_and_preferences_have_errors_that_a_tolerance_counts_in():
    """They had intervals alone: a reader of `report.json` saw no error where the gate used one."""
    scores, pairs = [0.0, 1.0] * 50, 40
    results = Results(
        model="dpo",
        parameters=1,
        tasks={},
        answers=AnswerSummary(n=100, score=0.5, interval=mean_interval(scores), finished=1.0, mean_tokens=4),
        preferences=HeldoutRewards(
            pairs=pairs, accuracy=0.75, interval=wilson_interval(30, pairs), margin=1.0,
            length_only=PairAccuracy(pairs=pairs, accuracy=0.5, interval=wilson_interval(20, pairs)),
        ),
    )  # fmt: skip
    metrics = results.metrics()
    assert metrics["answers/reference_score"].stderr == pytest.approx(statistics.stdev(scores) / 10)
    assert all(metric.stderr and metric.stderr == pytest.approx(standard_error(metric)) for metric in metrics.values())
    report = {"final": "dpo", "models": {"dpo": {"metrics": {name: each.model_dump() for name, each in metrics.items()}}}}
    report["contrasts"] = []
    for name, metric in metrics.items():
        least = metric.value + 1.5 * (metric.stderr or 0)
        strict, wide = (Gate(metric=name, at_least=least, tolerance=spare) for spare in (1, 2))
        assert [each.passed for each in evaluate_gates(report, [strict, wide])] == [False, True]


@pytest.mark.parametrize(
    ("gain", "terms", "passed"),
    [
        (-0.2, {"no_worse_by": 2}, True),
        (-0.2001, {"no_worse_by": 2}, False),
        (0.0, {"no_worse_by": 0}, True),
        (0.2, {"better_by": 2}, True),
        (0.1999, {"better_by": 2}, False),
        (0.0, {"better_by": 0}, False),
    ],
)
def test_a_comparison_counts_in_standard_errors_of_the_difference(gain: float, terms: dict, passed: bool):
    (result,) = evaluate_gates(
        figures(0.5, 0.1, contrasts=(against("base", gain),)), [Gate(metric="a/b", compared_to="base", **terms)]
    )
    assert result.passed is passed
    assert result.other == 0.5


def test_one_sentence_says_figures_distance_and_condition():
    worse = against("base", -0.3).model_copy(update={"items": 1200})
    (result,) = evaluate_gates(
        figures(0.2, 0.1, contrasts=(worse,)), [Gate(metric="a/b", compared_to="base", no_worse_by=2)]
    )
    assert result.said == (
        "a/b of dpo is 0.2, worse by 3.0 standard errors than the 0.5 of base over 1,200 items that both answered; "
        "must be no worse than base by more than 2 standard errors"
    )


def test_without_a_champion_its_gate_holds_and_with_one_that_cannot_be_compared_it_does_not():
    gate = Gate(metric="a/b", compared_to="champion", no_worse_by=2)
    (none,) = evaluate_gates(figures(0.5, 0.1), [gate])
    assert (none.passed, none.champion, none.against_champion) == (True, None, True)
    assert "no champion yet" in none.said
    strange = Champion(label="demo_dpo/3", digest="c", problem="evaluated otherwise: seed 1 → 2")
    (unknown,) = evaluate_gates(figures(0.5, 0.1), [gate], strange)
    assert (unknown.passed, unknown.champion) == (False, "demo_dpo/3")
    assert "evaluated otherwise: seed 1 → 2. Run the recipe of demo_dpo/3 again" in unknown.said
    known = Champion(label="demo_dpo/3", digest="c", contrasts=(against("champion", -0.5),))
    (worse,) = evaluate_gates(figures(0.5, 0.1), [gate], known)
    assert (worse.passed, worse.failed) == (False, True)
    assert "of the champion demo_dpo/3" in worse.said


def test_a_warning_fails_without_refusing():
    (result,) = evaluate_gates(figures(0.5, 0.1), [Gate(metric="a/b", at_least=0.6, blocking=False)])
    assert (result.passed, result.failed) == (False, False)


def test_an_unknown_metric_lists_those_there_are():
    with pytest.raises(RecipeError, match=r"dpo has no metric 'kind/acc'.*base: a/b"):
        evaluate_gates(figures(0.5, 0.1), [Gate(metric="kind/acc", at_least=0.5)])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "give at_least, at_most or both; or compared_to"),
        ({"at_least": 0.1, "compared_to": "base", "no_worse_by": 1}, "or compared_to"),
        ({"compared_to": "base"}, "no_worse_by or better_by"),
        ({"compared_to": "base", "no_worse_by": 1, "better_by": 1}, "not both"),
        ({"at_least": 0.1, "no_worse_by": 2}, "of a number use tolerance"),
        ({"compared_to": "base", "no_worse_by": 1, "tolerance": 1}, "use no_worse_by"),
        ({"at_least": 0.5, "at_most": 0.4}, "could never hold"),
        ({"model": "sft", "compared_to": "sft", "no_worse_by": 1}, "to itself"),
        ({"model": "sft", "compared_to": "champion", "no_worse_by": 1}, "model: final"),
        ({"model": "ppo", "at_least": 0.1}, "model"),
        ({"at_least": 0.1, "tolerance": -1}, "tolerance"),
    ],
)
def test_what_could_not_be_decided_is_refused_when_the_recipe_is_read(fields: dict, said: str):
    """A gate without a condition would always hold, and look like a check."""
    with pytest.raises(ValidationError, match=said):
        Gate(metric="a/b", **fields)


@given(value=st.floats(0.01, 0.99), limit=st.floats(0.01, 0.99), error=st.floats(0.001, 0.2), spare=st.floats(0, 5))
def test_more_tolerance_never_refuses_what_less_allowed(value: float, limit: float, error: float, spare: float):
    less, more = (Gate(metric="a/b", at_least=limit, tolerance=each) for each in (spare, spare + 1))
    strict, lenient = evaluate_gates(figures(value, error), [less, more])
    assert lenient.passed or not strict.passed


def test_a_damaged_report_passes_no_gate(tmp_path: Path):
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(CorruptArtifactError, match=r"report\.json"):
        decide_gates(tmp_path, [Gate(metric="a/b", at_least=0)])


def test_names_of_checks_keep_when_the_numbers_change():
    one, other = (Gate(metric="a/b.c:d", at_least=limit) for limit in (0.1, 0.2))
    assert one.name == other.name == "final_a_b_c_d_at_least"
    assert Gate(metric="a/b", compared_to="champion", no_worse_by=1).name == "final_a_b_no_worse_than_champion"
