"""The report: figures, the win rate, plain words, and pages that need nothing beside them."""

import re
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from lifecycle.errors import DataError
from lifecycle.evaluation.champion import Champion, SampleAnswer
from lifecycle.evaluation.comparisons import Comparison
from lifecycle.evaluation.contrasts import Contrast
from lifecycle.evaluation.figures import WIN_RATE, is_relative, metrics_of, worst_first
from lifecycle.evaluation.gates import evaluate_gates
from lifecycle.evaluation.report import build_report
from lifecycle.evaluation.report_pages import Shown, differences, headline, write_pages
from lifecycle.evaluation.results import Metric
from lifecycle.evaluation.sections import tables
from lifecycle.evaluation.statistics import WinRate
from lifecycle.provenance import StageFacts
from lifecycle.recipe.gates import Gate
from tests.evaluation.fixtures import evaluation, heldout_directory

GATES = (
    Gate(metric="kind_of_object/acc", model="sft", at_least=0.42),
    Gate(metric="heldout_bits_per_byte/bits_per_byte", model="base", at_most=1.5, blocking=False),
)
BASE = StageFacts(
    stage="base_model",
    digests=("d" * 32,),
    made_at="2026-11-21T00:00:00+00:00",
    wall_seconds=7200.5,
    tokens=123456,
    epochs=1.5,
    steps=24,
    processes=2,
    device="cuda",
    device_hours=3.25,
)


def given_evals(tmp_path: Path) -> dict[str, Path]:
    return {
        "base": evaluation(tmp_path / "base", "base", 0.30, 1.9, [0.1] * 24),
        "sft": evaluation(tmp_path / "sft", "sft", 0.74, 2.0, [0.3] * 24),
        "dpo": evaluation(tmp_path / "dpo", "dpo", 0.73, 2.0, [0.2] * 6 + [0.3] * 6 + [0.4] * 12, rewards=True),
    }


@pytest.fixture
def evals(tmp_path: Path) -> dict[str, Path]:
    return given_evals(tmp_path)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict, Path]:
    """The report over three models, for tests that only read it."""
    root = tmp_path_factory.mktemp("three")
    return report(given_evals(root), root)


def report(evals: dict[str, Path], root: Path, champion: Champion | None = None) -> tuple[dict, dict, Path]:
    """The figures, the stage's facts, and the directory with the pages."""
    out = root / "report"
    out.mkdir()
    facts = build_report(evals, heldout_directory(root / "heldout"), "demo", out, root / "run")
    made = orjson.loads((out / "report.json").read_bytes())
    write_pages(shown(made, champion), out)
    return made, facts, out


def shown(made: dict, champion: Champion | None = None) -> Shown:
    return Shown(made, evaluate_gates(made, GATES, champion), champion, [BASE])


def test_summary_holds_what_the_demo_prints(three):
    made, facts, out = three
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


def test_each_stage_is_judged_against_the_one_before(three):
    made, _, out = three
    verdicts = {row["metric"]: row["verdicts"] for row in made["rows"]}
    assert verdicts["kind_of_object/acc"] == {"sft": "improved", "dpo": "not improved (within the interval)"}
    assert verdicts["heldout_bits_per_byte/bits_per_byte"] == {"sft": "not improved (worse)", "dpo": "not improved (equal)"}
    assert (
        "DPO did not improve on SFT" in (out / "report.md").read_text()
        or made["summary"]["dpo"]["win_rate_interval"][0] > 0.5
    )


def test_reward_accuracy_by_source_stands_in_a_table_with_its_counts(three):
    """And judges no stage by itself: with a dozen sources most of its intervals are wide."""
    made, _, out = three
    assert "| pairs from | dpo |" in (out / "report.md").read_text()
    for page in ("report.md", "report.html"):
        text = (out / page).read_text()
        assert "0.500 (0.215 – 0.785) of 8" in text
        assert "0.917 (0.646 – 0.985) of 12" in text
    assert metrics_of(made, "dpo")["preferences/source:human_pairs"].value == 0.5, "a gate may name it"
    assert not [row for row in made["rows"] if "source:" in row["metric"]]
    assert not [each for each in made["contrasts"] if "source:" in each["metric"]]


def test_the_worst_regression_comes_first_and_one_of_unknown_error_before_all(three):
    made, _, out = three
    found = differences(shown(made))
    bits = "heldout_bits_per_byte/bits_per_byte"
    assert [(each.metric, each.model, each.compared_to) for each in found[:2]] == [
        (bits, "dpo", "base"),
        (bits, "sft", "base"),
    ]
    assert all(each.standard_errors is None for each in found[:2]), "worse by 0.1, and nobody knows how much that is"
    known = [each.standard_errors for each in found if each.standard_errors is not None]
    assert known == sorted(known)
    acc = next(each for each in found if each.metric == "kind_of_object/acc" and each.compared_to == "sft")
    assert acc.items == 300
    assert acc.gain == pytest.approx(-0.01)
    page = (out / "report.html").read_text()
    assert page.index(">worse, error not known<") < page.index(">better<")


