"""Conversations from files: both record forms, and damage that names file, line and field."""

import gzip
from pathlib import Path

import pytest

from lifecycle.errors import DataError
from lifecycle.instructions.files import file_conversations
from lifecycle.recipe.alignment import InstructionFiles
from tests.shared_data import shared

GOOD = (
    '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "task": "greeting"}\n'
    "\n"
    '{"instruction": "Translate.", "input": "语言", "output": "language"}\n'
)


def _config(path: Path | str, tolerance: float = 0.0) -> InstructionFiles:
    return InstructionFiles(kind="files", name="mine", path=str(path), licence="own", tolerance=tolerance)


def test_both_record_forms_are_read(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text(GOOD, encoding="utf-8")
    conversations, ledger = file_conversations(_config(tmp_path))
    assert [conversation.task for conversation in conversations] == ["greeting", "general"]
    assert conversations[1].chat() == [
        {"role": "user", "content": "Translate.\n\n语言"},
        {"role": "assistant", "content": "language"},
    ]
    assert (ledger.read, ledger.kept) == (2, 2)


def test_a_source_names_the_task_of_records_that_name_none(tmp_path: Path):
    """Multi-task fine-tuning takes a task's files as one source."""
    (tmp_path / "a.jsonl").write_text(GOOD + '{"instruction": "x", "output": "y", "difficulty": 4}', encoding="utf-8")
    config = _config(tmp_path).model_copy(update={"task": "translation"})
    conversations, _ = file_conversations(config)
    assert [conversation.task for conversation in conversations] == ["greeting", "translation", "translation"]
    assert [conversation.difficulty for conversation in conversations] == [None, None, 4.0]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{not json", r"a\.jsonl:4: Expecting property name"),
        ("[1]", r"a\.jsonl:4: a record is a JSON object, this is list"),
        ('{"text": "x"}', r"a\.jsonl:4: needs the fields messages, or instruction and output"),
        ('{"instruction": "x", "output": 3}', r"a\.jsonl:4: field output: must be a string, is int"),
        (
            '{"instruction": "x", "output": "y", "difficulty": "hard"}',
            r"a\.jsonl:4: field difficulty: must be a finite number",
        ),
        ('{"messages": []}', r"a\.jsonl:4: field messages: must be a list"),
        ('{"messages": [{"role": "bot", "content": "x"}]}', r"a\.jsonl:4: field messages\[0\]\.role: must be one of"),
    ],
)
def test_a_damaged_line_names_file_line_and_field(tmp_path: Path, line: str, problem: str):
    (tmp_path / "a.jsonl").write_text(GOOD + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=problem):
        file_conversations(_config(tmp_path / "a.jsonl"))


def test_damage_within_the_tolerance_is_counted_and_sampled(tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes(GOOD.encode() + b"\xff\xfe broken\n")
    conversations, ledger = file_conversations(_config(tmp_path / "*.jsonl", tolerance=0.5))
    assert len(conversations) == 2
    assert ledger.dropped == {"damaged_line": 1}
    assert ledger.samples["damaged_line"][0].id == "a.jsonl:4"


def test_a_path_that_matches_nothing_or_holds_nothing_names_the_source(tmp_path: Path):
    with pytest.raises(DataError, match=r"source mine, field path: no file matches"):
        file_conversations(_config(tmp_path / "absent*.jsonl"))
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="holds no record"):
        file_conversations(_config(tmp_path / "empty.jsonl"))


def test_a_compressed_file_that_ends_early_is_damage_at_its_place(tmp_path: Path):
    content = gzip.compress(GOOD.encode() * 200)
    (tmp_path / "a.jsonl.gz").write_bytes(content)
    assert len(file_conversations(_config(tmp_path))[0]) == 400
    (tmp_path / "a.jsonl.gz").write_bytes(content[:-9])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz:\d+: the file cannot be read further"):
        file_conversations(_config(tmp_path))


def test_real_files_of_the_machine_are_read():
    conversations, ledger = file_conversations(_config(shared("sft/gogpt_belle_1k.json")))
    assert len(conversations) == ledger.kept == ledger.read > 0
    assert all(conversation.messages[-1].role == "assistant" for conversation in conversations)
