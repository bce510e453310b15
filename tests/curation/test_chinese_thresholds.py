"""The defaults for Chinese are the measured ones, and the page says what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.chinese_cuts import affordable, best_agreement, same_share, within_budget
from benchmarks.chinese_page import page, tables
from lifecycle.curation.quality import RULES
from lifecycle.recipe.corpora import CurationConfig

ROOT = Path(__file__).resolve().parents[2]
RECORD = json.loads((ROOT / "benchmarks" / "results" / "chinese-thresholds.json").read_text(encoding="utf-8"))
MEASURED = [*RECORD["words"], *RECORD["chinese"], RECORD["sentences"]]


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: row["rule"])
def test_the_recipe_s_default_is_the_calibrated_one(row: dict) -> None:
    assert getattr(getattr(CurationConfig(), row["set"]).zh, row["threshold"]) == row["ours"]


def test_every_rule_of_chinese_text_and_of_words_was_calibrated() -> None:
    measured = {row["rule"] for row in MEASURED}
    assert {rule.name for rule in RULES if rule.set == "chinese_quality"} <= measured
    assert {rule.name for rule in RULES if "gram" in rule.name and rule.set == "gopher_repetition"} <= measured
    assert {row["rule"] for row in RECORD["effects"]} == {rule.name for rule in RULES if rule.set != "light"}


def test_the_page_is_what_the_measurement_says() -> None:
    text = (ROOT / "docs" / "chinese-thresholds.md").read_text(encoding="utf-8")
    assert text == page(RECORD)
    assert all(table in text for table in tables(RECORD))
    assert (ROOT / "docs" / "chinese-thresholds-sets.png").exists()


def test_no_threshold_costs_more_good_text_than_the_budget_unless_the_page_marks_it() -> None:
    for row in [*RECORD["words"], *RECORD["chinese"]]:
        if row.get("within_budget", row["rule"] != "gopher_few_words" and row["rule"] != "gopher_many_words"):
            assert all(row["cost"][kind] <= share for kind, share in RECORD["budget"].items()), row["rule"]


def test_where_thresholds_are_put() -> None:
    figures = np.arange(100, dtype=float)
    assert same_share(figures * 2, figures < 30, below=True) == 59
    assert best_agreement(figures, figures < 30, below=True) == 1
    assert best_agreement(figures, figures > 30, below=True) == 0.69
    good = {"prose": figures}
    assert affordable(50, good, {"prose": 0.1}, below=True) == 10
    assert affordable(5, good, {"prose": 0.1}, below=True) == 5
    assert affordable(50, good, {"prose": 0.1}, below=False) == 89
    damaged = np.array([2.0, 3.0, 4.0])
    assert within_budget(50, damaged, good, {"prose": 0.1}, below=True) == 10
    assert within_budget(1, damaged, good, {"prose": 0.1}, below=True) == pytest.approx(4.1)
    assert within_budget(8, damaged, good, {"prose": 0.1}, below=True) == 8
    assert within_budget(50, damaged, good, {"prose": 0.01}, below=True) is None
