"""Conversations from files: every format into one, and records that do not fit counted by their reason, never guessed at."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import get_args

import pytest

from lifecycle.errors import DataError
from lifecycle.instructions.files import file_conversations
from lifecycle.instructions.formats import FORMATS
from lifecycle.recipe.instruction_files import InstructionFiles, InstructionFormat
from tests.shared_data import shared

ASKED = [("user", "Hi"), ("assistant", "Hello"), ("user", "And?"), ("assistant", "Nothing")]
TOOLS = [{"name": "add", "parameters": {}}]
RECORDS = {
    "seed_tasks": {"instruction": "Hi", "instances": [{"input": "", "output": "Hello"}]},
    "alpaca": {"instruction": "And?", "input": "<noinput>", "response": "Nothing", "history": [["Hi", "Hello"]]},
    "messages": {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    "chat_rounds": {"id": 0, "chat_rounds": [{"role": "human", "content": "Hi"}, {"role": "bot", "content": "Hello"}]},
    "message_list": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
    ],
    "human_assistant": {"conversation": [{"human": "Hi", "assistant": "Hello"}, {"human": "And?", "assistant": "Nothing"}]},
    "data": {"id": "7", "score": "4.5\n\n", "data": ["Hi", "Hello", "And?", "Nothing"]},
    "dialogue": ["Hi", "Hello", "And?", "Nothing"],
    "moss": {
        "meta_instruction": "",
        "chat": {
            "turn_2": {
                "Human": "<|Human|>: And?<eoh>\n",
                "MOSS": "<|MOSS|>: Nothing<eom>\n",
                "Commands": "<|Commands|>: None<eoc>",
            },
            "turn_1": {"Human": "<|Human|>: Hi<eoh>\n", "MOSS": "<|MOSS|>: Hello<sup><|1|></sup><eom>\n"},
        },
    },
    "question_answer": {"title": "Hi", "ask": "", "answer": "Hello"},
}
HELLO = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
GOOD = json.dumps({"messages": HELLO, "task": "greeting", "difficulty": 2}) + "\n\n"


def _config(path: Path | str, tolerance: float = 0.0, **given) -> InstructionFiles:
    return InstructionFiles(kind="files", name="mine", path=str(path), licence="own", tolerance=tolerance, **given)


def _turns(conversation) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in conversation.messages]


def test_the_recipe_may_name_every_format_and_no_other():
    assert get_args(InstructionFormat) == tuple(each.name for each in FORMATS) == tuple(RECORDS)


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("named", [False, True])
def test_a_format_is_recognised_and_read(tmp_path: Path, name: str, named: bool):
    (tmp_path / "a.jsonl").write_text(json.dumps(RECORDS[name]))
    config = _config(tmp_path, format=name if named else None)
    (conversation,), ledger = file_conversations(config)
    turns = _turns(conversation)
    assert turns in (ASKED, ASKED[:2])
    assert ledger.notes["formats"] == {name: 1}
    assert conversation.difficulty == (4.5 if name == "data" else None)


def test_the_same_rows_read_the_same_in_every_container(tmp_path: Path):
    rows = [{"instruction": f"Frage {number} 语言", "output": "好的"} for number in range(30)]
    array, lines = json.dumps(rows), "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    csv = "instruction,output\n" + "\n".join(f"{row['instruction']},{row['output']}" for row in rows)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for number, row in enumerate(rows):
            content = json.dumps(row).encode()
            info = tarfile.TarInfo(f"{number:02}.json")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    contents = {
        "array.json": array.encode(),
        "splits.json": json.dumps({"train": rows[:20], "test": rows[20:]}).encode(),
        "lines.json": lines.encode(),
        "lines.jsonl.gz": gzip.compress(lines.encode()),
        "table.csv": csv.encode("gb18030"),
        "each.tar.gz": packed.getvalue(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        conversations, ledger = file_conversations(_config(tmp_path / name, language="zh"))
        turns = [_turns(conversation) for conversation in conversations]
        assert turns == [[("user", row["instruction"]), ("assistant", row["output"])] for row in rows], name
        assert ledger.read == ledger.kept == 30


def test_each_file_of_a_directory_has_a_format_of_its_own(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text(json.dumps(RECORDS["data"]))
    (tmp_path / "b.jsonl").write_text(json.dumps(RECORDS["alpaca"]))
    conversations, ledger = file_conversations(_config(tmp_path))
    assert [_turns(conversation) for conversation in conversations] == [ASKED, ASKED]
    assert ledger.notes["formats"] == {"alpaca": 1, "data": 1}


CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
RESULT = "<tool_response>\n1\n</tool_response>"
WITH_TOOLS = {
    "openai": [
        {"role": "user", "content": "Add."},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": '{"a": 1}'}}]},
        {"role": "tool", "content": "1"},
        {"role": "assistant", "content": "It is 1."},
    ],
    "sharegpt": [
        {"from": "human", "value": "Add."},
        {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 1}}'},
        {"from": "observation", "value": "1"},
        {"from": "gpt", "value": "It is 1."},
    ],
    "parts": [
        {"role": "user", "content": "Add."},
        {"role": "assistant", "content": [{"type": "tool_call", "value": '{"name": "add", "arguments": {"a": 1}}'}]},
        {"role": "tool", "content": [{"type": "text", "value": "1"}]},
        {"role": "assistant", "content": "It is 1."},
    ],
}


@pytest.mark.parametrize("dialect", WITH_TOOLS)
def test_calls_of_tools_are_kept_and_alike_in_every_dialect(tmp_path: Path, dialect: str):
    """A call that is lost leaves an answer that comes from nowhere; three forms of one call are three to learn."""
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": WITH_TOOLS[dialect], "tools": json.dumps(TOOLS)}))
    ((conversation,), _) = file_conversations(_config(tmp_path))
    system, *turns = _turns(conversation)
    assert system[0] == "system"
    assert '<tools>\n{"name": "add", "parameters": {}}\n</tools>' in system[1]
    assert turns == [("user", "Add."), ("assistant", CALL), ("user", RESULT), ("assistant", "It is 1.")]


def test_a_source_names_the_task_of_records_that_name_none(tmp_path: Path):
    """Multi-task fine-tuning takes a task's files as one source."""
    (tmp_path / "a.jsonl").write_text(GOOD)
    (tmp_path / "b.jsonl").write_text('{"instruction": "x", "output": "y", "difficulty": 4}')
    config = _config(tmp_path).model_copy(update={"task": "translation"})
    conversations, _ = file_conversations(config)
    assert [conversation.task for conversation in conversations] == ["greeting", "translation"]
    assert [conversation.difficulty for conversation in conversations] == [2.0, 4.0]


