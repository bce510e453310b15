"""The report: gates, the win rate, plain words, and pages that need nothing beside them."""

import re
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from lifecycle.errors import CorruptArtifactError, DataError, RecipeError
from lifecycle.evaluation.gates import evaluate_gates, read_gate_results
from lifecycle.evaluation.report import WIN_RATE, build_report
from lifecycle.evaluation.results import AnswerSummary, Metric, Results, TaskResult
from lifecycle.evaluation.statistics import HeldoutRewards, wilson_interval
from lifecycle.recipe.evaluation import Gate
from tests.evaluation.fixtures import heldout_directory

GATES = (
    Gate(metric="kind_of_object/acc", model="sft", at_least=0.42),
    Gate(metric="heldout_bits_per_byte/bits_per_byte", model="base", at_most=1.5, blocking=False),
)


def evaluation(directory: Path, name: str, accuracy: float, bits: float, scores: list[float], rewards: bool = False) -> Path:
    """What the evaluation program leaves behind, with given figures."""
    directory.mkdir(parents=True)
    right = round(300 * accuracy)
    Results(
        model=name,
        parameters=1000,
        tasks={
            "kind_of_object": TaskResult(
                n=300,
                chance=1 / 3,
                metrics={
                    "acc": Metric(value=accuracy, higher_is_better=True, stderr=0.027, interval=wilson_interval(right, 300))
                },
            ),
            "heldout_bits_per_byte": TaskResult(n=50, metrics={"bits_per_byte": Metric(value=bits, higher_is_better=False)}),
        },
        answers=AnswerSummary(n=len(scores), score=sum(scores) / len(scores), interval=(0, 1), finished=1.0, mean_tokens=4),
        preferences=HeldoutRewards(pairs=20, accuracy=0.75, interval=(0.53, 0.89), margin=1.0) if rewards else None,
    ).write(directory)
    rows = [
        {
            "id": f"w{i}",
            "prompt": f"<b>Summarise</b> | {i}",
            "reference": "It returns.",
            "answer": f"{name} says {i}",
            "score": score,
        }
        for i, score in enumerate(scores)
    ]
    pq.write_table(pa.Table.from_pylist(rows), directory / "answers.parquet")
    return directory


@pytest.fixture
def evals(tmp_path: Path) -> dict[str, Path]:
    return {
        "base": evaluation(tmp_path / "base", "base", 0.30, 1.9, [0.1] * 24),
        "sft": evaluation(tmp_path / "sft", "sft", 0.74, 2.0, [0.3] * 24),
        "dpo": evaluation(tmp_path / "dpo", "dpo", 0.73, 2.0, [0.2] * 6 + [0.3] * 6 + [0.4] * 12, rewards=True),
    }


def report(evals: dict[str, Path], root: Path, gates: tuple[Gate, ...] = GATES) -> tuple[dict, dict, Path]:
    out = root / "report"
    out.mkdir()
    facts = build_report(evals, heldout_directory(root / "heldout"), gates, "demo", out, root / "run")
    return orjson.loads((out / "report.json").read_bytes()), facts, out


def test_summary_holds_what_the_demo_prints(evals, tmp_path: Path):
    made, facts, out = report(evals, tmp_path)
    summary = made["summary"]
    assert summary == orjson.loads(orjson.dumps(facts["summary"]))
    assert summary["base"]["bits_per_byte"] == 1.9
    assert 0 < summary["base"]["gzip_bits_per_byte"] < 8
    assert 0 < summary["base"]["xz_bits_per_byte"] < 8
    assert summary["multiple_choice"] == {
        "chance": pytest.approx(1 / 3), "standard_error": 0.027, "base": 0.30, "sft": 0.74, "dpo": 0.73,
    }  # fmt: skip
    assert summary["dpo"]["reward_accuracy"] == 0.75
    assert summary["dpo"]["win_rate"] == (12 + 3) / 24
    low, high = summary["dpo"]["win_rate_interval"]
    assert low < 0.625 < high
    assert "win rate 62.5% by reference score" in (out / "report.md").read_text()


def test_each_stage_is_judged_against_the_one_before(evals, tmp_path: Path):
    made, _, out = report(evals, tmp_path)
    verdicts = {row["metric"]: row["verdicts"] for row in made["rows"]}
    assert verdicts["kind_of_object/acc"] == {"sft": "improved", "dpo": "not improved (within the interval)"}
    assert verdicts["heldout_bits_per_byte/bits_per_byte"] == {"sft": "not improved (worse)", "dpo": "not improved (equal)"}
    assert (
        "DPO did not improve on SFT" in (out / "report.md").read_text()
        or made["summary"]["dpo"]["win_rate_interval"][0] > 0.5
    )


