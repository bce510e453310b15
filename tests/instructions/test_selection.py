"""The stage `selected_instructions`: nothing is lost, quotas hold, and what is kept does not depend on the file's order."""

import json
import re
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.errors import DataError, RecipeError
from lifecycle.identities import instructions as instructions_identity
from lifecycle.instructions.choices import DUPLICATE, NOT_DRAWN, OUT_OF_BAND
from lifecycle.instructions.conversations import Conversation, Message, read_conversations, write_conversations
from lifecycle.instructions.embeddings import ABOUT, FILE, MAP, unit_rows
from lifecycle.instructions.map_page import PAGE
from lifecycle.instructions.near_threshold import FILE as PAIRS
from lifecycle.instructions.quality import FILE as SCORES
from lifecycle.instructions.quality import SCHEMA as SCORES_SCHEMA
from lifecycle.instructions.quotas import KEPT
from lifecycle.instructions.selection import build_selection, read_selection
from lifecycle.ledger import Ledger
from lifecycle.recipe.selection import ByScore, Quotas, Selection, SemanticDuplicates
from lifecycle.stages import SELECTED_INSTRUCTIONS, SFT_MEMMAP, stage_of
from tests.tracking.chain import small_recipe

SIZE = 60
HOSTILE = '</script><img src=x onerror="alert(1)"> & 你好'
CONFIG = Selection(keep=20, by=ByScore(column="difficulty"), clusters=4, duplicates=SemanticDuplicates(min_similarity=0.999))


def _conversation(number: int) -> Conversation:
    question = HOSTILE if number == 7 else f"What is {number}?"
    messages = (Message(role="user", content=question), Message(role="assistant", content="A number. " * (number % 9 + 1)))
    return Conversation(
        id=f"c{number:02}",
        source=f"source_{number % 3}",
        task="tools" if number % 10 == 0 else "general",
        group=f"g{number}",
        messages=messages,
        language="zh" if number % 4 == 0 else "en",
        document_id=f"c{number}",
    )


ROWS = [_conversation(number) for number in range(SIZE)]


def _inputs(directory: Path, order: np.ndarray) -> tuple[Path, Path, Path]:
    """Conversations, embeddings in which each tenth repeats the one before it, and scores with one missing."""
    instructions, embeddings, scores = (directory / name for name in ("instructions", "embeddings", "scores"))
    for each in (instructions, embeddings, scores):
        each.mkdir(parents=True)
    random = np.random.default_rng(1)
    vectors = unit_rows(random.normal(size=(SIZE, 6)) + 2 * np.eye(4, 6)[np.arange(SIZE) % 4])
    vectors[9::10] = vectors[8::10]
    difficulty = random.permutation(SIZE) / SIZE
    difficulty[3] = np.nan
    rows = [ROWS[index] for index in order]
    write_conversations(instructions, rows)
    np.save(embeddings / FILE, vectors[order].astype(np.float16))
    np.save(embeddings / MAP, random.normal(size=(SIZE, 2)).astype(np.float32)[order])
    (embeddings / ABOUT).write_bytes(orjson.dumps({"label": "made for a test", "dimensions": 6}))
    columns = {name: [None] * SIZE for name in SCORES_SCHEMA.names}
    columns |= {"id": [row.id for row in rows], "difficulty": pa.array(difficulty[order], from_pandas=True)}
    pq.write_table(pa.Table.from_pydict(columns, schema=SCORES_SCHEMA), scores / SCORES)
    return instructions, embeddings, scores


def _select(directory: Path, config: Selection, order: np.ndarray | None = None):
    inputs = _inputs(directory, np.arange(SIZE) if order is None else order)
    (directory / "out").mkdir()
    facts = build_selection(*inputs, config, directory / "out", directory / "run")
    return facts, read_selection(directory / "out"), directory / "out"


def _decisions(table: pa.Table) -> dict[str, str]:
    return dict(zip(table["id"].to_pylist(), table["decision"].to_pylist(), strict=True))


def test_every_conversation_is_kept_or_dropped_under_a_rule_and_the_best_stay(tmp_path: Path):
    config = CONFIG.model_copy(update={"quotas": Quotas(cluster_exponent=None)})
    facts, table, out = _select(tmp_path, config)
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == [row.id for row in ROWS]
    kept = [row for row in rows if row["decision"] == KEPT]
    assert [each.id for each in read_conversations(out)] == [row["id"] for row in kept]
    assert len(kept) == facts["rows"] == 20
    low = [row["score"] for row in rows if row["decision"] == "low_score" and row["score"] is not None]
    assert min(row["score"] for row in kept) > max(low)
    ledgers = Ledger.read(out).sources
    assert sum(each.read for each in ledgers) == SIZE
    assert sum(sum(each.dropped.values()) for each in ledgers) == SIZE - 20
    by_id = {row["id"]: row for row in rows}
    duplicates = [row for row in rows if row["decision"] == DUPLICATE]
    assert len(duplicates) == SIZE // 10
    for row in duplicates:
        better = by_id[row["nearest_id"]]
        assert better["decision"] != DUPLICATE
        assert better["score"] > row["score"]
        assert row["similarity"] > 0.999
    pairs = pq.read_table(out / PAIRS).to_pylist()
    assert [pair["duplicate"] for pair in pairs] == sorted((pair["duplicate"] for pair in pairs), reverse=True)
    apart = [pair["similarity"] for pair in pairs if not pair["duplicate"]]
    assert len(apart) == 12
    assert max(apart) < 0.999