def test_worst_first_puts_what_is_known_to_be_better_last():
    def made(gain: float, stderr: float | None) -> Contrast:
        return Contrast(metric="a/b", model="sft", compared_to="base", value=gain, other=0, gain=gain, stderr=stderr)

    unknown_loss, loss, within, gain, unknown_gain = made(-1, None), made(-1, 0.1), made(-1, 2), made(1, 0.1), made(1, None)
    order = worst_first([gain, unknown_gain, within, unknown_loss, loss])
    assert order == [unknown_loss, loss, within, gain, unknown_gain]


def test_models_that_answered_different_prompts_are_not_compared(evals, tmp_path: Path):
    table = pq.read_table(evals["dpo"] / "answers.parquet").slice(1)
    pq.write_table(table, evals["dpo"] / "answers.parquet")
    with pytest.raises(DataError, match="different prompts"):
        report(evals, tmp_path)


def test_html_is_self_contained_and_shows_every_model(three):
    _, _, out = three
    page = (out / "report.html").read_text()
    assert not re.search(r"https?://|src=|<link|<script|@import|url\(", page)
    assert page.count("<svg") == 3
    assert "prefers-color-scheme: dark" in page
    for name in ("base", "sft", "dpo"):
        assert f'<th class="number">{name}</th>' in page
        assert f"{name} says 3" in page
    assert "&lt;b&gt;Summarise&lt;/b&gt;" in page
    assert "<b>Summarise</b>" not in page


def test_what_the_training_took_stands_in_the_pages_and_not_in_the_content(three):
    """Wall time in the artifact would give the same evaluations another digest on another machine."""
    _, _, out = three
    for name in ("report.html", "report.md"):
        text = (out / name).read_text()
        for figure in ("123,456", "1.50", "7,200.5", "3.2500", "GPU", "dddddddddddd"):
            assert figure in text, (name, figure)
    assert "7200" not in (out / "report.json").read_text()


def test_the_same_evaluations_give_the_same_bytes(evals, tmp_path: Path):
    first, second = tmp_path / "one", tmp_path / "two"
    pages = []
    for root in (first, second):
        root.mkdir()
        _, _, out = report(evals, root)
        pages.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert pages[0] == pages[1]


def test_markdown_tables_survive_the_text_in_them(three):
    _, _, out = three
    table = [line for line in (out / "report.md").read_text(encoding="utf-8").splitlines() if "Summarise" in line]
    assert len(table) == 10
    assert all(re.sub(r"\\\|", "", line).count("|") == 6 for line in table)


def test_rounds_are_compared_with_the_one_before_and_the_final_model_is_the_last(evals, tmp_path: Path):
    """KTO, a branch of its own, is compared with SFT."""
    evals["dpo_r2"] = evaluation(tmp_path / "dpo_r2", "dpo_r2", 0.85, 1.9, [0.5] * 24, rewards=True)
    evals["kto"] = evaluation(tmp_path / "kto", "kto", 0.74, 2.5, [0.1] * 24, rewards=True)
    made, facts, out = report(evals, tmp_path)
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
    gates = (
        Gate(metric="kind_of_object/acc", at_least=0.8),
        Gate(metric="kind_of_object/acc", model="dpo", at_least=0.8),
        Gate(metric="kind_of_object/acc", model="dpo", compared_to="kto", better_by=0),
    )
    decided = evaluate_gates(made, gates)
    assert [(gate.model, gate.value, gate.passed) for gate in decided] == [
        ("dpo_r2", 0.85, True),
        ("dpo", 0.73, False),
        ("dpo", 0.73, False),
    ]
    compared = {(each.model, each.compared_to) for each in differences(shown(made))}
    assert compared == {("sft", "base"), ("dpo", "sft"), ("dpo_r2", "dpo"), ("dpo_r2", "base"), ("kto", "sft")}
    page = (out / "report.html").read_text()
    assert 'dpo_r2</th><th class="number">kto</th>' in page
    assert "Round by round" in page