@pytest.mark.parametrize(
    ("line", "rule", "problem"),
    [
        ("{not json", "invalid_json", r"a\.jsonl:7: invalid json"),
        ('{"text": "x"}', "unknown_format", r"a\.jsonl:7: the fields text fit no format of messages"),
        ('{"messages": []}', "wrong_type", r"a\.jsonl:7: messages: field messages: must be a list"),
        (
            '{"messages": [{"role": "robot", "content": "x"}]}',
            "unknown_role",
            r"field messages\[0\]: role 'robot' is none of",
        ),
        ('{"messages": [{"role": "user"}]}', "missing_field", r"field messages\[0\]\.content"),
        (
            '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
            "not_text",
            "of type 'image_url' is not text",
        ),
        (
            '{"messages": [{"role": "user", "content": "x"}], "difficulty": "hard"}',
            "wrong_type",
            "field difficulty: .*finite",
        ),
        (
            '{"messages": [{"role": "user", "content": "x"}], "task": 3}',
            "wrong_type",
            "field task: must be a string, is int",
        ),
    ],
)
def test_a_record_that_does_not_fit_is_counted_with_its_reason(tmp_path: Path, line: str, rule: str, problem: str):
    (tmp_path / "a.jsonl").write_text(GOOD * 3 + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=problem):
        file_conversations(_config(tmp_path / "a.jsonl"))
    conversations, ledger = file_conversations(_config(tmp_path / "a.jsonl", tolerance=0.3))
    assert [(each.task, each.difficulty) for each in conversations] == [("greeting", 2.0)] * 3
    assert ledger.dropped == {rule: 1}
    assert ledger.samples[rule][0].id == "a.jsonl:7"