def test_gates_pass_and_fail_with_their_values(evals, tmp_path: Path):
    _, facts, out = report(evals, tmp_path)
    assert (facts["gates_passed"], facts["gates_failed"]) == (1, 1)
    (sft,) = read_gate_results(out, "sft")
    assert (sft.passed, sft.value, sft.blocking) == (True, 0.74, True)
    (base,) = read_gate_results(out, "base")
    assert (base.passed, base.value, base.blocking) == (False, 1.9, False)
    assert read_gate_results(out, "dpo") == []


def test_gate_on_an_unknown_metric_lists_the_metrics(evals, tmp_path: Path):
    with pytest.raises(RecipeError, match=r"dpo has no metric 'kind/acc'.*base: .*kind_of_object/acc"):
        report(evals, tmp_path, (Gate(metric="kind/acc", at_least=0.5),))


def test_gates_are_decided_on_the_bound_itself():
    figures = {"models": {"dpo": {"metrics": {"a/b": {"value": 0.5}}}}}
    for gate, passed in (
        (Gate(metric="a/b", at_least=0.5), True),
        (Gate(metric="a/b", at_most=0.5), True),
        (Gate(metric="a/b", at_least=0.500001), False),
        (Gate(metric="a/b", at_least=0.1, at_most=0.4), False),
    ):
        assert evaluate_gates(figures, [gate])[0].passed is passed


def test_a_gate_without_a_condition_is_refused():
    """It would always hold, and look like a check."""
    with pytest.raises(ValidationError, match="at_least, at_most or both"):
        Gate(metric="a/b")


def test_a_damaged_report_passes_no_gate(tmp_path: Path):
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(CorruptArtifactError, match=r"report\.json"):
        read_gate_results(tmp_path, "dpo")


def test_models_that_answered_different_prompts_are_not_compared(evals, tmp_path: Path):
    table = pq.read_table(evals["dpo"] / "answers.parquet").slice(1)
    pq.write_table(table, evals["dpo"] / "answers.parquet")
    with pytest.raises(DataError, match="different prompts"):
        report(evals, tmp_path)


def test_html_is_self_contained_and_shows_every_model(evals, tmp_path: Path):
    _, _, out = report(evals, tmp_path)
    page = (out / "report.html").read_text()
    assert not re.search(r"https?://|src=\"(?!data:)|<link|<script|@import", page)
    assert page.count('src="data:image/png;base64,') == 2
    assert "prefers-color-scheme: dark" in page
    for name in ("base", "sft", "dpo"):
        assert f"<th>{name}</th>" in page
        assert f"{name} says 3" in page
    assert "&lt;b&gt;Summarise&lt;/b&gt;" in page
    assert "<b>Summarise</b>" not in page


def test_the_same_evaluations_give_the_same_bytes(evals, tmp_path: Path):
    first, second = tmp_path / "one", tmp_path / "two"
    pages = []
    for root in (first, second):
        root.mkdir()
        _, _, out = report(evals, root)
        pages.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert pages[0] == pages[1]


def test_markdown_tables_survive_the_text_in_them(evals, tmp_path: Path):
    _, _, out = report(evals, tmp_path)
    table = [line for line in (out / "report.md").read_text(encoding="utf-8").splitlines() if "Summarise" in line]
    assert len(table) == 10
    assert all(re.sub(r"\\\|", "", line).count("|") == 6 for line in table)


def test_rounds_are_compared_with_the_one_before_and_gates_hold_for_the_last(evals, tmp_path: Path):
    """KTO, a branch of its own, is compared with SFT."""
    evals["dpo_r2"] = evaluation(tmp_path / "dpo_r2", "dpo_r2", 0.85, 1.9, [0.5] * 24, rewards=True)
    evals["kto"] = evaluation(tmp_path / "kto", "kto", 0.74, 2.5, [0.1] * 24, rewards=True)
    gate = Gate(metric="kind_of_object/acc", model="dpo", at_least=0.8)
    made, facts, out = report(evals, tmp_path, (gate,))
    verdicts = {row["metric"]: row["verdicts"] for row in made["rows"]}
    assert list(verdicts["kind_of_object/acc"]) == ["sft", "dpo", "dpo_r2", "kto"]
    assert verdicts["kind_of_object/acc"]["dpo_r2"] == "improved"
    assert verdicts["heldout_bits_per_byte/bits_per_byte"]["kto"] == "not improved (worse)"
    assert made["final"] == "dpo_r2"
    assert made["win_rate"]["rate"] == facts["summary"]["dpo"]["win_rate"] == 1.0
    rates = {
        name: model["metrics"][WIN_RATE]["value"] for name, model in made["models"].items() if WIN_RATE in model["metrics"]
    }
    assert rates == {"dpo": 15 / 24, "dpo_r2": 1.0, "kto": 0.0}
    (decided,) = read_gate_results(out, "dpo")
    assert (decided.value, decided.passed) == (0.85, True)
    assert "<th>dpo_r2</th><th>kto</th>" in (out / "report.html").read_text()