def test_the_champion_stands_beside_the_models_or_the_page_says_why_not(three, tmp_path: Path):
    made, out = dict(three[0]), tmp_path
    assert "There is no champion to compare with yet." in (three[2] / "report.html").read_text()
    theirs = Contrast(
        metric="kind_of_object/acc",
        model="dpo",
        compared_to="champion",
        value=0.73,
        other=0.81,
        gain=-0.08,
        stderr=0.02,
        items=300,
    )
    said = {
        sample["prompt"]: SampleAnswer(answer=f"the champion | says {i}", score=0.125)
        for i, sample in enumerate(made["samples"][:9])
    }
    champion = Champion(
        label="demo_dpo/3", digest="c" * 32, metrics=metrics_of(made, "dpo"), contrasts=(theirs,), answers=said
    )
    write_pages(shown(made, champion), out)
    for name in ("report.html", "report.md"):
        text = (out / name).read_text()
        assert "Against the champion demo_dpo/3: 1 worse" in text
        assert "0.810" in text
        assert text.count("champion |" if name.endswith("html") else r"champion \| says") == 9, "of ten it was asked nine"
    [head] = [line for line in (out / "report.md").read_text().splitlines() if line.startswith("| prompt | reference |")]
    assert head.endswith(" champion |")
    assert '<th class="number">champion</th>' in (out / "report.html").read_text()
    other = champion.model_copy(update={"contrasts": (), "problem": "demo_dpo/3 was evaluated otherwise: x 1 → 2"})
    write_pages(shown(made, other), out)
    page = (out / "report.html").read_text()
    assert "evaluated otherwise: x 1 → 2" in page
    assert ">champion</th>" not in page, "figures by other settings do not stand beside these"


def test_the_champion_has_a_column_of_health_and_safety_and_no_win_rate_is_compared(three) -> None:
    """Its figures were measured, and stood nowhere; and a win rate over SFT was compared with one over another SFT."""
    figure = {"value": 0.25, "higher_is_better": True, "interval": (0.2, 0.3)}
    made = three[0] | {"health": {"sft": {"health/looping": figure}}, "safety": {"sft": {"safety/refusals": figure}}}
    made["pairs_by_source"] = {}
    theirs = {
        "health/looping": Metric(value=0.123, higher_is_better=False),
        "safety/refusals": Metric(value=0.321, higher_is_better=True),
    }
    for champion, columns, cells in (
        (theirs, ["base", "sft", "dpo", "champion"], ["0.123", "0.321"]),
        ({}, ["base", "sft", "dpo"], ["–", "–"]),
    ):
        shown = tables(made, champion)
        assert [list(table.columns[1:]) for table in shown] == [columns, columns]
        assert [table.rows[0][-1] for table in shown] == cells
    assert is_relative("win_rate/reward_model_over_sft")
    assert not is_relative("answers/reference_score")


def test_contamination_and_comparisons_are_shown_where_the_report_has_them(three, tmp_path: Path):
    made, out = dict(three[0]), tmp_path
    made["contamination"] = [
        {
            "set": "kind_of_object",
            "items": 300,
            "contaminated": 12,
            "too_short": 1,
            "by": {"corpus": 12},
            "share": 0.04,
            "scores": {"sft": {"metric": "kind_of_object/acc", "value": 0.74, "clean": {"value": 0.7125}}},
        }
    ]
    won = WinRate(n=81, wins=30, ties=10, losses=41, rate=0.4321, interval=(0.4, 0.5))
    compared = Comparison(model="dpo", against="demo_dpo/1", by="reference", won=won, percent=43.21, no_verdict=0, facts={})
    made["comparisons"] = [compared.model_dump(mode="json")]
    curve = {"seed": 0, "conversations": 1200, "points": ((10, 3.0), (20, 2.5))}
    made["sft_controls"] = [{"arm": "as the recipe says", **curve}, {"arm": "random phases", **curve}]
    write_pages(shown(made), out)
    for name in ("report.html", "report.md"):
        text = (out / name).read_text()
        assert "12 of 300 items (4.0%) were trained on; sft without them 0.71" in text
        assert "12 of 300 (4.0%)" in text
        assert "dpo over demo" in text
        assert "43.2 (40.0 – 50.0)" in text
        assert "random phases" in text
        assert "step 20" in text
    page = (out / "report.html").read_text()
    assert page.count('<path class="line') == 2, "both curves are drawn"
    assert page.count("</span>", page.index("Fine-tuning and chance: held-out")) == 2, "and named"


def test_the_headline_begins_with_the_verdict_of_the_gates(three):
    made, _, _ = three
    assert headline(shown(made))[0] == "All blocking gates hold (2 gates; 1 warn)."
    refusing = Gate(metric="kind_of_object/acc", at_least=0.9)
    first = headline(Shown(made, evaluate_gates(made, [refusing]), None, []))[0]
    assert first == "Not to be promoted: 1 of 1 gates refuse. kind_of_object/acc of dpo is 0.73, must be at least 0.9."