def test_languages_and_tasks_come_in_the_shares_asked_for(tmp_path: Path):
    quotas = Quotas(languages={"zh": 0.5, "en": 0.5}, tasks={"tools": 0.1})
    facts, _, _ = _select(tmp_path, CONFIG.model_copy(update={"quotas": quotas, "duplicates": None}))
    assert facts["languages"]["kept"] == {"en": 10, "zh": 10}
    assert facts["tasks"]["kept"]["tools"] == 2
    assert {"language_quota", "cluster_quota"} <= set(facts["dropped"])


def test_what_is_kept_does_not_depend_on_the_order_of_the_file(tmp_path: Path):
    _, table, _ = _select(tmp_path / "a", CONFIG)
    _, other, _ = _select(tmp_path / "b", CONFIG, np.random.default_rng(8).permutation(SIZE))
    assert _decisions(other) == _decisions(table)


def test_the_control_draws_at_random_and_differs_in_nothing_else(tmp_path: Path):
    _, table, _ = _select(tmp_path / "a", CONFIG)
    facts, drawn, _ = _select(tmp_path / "b", CONFIG.model_copy(update={"random": True}))
    ours, theirs = _decisions(table), _decisions(drawn)
    assert {key for key, rule in ours.items() if rule == DUPLICATE} == {
        key for key, rule in theirs.items() if rule == DUPLICATE
    }
    assert table["cluster"] == drawn["cluster"]
    assert {key for key, rule in ours.items() if rule == KEPT} != {key for key, rule in theirs.items() if rule == KEPT}
    assert (facts["rows"], facts["by"]) == (20, "a random draw")
    assert NOT_DRAWN in facts["dropped"]


def test_scores_outside_the_band_are_dropped_first_and_missing_ones_come_last(tmp_path: Path):
    by = ByScore(column="difficulty", order="lowest", min=0.2, max=0.9)
    _, table, _ = _select(tmp_path / "a", CONFIG.model_copy(update={"by": by, "keep": 0.5}))
    for row in table.to_pylist():
        outside = row["score"] is not None and not 0.2 <= row["score"] <= 0.9
        assert (row["decision"] == OUT_OF_BAND) == outside
        assert row["id"] != "c03" or row["decision"] != KEPT
    facts, _, _ = _select(tmp_path / "b", CONFIG.model_copy(update={"by": ByScore(column="difficulty", min=2)}))
    assert facts["rows"] == 1, "the one without a score is in no band, and out of none"
    (tmp_path / "none").mkdir()
    nothing = CONFIG.model_copy(update={"by": ByScore(column="turns", min=5)})
    with pytest.raises(DataError, match="none is left"):
        build_selection(tmp_path / "b/instructions", tmp_path / "b/embeddings", None, nothing, tmp_path / "none", tmp_path)


def test_the_page_holds_every_text_and_none_of_it_can_leave_its_element(tmp_path: Path):
    _select(tmp_path, CONFIG)
    page = (tmp_path / "run" / PAGE).read_text(encoding="utf-8")
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    held = json.loads(data)
    assert held["question"][7] == HOSTILE
    assert len(held["x"]) == len(held["kinds"]["cluster"]["of"]) == SIZE
    assert page.count("</script>") == page.count("<script") == 2
    assert "<img" not in page
    assert not re.search(r"https?://", page.replace(data, ""))
    assert len(list((tmp_path / "run" / "plots").glob("data_map_by_*.png"))) == 2


def test_a_recipe_that_selects_trains_on_what_was_selected(tmp_path: Path):
    def changed(extra: str):
        return small_recipe(tmp_path, lambda text: text.replace("  max_tokens: 64", f"  max_tokens: 64\n{extra}"))

    embeddings = "  embeddings: {kind: checkpoint}\n"
    plain, chosen = changed(""), changed(embeddings + "  selection: {by: {column: turns}}")
    assert stage_of(plain, SELECTED_INSTRUCTIONS.name) is None
    assert stage_of(plain, SFT_MEMMAP.name) == SFT_MEMMAP
    memmap = stage_of(chosen, SFT_MEMMAP.name)
    assert memmap is not None
    assert memmap.inputs == ("selected_instructions", "tokenizer")
    assert instructions_identity(plain, None) == instructions_identity(chosen, None)
    measured = stage_of(
        changed(embeddings + "  scores: {}\n  selection: {by: {column: difficulty}}"), SELECTED_INSTRUCTIONS.name
    )
    assert measured is not None
    assert measured.inputs == ("instructions", "instruction_embeddings", "instruction_scores")
    with pytest.raises(RecipeError, match="compares conversations by"):
        changed("  selection: {by: {column: turns}}")
    with pytest.raises(RecipeError, match="difficulty is measured"):
        changed(embeddings + "  selection: {by: {column: difficulty}}")
    with pytest.raises(RecipeError, match=r"instructions\.scores\.judge"):
        changed(embeddings + "  scores: {}\n  selection: {by: {column: judge}}")
