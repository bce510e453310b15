"""Trying out thresholds on the sidecar, and following one document."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lifecycle.curation.clean import clean_source
from lifecycle.curation.corpus import build_corpus
from lifecycle.curation.explain import explain, render
from lifecycle.curation.quality import KEPT, MIXED_RULE, RULES, decisions
from lifecycle.curation.sidecar import counts_of, read_sidecar
from lifecycle.curation.sweep import sweep
from lifecycle.errors import DataError, LifecycleError
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig
from lifecycle.recipe.curation import PiiConfig, RepeatedLinesConfig
from tests.curation.cleaning import account_of, rows, write_documents
from tests.curation.test_language import DE, EN
from tests.curation.test_rules import CHINESE, ENGLISH

CONFIG = CurationConfig(workers=1, max_mixed_language=1)
TEXTS = [
    ENGLISH,
    "short",
    ENGLISH,
    CHINESE,
    ENGLISH + " \r\nMore text of another kind follows here, and goes on for a while.",
    "= " * 60,
]


@pytest.fixture
def stages(tmp_path: Path) -> tuple[Path, Path]:
    raw, cleaned = write_documents(tmp_path / "raw", TEXTS), tmp_path / "cleaned"
    cleaned.mkdir()
    clean_source(raw, "sample", CONFIG, cleaned, tmp_path / "run")
    return raw, cleaned


def test_the_sidecar_has_every_document_read_and_its_decision(stages: tuple[Path, Path]) -> None:
    raw, cleaned = stages
    table = read_sidecar(cleaned)
    assert table["id"].to_pylist() == [document["id"] for document in rows(raw)]
    assert table["decision"].to_pylist() == [KEPT, "too_short", KEPT, KEPT, KEPT, "symbols"]
    assert account_of(cleaned).kept == 4
    again = decisions(counts_of(table), table["lang"].to_pylist(), CONFIG)
    assert again.tolist() == [KEPT, "too_short", KEPT, KEPT, KEPT, "symbols"]


def test_a_sweep_needs_the_sidecar_only(stages: tuple[Path, Path]) -> None:
    _, cleaned = stages
    for path in cleaned.glob("documents-*"):
        path.unlink()
    steps = sweep({"sample": cleaned}, "too_short.min_characters", [0, 5, 6, 1000])
    assert [(step.kept, step.documents) for step in steps] == [(6, 6), (6, 6), (5, 6), (0, 6)]
    assert steps[2].boundary[0][1] == 5
    assert [step.kept for step in sweep({"sample": cleaned}, "symbols", [0.49, 0.51], "en")] == [4, 5]


def test_a_sweep_counts_what_the_rule_would_keep(stages: tuple[Path, Path]) -> None:
    _, cleaned = stages
    table = read_sidecar(cleaned)
    for rule in (MIXED_RULE, *RULES):
        figures = rule.figures(counts_of(table), np.array(table["lang"].to_pylist()))
        for value in (*figures, 0.5):
            kept = (~rule.broken(figures, value) & ~np.isnan(figures)).sum()
            assert sweep({"sample": cleaned}, rule.name, [value])[0].kept == kept, rule


def test_a_limit_on_mixed_languages_is_tried_out_and_explained_from_the_sidecar(tmp_path: Path) -> None:
    """It was measured at the decision and thrown away: another limit meant asking the model about all the text again."""
    texts = [f"{EN}\n" * 6 + f"{DE}\n" * lines for lines in range(4)] + ["short"]
    raw = write_documents(tmp_path / "raw", texts)
    kept = {}
    for limit in (1.0, 0.2):
        cleaned = tmp_path / str(limit)
        cleaned.mkdir()
        config = CurationConfig(workers=1, max_mixed_language=limit, quality_sets=())
        clean_source(raw, "sample", config, cleaned, tmp_path / "run")
        kept[limit] = account_of(cleaned).dropped.get("mixed_language", 0)
    for path in (tmp_path / "1.0").glob("documents-*"):
        path.unlink()
    steps = sweep({"sample": tmp_path / "1.0"}, "mixed_language.max_mixed_language", [0, 0.2, 1])
    assert [step.documents for step in steps] == [4, 4, 4]  # of a few letters nothing is known
    assert [step.documents - step.kept for step in steps] == [3, kept[0.2], 0]
    assert kept[1.0] == 0 < kept[0.2] < 3
    found = explain(rows(raw)[3]["id"], {"sample": raw}, {"sample": tmp_path / "0.2"}, None, {"sample": config})
    judged = {each.rule: each for each in found.judgements}["mixed_language"]
    assert judged.broken
    assert judged.limit == 0.2
    assert judged.figure == max(figure for _, figure in steps[1].boundary)


def test_what_a_sweep_cannot_do(stages: tuple[Path, Path], tmp_path: Path) -> None:
    _, cleaned = stages
    with pytest.raises(LifecycleError, match="no rule named 'nothing'; there are mixed_language, too_short"):
        sweep({"sample": cleaned}, "nothing", [1])
    with pytest.raises(LifecycleError, match="has the threshold min_characters"):
        sweep({"sample": cleaned}, "too_short.max_characters", [1])
    with pytest.raises(LifecycleError, match="no document with a figure for too_short in language 'fr'"):
        sweep({"sample": cleaned}, "too_short", [1], "fr")
    with pytest.raises(DataError, match="make cleaned_corpora again"):
        sweep({"sample": tmp_path}, "too_short", [1])
    unmeasured = tmp_path / "unmeasured"
    unmeasured.mkdir()
    clean_source(tmp_path / "raw", "sample", CurationConfig(workers=1), unmeasured, tmp_path / "run")
    with pytest.raises(LifecycleError, match=r"figure for mixed_language.*give `curation\.max_mixed_language`"):
        sweep({"sample": unmeasured}, "mixed_language", [0.5])


def test_a_document_is_followed_to_the_corpus(stages: tuple[Path, Path], tmp_path: Path) -> None:
    raw, cleaned = stages
    other = write_documents(tmp_path / "raw_other", [CHINESE, ENGLISH[::-1]], source="other", language="zh")
    other_cleaned = tmp_path / "cleaned_other"
    other_cleaned.mkdir()
    config = CurationConfig(workers=1, min_language_score=1)
    clean_source(other, "other", config, other_cleaned, tmp_path / "run")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    directories = {"sample": cleaned, "other": other_cleaned}
    curation = CurationConfig(heldout=HeldoutConfig(share=0.5), heldout_overlap=None, workers=1)
    build_corpus(directories, curation, corpus, tmp_path / "run")

    def follow(identifier: str):
        return explain(identifier, {"sample": raw, "other": other}, directories, corpus, {"sample": CONFIG, "other": config})

    ids = [document["id"] for document in rows(raw)]
    short = follow(ids[1])
    assert (short.decision, short.corpus) == ("too_short", "not there")
    assert next(each.rule for each in short.judgements if each.broken) == "too_short"
    assert follow(ids[4]).corpus in ("train", "heldout")
    assert [change.rule for change in follow(ids[4]).changes] == ["control_characters", "white_space"]
    chinese = follow(ids[3])
    assert chinese.corpus == "exact_duplicate"
    assert chinese.kept_instead == f"{rows(other)[0]['id']} of other"
    assert render(chinese).renderables
    with pytest.raises(LifecycleError, match="no document has the id 'x'"):
        follow("x")


def test_every_change_is_shown_before_and_after(tmp_path: Path) -> None:
    """`explain` once knew nothing of repeated lines, and named repairs without their text."""
    furniture = "本站所有内容均来自网络收集整理"
    texts = [f"{CHINESE}第{number}篇。\n{furniture}\n" for number in range(12)]
    texts[3] = f"ＡＢ＆nbsp;{texts[3]}第二段的[1]内容，电话：13812345678。\n"
    raw, cleaned = write_documents(tmp_path / "raw", texts, language="zh"), tmp_path / "cleaned"
    cleaned.mkdir()
    config = CurationConfig(
        workers=1, repeated_lines=RepeatedLinesConfig(), pii=PiiConfig(), html_remnants=True, max_mixed_language=0.5
    )
    clean_source(raw, "sample", config, cleaned, tmp_path / "run")
    document = rows(raw)[3]
    found = explain(document["id"], {"sample": raw}, {"sample": cleaned}, None, {"sample": config})
    assert [change.rule for change in found.changes] == [
        "full_width",
        "white_space",
        "repeated_lines",
        "pii_phone",
        "html_remnants",
        "white_space",
    ]
    places = {change.rule: change.places[0] for change in found.changes}
    assert places["repeated_lines"] == (f"{furniture}\n", "")
    assert places["pii_phone"][1].endswith("电话：<PHONE>。")
    assert places["full_width"][0].startswith("ＡＢ＆nbsp;")
    assert found.judgements[0].rule == "mixed_language"
    console = Console(record=True, width=200)
    console.print(render(found))
    shown = console.export_text()
    assert furniture in shown
    assert "[1]" in shown  # square brackets of the text are no markup
    other = explain(rows(raw)[5]["id"], {"sample": raw}, {"sample": cleaned}, None, {"sample": config})
    assert [change.rule for change in other.changes] == ["white_space", "repeated_lines"]
