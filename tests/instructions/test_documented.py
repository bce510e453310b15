"""Conversations from documentation strings: what is asked can be answered from what is shown."""

import re
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from lifecycle.errors import DataError
from lifecycle.instructions.conversations import read_conversations
from lifecycle.instructions.docstrings import DocumentedObject, ask, excerpt, first_sentence
from lifecycle.instructions.prompts import evaluation_prompt, prompt
from lifecycle.instructions.raw import build_raw_instructions
from lifecycle.ledger import Ledger
from lifecycle.recipe.alignment import DocumentedObjects, InstructionsConfig, TaskShares
from tests.tokens.small_corpus import hashes

CONFIG = InstructionsConfig(
    sources=(DocumentedObjects(kind="documented_objects", sources=("docs",), max_conversations=600),)
)
NUMPY = """Compute the thing. It is slow, e.g. on big input.

Parameters
----------
a, b : int, optional
    The numbers to add.
axis : {0, 1}
    Along which axis to add. Default 0.

Returns
-------
out : ndarray
    The sum of both. It is new.

Raises
------
ValueError
    If `a` is negative."""
GOOGLE = """Compute the thing.

Args:
    count (int): How often to try again.
    name: What the thing is called.

Returns:
    dict: The result by name.

Raises:
    KeyError: When there is no such name."""
SPHINX = """Compute the thing.

:param int count: How often to try again.
:returns: The result by name.
:raises KeyError: When there is no such name."""


def _thing(text: str, kind: str = "function", deprecated: bool = False) -> DocumentedObject:
    return DocumentedObject("id", "g", "docs", "en", text, "a.b", "f", kind, "(a, b)", deprecated)


@pytest.fixture(scope="module")
def built(corpus: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("raw")
    facts = build_raw_instructions(corpus, CONFIG, out, tmp_path_factory.mktemp("run"))
    return out, facts, read_conversations(out)


@pytest.mark.parametrize(
    ("text", "parameters", "returned", "raised"),
    [
        (NUMPY, ["The numbers to add.", "Along which axis to add."], "The sum of both.", "ValueError: If `a` is negative."),
        (
            GOOGLE,
            ["How often to try again.", "What the thing is called."],
            "The result by name.",
            "KeyError: When there is no such name.",
        ),
        (SPHINX, ["How often to try again."], "The result by name.", "KeyError: When there is no such name."),
    ],
    ids=["numpy", "google", "sphinx"],
)
def test_sections_of_all_three_styles_are_read(text: str, parameters: list[str], returned: str, raised: str):
    assert [question.answer for question in ask("parameter", _thing(text))] == parameters
    assert [question.answer for question in ask("returns", _thing(text))] == [returned]
    assert [question.answer for question in ask("raises", _thing(text))] == [raised]


def test_a_sentence_does_not_end_at_an_abbreviation_and_an_excerpt_not_in_a_word():
    assert first_sentence(NUMPY) == "Compute the thing."
    assert first_sentence("Use it, e.g. The default. More.") == "Use it, e.g. The default."
    assert first_sentence("") is None
    cut = excerpt("word " * 200, 100)
    assert len(cut) <= 100
    assert cut.endswith("word")


@pytest.mark.parametrize(
    ("text", "flag", "answers"),
    [
        ("Old way.\n\n.. deprecated:: 1.2\n   Use new.", True, ["yes"]),
        ("Old way. This function is deprecated.", True, ["yes"]),
        ("New way.\n\nArgs:\n    x: Deprecated, unused.", True, []),
        ("The argument x is deprecated.", False, []),
        ("New way to do it.", False, ["no"]),
        ("Says nothing of it.", True, []),
    ],
)
def test_deprecated_is_asked_only_where_the_text_shows_it_of_the_object(text: str, flag: bool, answers: list[str]):
    assert [question.answer for question in ask("deprecated", _thing(text, deprecated=flag))] == answers


def test_a_method_is_never_asked_for_its_kind():
    assert list(ask("kind", _thing("Do the thing.", "method"))) == []
    assert [question.answer for question in ask("kind", _thing("Do the thing.", "class"))] == ["class"]


def test_braces_in_documentation_survive_the_wording():
    text = "Return {name} and {item} of {0}."
    assert prompt("kind", 0, text=text).endswith(text)


def test_evaluation_asks_with_one_of_the_wordings_of_training(built):
    """Were they written twice, an edit of one would make the model answer a question that it was never taught."""
    wordings = {evaluation_prompt("kind", text="X")} & {prompt("kind", number, text="X") for number in range(3)}
    assert len(wordings) == 1
    opening = wordings.pop().removesuffix("X")
    assert any(c.messages[0].content.startswith(opening) for c in built[2] if c.task == "kind")


def test_the_answer_is_in_what_is_shown(built):
    """Closed-book questions would teach a small model to invent."""
    checked = Counter()
    for conversation in built[2]:
        if conversation.task in {"parameter", "returns", "raises", "first_word"}:
            question, answer = (message.content for message in conversation.messages)
            assert answer in question
            checked[conversation.task] += 1
        if conversation.task == "summary":
            question, answer = (message.content for message in conversation.messages)
            assert answer not in " ".join(question.split())
    assert set(checked) >= {"parameter", "returns", "first_word"}


def test_balanced_tasks_are_balanced_and_no_word_dominates(built):
    kinds = Counter(c.messages[-1].content for c in built[2] if c.task == "kind")
    assert set(kinds) == {"class", "function", "module"}
    assert len(set(kinds.values())) == 1
    words = [c.messages[-1].content for c in built[2] if c.task == "first_word"]
    assert max(Counter(words).values()) <= max(4, 0.05 * 0.16 * 600)
    assert all(re.fullmatch(r"[A-Za-z'-]+", word) for word in words)


def test_some_conversations_have_two_turns_in_order(built):
    pairs = [[m.role for m in c.messages] for c in built[2] if c.task == "multi_turn"]
    assert pairs
    assert all(roles == ["user", "assistant"] * 2 for roles in pairs)


def test_everything_is_accounted_for_and_names_its_document(built, corpus: Path):
    out, facts, conversations = built
    (ledger,) = Ledger.read(out).sources
    assert ledger.read == ledger.kept + sum(ledger.dropped.values())
    assert sum(ledger.notes["conversations"].values()) == len(conversations) == facts["rows"] <= 600
    assert ledger.kept == len({conversation.document_id for conversation in conversations})
    assert len({conversation.id for conversation in conversations}) == len(conversations)


def test_same_input_same_bytes(built, corpus: Path, tmp_path: Path):
    (tmp_path / "raw").mkdir()
    build_raw_instructions(corpus, CONFIG, tmp_path / "raw", tmp_path / "run")
    assert hashes(tmp_path / "raw") == hashes(built[0])


def test_a_source_without_documented_objects_is_named(corpus: Path, tmp_path: Path):
    config = InstructionsConfig(sources=(DocumentedObjects(kind="documented_objects", sources=("chinese",)),))
    with pytest.raises(DataError, match="'chinese' has no documented object"):
        build_raw_instructions(corpus, config, tmp_path, tmp_path / "run")


def test_shares_must_add_up():
    with pytest.raises(ValidationError, match=r"add up to 1\.1, not to 1"):
        TaskShares(kind=0.48)