def test_half_a_surrogate_pair_costs_its_record_and_not_the_array(tmp_path: Path):
    rows = [json.dumps(RECORDS["data"]), '{"id": "8", "data": ["\\ud83d", "x"]}', json.dumps(RECORDS["data"])]
    (tmp_path / "a.json").write_text(f"[{', '.join(rows)}]")
    conversations, ledger = file_conversations(_config(tmp_path, tolerance=0.5))
    assert len(conversations) == 2
    assert ledger.dropped == {"invalid_json": 1}
    assert ledger.samples["invalid_json"][0].id == "a.json:2"


def test_a_file_of_no_known_format_says_what_it_has(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"premise": "x", "hypothesis": "y"}')
    with pytest.raises(DataError, match=r"a\.jsonl:1: the fields premise, hypothesis fit no format of seed_tasks, alpaca"):
        file_conversations(_config(tmp_path))


def test_a_path_that_matches_nothing_or_holds_nothing_names_the_source(tmp_path: Path):
    with pytest.raises(DataError, match=r"source mine, field path: no file matches"):
        file_conversations(_config(tmp_path / "absent*.jsonl"))
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="holds no record"):
        file_conversations(_config(tmp_path / "empty.jsonl"))


def test_a_compressed_file_that_ends_early_is_damage_at_its_place(tmp_path: Path):
    content = gzip.compress(GOOD.encode() * 200)
    (tmp_path / "a.jsonl.gz").write_bytes(content[:-9])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz:\d+: truncated file"):
        file_conversations(_config(tmp_path))


SETS = [
    ("belle_zh_seed_tasks.json", "seed_tasks", 175),
    ("cdial_toy.json", "dialogue", 1400),
    ("gogpt_belle_1k.json", "alpaca", 1000),
    ("lf_alpaca_en_demo.json", "alpaca", 999),
    ("lf_alpaca_zh_demo.json", "alpaca", 1000),
    ("lf_glaive_toolcall_en_demo.json", "sharegpt", 300),
    ("lf_glaive_toolcall_zh_demo.json", "sharegpt", 300),
    ("lf_identity.json", "alpaca", 91),
    ("lf_reason_tool_use_demo_50.jsonl", "messages", 50),
    ("lf_v1_sft_demo.jsonl", "messages", 500),
    ("medical_internal_5000-6000.csv.gz", "question_answer", 7644),
    ("medical_sft_zh_1k.jsonl", "sharegpt", 1000),
    ("mftcoder_chat_rounds_sample.jsonl", "chat_rounds", 1),
    ("moss_conversations.tar.gz", "moss", 240),
    ("phasedsft_alpaca52k_stage3.jsonl.gz", "data", 6889),
    ("sharegpt_zh_1k.jsonl.gz", "sharegpt", 1000),
    ("stanford_seed_tasks.jsonl", "seed_tasks", 175),
    ("xtuner_openai_messages.jsonl", "message_list", 128),
]
NO_SET = "phasedsft_alpaca52k_meta.json.txt"
"""A Python dict of file names."""


@pytest.mark.parametrize(("name", "kind", "rows"), SETS)
def test_public_sets_read_whole(name: str, kind: str, rows: int):
    conversations, ledger = file_conversations(_config(shared(f"sft/{name}"), language="zh"))
    assert (ledger.read, ledger.kept, len(conversations)) == (rows, rows, rows)
    assert ledger.notes["formats"] == {kind: rows}
    assert all(conversation.messages for conversation in conversations)


def test_every_public_set_is_in_the_table():
    assert {path.name for path in shared("sft").iterdir()} == {name for name, _, _ in SETS} | {NO_SET}
    with pytest.raises(DataError, match="cannot be used"):
        file_conversations(_config(shared(f"sft/{NO_SET}")))
