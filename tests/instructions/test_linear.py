"""The linear scorer: learnt offline from conversations labelled good and bad, stored without anything that is run."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Conversation, Message
from lifecycle.instructions.linear import linear_scores
from lifecycle.recipe.instruction_files import InstructionFiles
from lifecycle.recipe.instruction_scores import LinearScores

WORDS = ["path", "file", "value", "returns", "name", "the", "function", "object", "list", "string", "number", "class"]


def _answer(number: int, bad: bool) -> str:
    words = random.Random(number).choices(WORDS, k=12)
    return " ".join(word[::-1] if bad else word for word in words) + "."


def labelled_files(directory: Path, name: str, bad: bool, count: int = 60) -> InstructionFiles:
    path = directory / f"{name}.jsonl"
    rows = [{"instruction": f"What is {number}?", "output": _answer(number + 1000 * bad, bad)} for number in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return InstructionFiles(kind="files", name=name, path=str(path), language="en", licence="test")


def _conversation(number: int, bad: bool, language: str = "en") -> Conversation:
    messages = (
        Message(role="user", content=f"What is {number}?" if language == "en" else "这是什么意思？请你详细说明一下。"),
        Message(role="assistant", content=_answer(number, bad) if language == "en" else "这是一个函数，它返回文件的路径。"),
    )
    name = f"{number}"
    return Conversation(id=name, source="s", task="t", group=name, messages=messages, language=language, document_id=name)


def test_it_tells_new_conversations_apart_and_leaves_other_languages_alone(tmp_path: Path):
    config = LinearScores(
        good=(labelled_files(tmp_path, "good", False),), bad=(labelled_files(tmp_path, "bad", True),), bucket_bits=12
    )
    rows = [_conversation(5000 + number, bad=number % 2 == 1) for number in range(40)] + [_conversation(1, False, "zh")]
    outs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        scores, facts = linear_scores(rows, config, tmp_path / name, tmp_path / "run")
        outs.append({path.name: path.read_bytes() for path in (tmp_path / name / "linear").iterdir()})
    assert min(scores[0:40:2]) > max(scores[1:40:2])
    assert np.isnan(scores[40])
    assert facts["en_auc"] == 1.0
    assert outs[0] == outs[1], "the same samples give the same model"
    assert set(outs[0]) == {"model.json", "weights-en.npy"}


def test_too_few_samples_are_refused(tmp_path: Path):
    config = LinearScores(
        good=(labelled_files(tmp_path, "good", False, 5),), bad=(labelled_files(tmp_path, "bad", True, 5),)
    )
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"instructions\.scores\.linear: language en has 5 positive samples"):
        linear_scores([_conversation(1, False)], config, tmp_path / "out", tmp_path / "run")
