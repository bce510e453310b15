"""Preferences of every public format: who was preferred is read, ties are no pairs, and what does not fit is counted."""

import json
from pathlib import Path
from typing import get_args

import pytest

from lifecycle.errors import DataError
from lifecycle.preferences.files import file_preferences
from lifecycle.preferences.formats import FORMATS
from lifecycle.recipe.preference_files import PreferenceFiles, PreferenceFormat
from tests.shared_data import shared

USER = [{"role": "user", "content": "Why?"}]
YES, NO = [{"role": "assistant", "content": "Because."}], [{"role": "assistant", "content": "No."}]
PAIRS = {
    "message_pair": [
        {"chosen_messages": USER + YES, "rejected_messages": USER + NO},
        {"chosen": USER + YES, "rejected": USER + NO},
    ],
    "conversation_pair": [
        {"conversations": [{"from": "human", "value": "Why?"}], "chosen": "Because.", "rejected": "No."},
        {"conversations": USER, "chosen": {"from": "gpt", "value": "Because."}, "rejected": {"from": "gpt", "value": "No."}},
    ],
    "prompt_pair": [
        {"prompt": "Why?", "chosen": "Because.", "rejected": "No."},
        {"question": "Why?", "response_j": "Because.", "response_k": "No."},
        {"prompt": USER, "chosen": YES, "rejected": NO},
        {"prompt": "Why?", "chosen": USER + YES, "rejected": USER + NO},
    ],
    "transcripts": [{"chosen": "\n\nHuman: Why?\n\nAssistant: Because.", "rejected": "\n\nHuman: Why?\n\nAssistant: No."}],
    "scored_outputs": [
        {"instruction": "Why?", "output_1": "No.", "output_2": "Because.", "preference": 1.9},
        {"instruction": "Why?", "output_1": "Because.", "output_2": "No.", "preference": 1.0},
    ],
    "votes": [
        {"instruction": "Why?", "input": "", "response1": "No.", "response2": "Because."}
        | {"annotator1": 2, "annotator2": 0, "annotator3": 2}
    ],
}
LABELS = [
    {"messages": USER + YES, "label": True},
    {"prompt": "Why?", "completion": "Because.", "label": True},
]


def _read(path: Path, tolerance: float = 0.0, **given):
    config = PreferenceFiles(kind="files", name="mine", path=str(path), licence="none", tolerance=tolerance, **given)
    return file_preferences(config)


def test_the_recipe_may_name_every_format_and_no_other():
    assert get_args(PreferenceFormat) == tuple(each.name for each in FORMATS) == (*PAIRS, "labels")


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, rows in PAIRS.items() for row in rows])
@pytest.mark.parametrize("named", [False, True])
def test_a_pair_is_recognised_and_the_preferred_answer_is_chosen(tmp_path: Path, name: str, row: dict, named: bool):
    (tmp_path / "a.json").write_text(json.dumps([row]))
    (pair,), labels, ledger = _read(tmp_path, format=name if named else None)
    assert [(message.role, message.content) for message in pair.prompt] == [("user", "Why?")]
    assert (pair.chosen, pair.rejected) == ("Because.", "No.")
    assert (labels, ledger.notes["formats"]) == ([], {name: 1})


@pytest.mark.parametrize("row", LABELS)
def test_labelled_answers_are_read_apart_from_pairs(tmp_path: Path, row: dict):
    (tmp_path / "a.json").write_text(json.dumps([row, row | {"label": False}]))
    pairs, labels, ledger = _read(tmp_path)
    assert pairs == []
    assert [(label.answer, label.wanted) for label in labels] == [("Because.", True), ("Because.", False)]
    assert ledger.kept == 2


@pytest.mark.parametrize(
    ("rule", "row"),
    [
        ("tie", PAIRS["votes"][0] | {"annotator1": 1}),
        ("tie", PAIRS["scored_outputs"][0] | {"preference": 1.5}),
        ("empty_message", PAIRS["prompt_pair"][0] | {"rejected": " "}),
        ("equal_answers", PAIRS["prompt_pair"][0] | {"rejected": "Because. "}),
    ],
)
def test_a_sound_record_that_prefers_nothing_is_dropped_but_is_no_damage(tmp_path: Path, rule: str, row: dict):
    name = next(name for name, rows in PAIRS.items() if rows[0].keys() == row.keys())
    (tmp_path / "a.json").write_text(json.dumps([PAIRS[name][0], row]))
    pairs, _, ledger = _read(tmp_path, tolerance=0.0)
    assert len(pairs) == 1
    assert ledger.dropped == {rule: 1}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"chosen": "\n\nHuman: Why?\n\nAssistant: A", "rejected": "\n\nHuman: What?\n\nAssistant: B"}, "differ before"),
        ({"chosen_messages": USER + YES, "rejected_messages": USER}, "differ before|must end with the assistant"),
        ({"prompt": "Why?", "chosen": [{"role": "user", "content": "What?"}, *YES], "rejected": NO}, "do not begin with"),
        ({"messages": USER, "label": True}, "the last message is the assistant's"),
        ({"messages": USER + YES, "label": 1}, "field label: must be true or false"),
        ({"instruction": "Why?", "output_1": "A", "output_2": "B", "preference": 3}, "from 1 to 2"),
    ],
)
def test_a_record_that_does_not_fit_is_named(tmp_path: Path, row: dict, message: str):
    (tmp_path / "a.json").write_text(json.dumps([row]))
    with pytest.raises(DataError, match=rf"a\.json:1: .*({message})"):
        _read(tmp_path)


SETS = [
    ("alpaca_eval_gemma7bit_vs_gpt4turbo.json.gz", "scored_outputs", 805, 804),
    ("hh_rlhf_harmless_base_test.jsonl.gz", "transcripts", 2312, 2303),
    ("lf_dpo_en_demo.json.gz", "conversation_pair", 300, 300),
    ("lf_dpo_zh_demo.json.gz", "conversation_pair", 300, 300),
    ("lf_kto_en_demo.json.gz", "labels", 300, 300),
    ("lf_v1_dpo_demo.jsonl", "message_pair", 10, 10),
    ("medicalgpt_dpo_zh_500.jsonl.gz", "conversation_pair", 500, 500),
    ("medicalgpt_toolcall_dpo_zh.jsonl", "conversation_pair", 11, 11),
    ("pandalm_testset_v1.json.gz", "votes", 999, 836),
    ("torchtune_stack_exchange_paired_tiny.json", "prompt_pair", 25, 25),
]


@pytest.mark.parametrize(("name", "kind", "rows", "kept"), SETS)
def test_public_sets_read_within_one_per_cent(name: str, kind: str, rows: int, kept: int):
    pairs, labels, ledger = _read(shared(f"pref/{name}"), tolerance=0.01)
    assert (ledger.read, ledger.kept, len(pairs) + len(labels)) == (rows, kept, kept)
    assert ledger.notes["formats"] == {kind: kept}


def test_every_public_set_is_in_the_table():
    assert {path.name for path in shared("pref").iterdir()} == {name for name, *_ in SETS}
