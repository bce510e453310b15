"""Existing pairs: files with their damaged lines named, and siblings from documentation."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.errors import DataError
from lifecycle.ledger import Ledger
from lifecycle.preferences.raw import build_raw_preferences
from lifecycle.preferences.table import RAW, read_pairs
from lifecycle.recipe.alignment import SiblingAnswers
from lifecycle.recipe.preference_files import PreferenceFiles


def files(path: Path | str, tolerance: float = 0.5) -> PreferenceFiles:
    return PreferenceFiles(kind="files", name="mine", path=str(path), licence="none", tolerance=tolerance)


def build(root: Path, *sources, corpus: Path | None = None) -> tuple[dict, list, Ledger]:
    out = root / "out"
    out.mkdir()
    facts = build_raw_preferences(corpus or root, tuple(sources), out, root / "run")
    return facts, read_pairs(out / RAW), Ledger.read(out)


def test_no_source_gives_no_rows_and_says_so(tmp_path: Path):
    facts, pairs, ledger = build(tmp_path)
    assert (facts["rows"], pairs, ledger.sources) == (0, [], ())
    assert "no preference source" in facts["note"]


GOOD = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
CHAT = {**GOOD, "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "为什么？"}]}


def test_damaged_lines_are_counted_and_named(tmp_path: Path):
    lines = [
        json.dumps(GOOD),
        "{broken",
        json.dumps(CHAT, ensure_ascii=False),
        json.dumps({**GOOD, "rejected": "Because. "}),
        json.dumps({**GOOD, "chosen": 3}),
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    facts, pairs, ledger = build(tmp_path, files(tmp_path / "*.jsonl"))
    assert facts["rows"] == len(pairs) == 2
    assert [message.role for message in pairs[1].prompt] == ["system", "user"]
    (account,) = ledger.sources
    assert (account.read, account.kept, account.dropped) == (5, 2, {"invalid_json": 1, "wrong_type": 1, "equal_answers": 1})
    assert [account.samples[rule][0].id for rule in ("invalid_json", "wrong_type")] == ["pairs.jsonl:2", "pairs.jsonl:5"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "pairs.jsonl:1: "),
        ("[1]", "pairs.jsonl:1: list fit no format"),
        (json.dumps({**GOOD, "prompt": []}), "field prompt: "),
        (json.dumps({**GOOD, "prompt": [{"role": "robot", "content": "x"}]}), r"field prompt\[0\]: role 'robot' is none of"),
        (json.dumps({**GOOD, "prompt": [{"role": "assistant", "content": "x"}]}), r"the last message is the user's"),
    ],
)
def test_past_the_tolerance_the_first_line_is_named(tmp_path: Path, line: str, message: str):
    (tmp_path / "pairs.jsonl").write_text(line)
    with pytest.raises(DataError, match=message):
        build(tmp_path, files(tmp_path / "pairs.jsonl", tolerance=0.0))


def test_a_path_that_matches_nothing(tmp_path: Path):
    with pytest.raises(DataError, match=r"source mine, field path: no file matches .*nothing"):
        build(tmp_path, files(tmp_path / "nothing*.jsonl"))


def document(number: int, module: str, text: str) -> dict:
    meta = {"module": module, "qualname": f"f{number}", "kind": "function", "signature": "(a)", "deprecated": False}
    return {
        "id": f"doc{number}",
        "text": text,
        "source": "docs",
        "url": None,
        "lang": "en",
        "group": module,
        "meta": json.dumps(meta),
    }


def corpus(root: Path, documents: list[dict]) -> Path:
    (root / "corpus" / "train").mkdir(parents=True)
    names = ("id", "text", "source", "url", "lang", "group", "meta")
    schema = pa.schema([(name, pa.string()) for name in names])
    pq.write_table(pa.Table.from_pylist(documents, schema=schema), root / "corpus" / "train" / "documents-00000.parquet")
    return root / "corpus"


REST = "\n\nThe rest of the text says more about it, at some length, so that there is something to summarise from here."


def test_siblings_come_from_the_same_module(tmp_path: Path):
    documents = [document(i, f"m{i % 2}", f"Return the value number {i} of m{i % 2}." + REST) for i in range(6)]
    documents += [document(90, "alone", "Return what stands alone in its module." + REST), document(91, "m0", "short")]
    facts, pairs, ledger = build(
        tmp_path, SiblingAnswers(kind="sibling_answers", sources=("docs",)), corpus=corpus(tmp_path, documents)
    )
    assert facts["rows"] == 6
    for pair in pairs:
        assert pair.chosen != pair.rejected
        assert pair.chosen.split()[-1] == pair.rejected.split()[-1]
        assert pair.chosen not in pair.prompt[0].content
        assert pair.chosen_score == 1.0
        assert pair.rejected_score is not None
        assert pair.rejected_score < 1
    (account,) = ledger.sources
    assert (account.read, account.kept, account.dropped) == (8, 6, {"no_sibling": 1, "no_summary": 1})


def test_a_source_that_is_not_in_the_corpus(tmp_path: Path):
    with pytest.raises(DataError, match="'other' has no document in the training text"):
        build(
            tmp_path,
            SiblingAnswers(kind="sibling_answers", sources=("other",)),
            corpus=corpus(tmp_path, [document(1, "m", "x")]),
        )
