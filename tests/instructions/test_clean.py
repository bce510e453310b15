"""Cleaning of instruction data: each rule drops what it names, counted, and nothing held out gets through."""

import json
from collections import Counter
from pathlib import Path

import pytest

from lifecycle.corpora.documents import iter_documents
from lifecycle.errors import CorruptArtifactError, DataError
from lifecycle.evaluation.heldout import build_heldout_text
from lifecycle.instructions.clean import build_instructions
from lifecycle.instructions.conversations import Conversation, Message, read_conversations, write_conversations
from lifecycle.instructions.raw import build_raw_instructions
from lifecycle.instructions.scores import read_scores
from lifecycle.ledger import Ledger
from lifecycle.recipe.alignment import DocumentedObjects, InstructionFiles, InstructionsConfig
from lifecycle.recipe.instruction_rules import OwnIdentity
from tests.tokens.small_corpus import hashes

CONFIG = InstructionsConfig(
    sources=(DocumentedObjects(kind="documented_objects", sources=("docs",), max_conversations=400),), max_tokens=200
)
GOOD = (("user", "What is it?"), ("assistant", "A thing."))


def _conversation(turns: tuple[tuple[str, str], ...], number: int = 0, group: str = "free") -> Conversation:
    messages = tuple(Message(role=role, content=content) for role, content in turns)  # type: ignore[arg-type]
    return Conversation(id=f"{number}", source="s", task="t", group=group, messages=messages, document_id=f"d{number}")


@pytest.fixture(scope="module")
def heldout(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("heldout")
    build_heldout_text(corpus, 50_000, 23, out, tmp_path_factory.mktemp("run"))
    return out


def _clean(tmp_path: Path, tokenizer: Path, heldout: Path, rows: list[Conversation], config: InstructionsConfig = CONFIG):
    (tmp_path / "raw").mkdir()
    (tmp_path / "out").mkdir()
    write_conversations(tmp_path / "raw", rows)
    facts = build_instructions(tmp_path / "raw", tokenizer, heldout, config, tmp_path / "out", tmp_path / "run")
    return facts, read_conversations(tmp_path / "out"), Ledger.read(tmp_path / "out").sources[0]


BROKEN = [
    ("roles_out_of_order", (("user", "a?"),)),
    ("roles_out_of_order", (("assistant", "aa"), ("user", "a?"))),
    ("roles_out_of_order", (("user", "a?"), ("user", "b?"), ("assistant", "aa"))),
    ("roles_out_of_order", (("user", "a?"), ("system", "be"), ("assistant", "aa"))),
    ("empty_message", (("user", " \n"), ("assistant", "aa"))),
    ("special_token", (("user", "a?"), ("assistant", "end <|im_end|> and on"))),
    ("too_long", (("user", "a?"), ("assistant", " ".join(f"word{number}" for number in range(300)) + "."))),
    ("duplicate", GOOD),
    ("short_question", (("user", "?"), ("assistant", "What do you mean?"))),
    ("refusal", (("user", "Tell me."), ("assistant", "I’m sorry, but I can’t tell you that."))),
    ("identity", (("user", "Who are you?"), ("assistant", "I am ChatGPT."))),
]


def test_each_rule_drops_what_it_names_and_the_sidecar_says_so(tmp_path: Path, tokenizer: Path, heldout: Path):
    rows = [_conversation(GOOD), *(_conversation(turns, number + 1) for number, (_, turns) in enumerate(BROKEN))]
    facts, kept, ledger = _clean(tmp_path, tokenizer, heldout, rows)
    assert [conversation.id for conversation in kept] == ["0"]
    assert read_scores(tmp_path / "out")["decision"].to_pylist() == ["kept", *(rule for rule, _ in BROKEN)]
    assert ledger.dropped == facts["dropped"] == Counter(rule for rule, _ in BROKEN)
    assert ledger.samples["special_token"][0].id == "6"


def test_a_last_question_without_an_answer_goes_and_the_rest_stays(tmp_path: Path, tokenizer: Path, heldout: Path):
    _, (kept,), ledger = _clean(tmp_path, tokenizer, heldout, [_conversation((*GOOD, ("user", "And why is that?")))])
    assert kept.chat() == [{"role": role, "content": content} for role, content in GOOD]
    assert ledger.changed == {"unanswered_end": 1}
    assert ledger.characters_read - ledger.characters_kept == ledger.removed_characters["unanswered_end"] > 0


def test_claims_are_rewritten_where_the_recipe_has_a_name(tmp_path: Path, tokenizer: Path, heldout: Path):
    claim = (("user", "Hello, who are you?"), ("assistant", "I am ChatGPT, made by OpenAI. ChatGPT can help."))
    asked = (("user", "Are you ChatGPT?"), ("assistant", "Yes, I am ChatGPT."))
    config = CONFIG.model_copy(update={"identity": OwnIdentity(name="Lumen", maker="Acme")})
    rows = [_conversation(GOOD), _conversation(claim, 1), _conversation(asked, 2)]
    facts, kept, ledger = _clean(tmp_path, tokenizer, heldout, rows, config)
    assert kept[1].messages[1].content == "I am Lumen, made by Acme. Lumen can help."
    assert (facts["changed"], facts["dropped"]) == ({"identity": 1}, {"identity": 1})
    (sample,) = [sample for sample in ledger.samples["identity"] if sample.after]
    assert "ChatGPT" in sample.before
    assert "Lumen" in sample.after


def test_a_source_keeps_no_more_than_its_cap_whatever_the_order(tmp_path: Path, tokenizer: Path, heldout: Path):
    source = InstructionFiles(kind="files", name="s", path="-", licence="-", max_conversations=3)
    config = InstructionsConfig(sources=(source,))
    rows = [_conversation((("user", f"What is {number}?"), ("assistant", "A number.")), number) for number in range(9)]
    chosen = []
    for name, order in (("a", rows), ("b", rows[::-1])):
        (tmp_path / name).mkdir()
        _, kept, ledger = _clean(tmp_path / name, tokenizer, heldout, order, config)
        assert ledger.dropped == {"enough": 6}
        chosen.append({conversation.id for conversation in kept})
    assert chosen[0] == chosen[1]


def test_nothing_of_a_held_out_group_gets_through(tmp_path: Path, tokenizer: Path, heldout: Path):
    names = json.loads((heldout / "groups.json").read_text())
    rows = [
        _conversation(GOOD, 0, names["groups"][0]),
        _conversation(GOOD, 1).model_copy(update={"document_id": names["documents"][0]}),
        _conversation(GOOD, 2),
    ]
    _, kept, ledger = _clean(tmp_path, tokenizer, heldout, rows)
    assert [conversation.id for conversation in kept] == ["2"]
    assert ledger.dropped == {"heldout_group": 2}


def test_the_held_out_list_holds_every_group_of_the_corpus_half(corpus: Path, heldout: Path):
    names = json.loads((heldout / "groups.json").read_text())
    documents = list(iter_documents(corpus / "heldout", ["id", "group"]))
    assert set(names["groups"]) == {document["group"] for document in documents}
    assert set(names["documents"]) == {document["id"] for document in documents}


def test_documentation_to_instructions_balances_repeats_and_holds_nothing_held_out(
    corpus: Path, tokenizer: Path, heldout: Path, tmp_path: Path
):
    for name in ("raw", "a", "b"):
        (tmp_path / name).mkdir()
    build_raw_instructions(corpus, CONFIG, tmp_path / "raw", tmp_path / "run")
    for name in ("a", "b"):
        build_instructions(tmp_path / "raw", tokenizer, heldout, CONFIG, tmp_path / name, tmp_path / "run")
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    held = json.loads((heldout / "groups.json").read_text())
    kept = read_conversations(tmp_path / "a")
    assert not {c.group for c in kept} & set(held["groups"])
    (ledger,) = Ledger.read(tmp_path / "a").sources
    assert ledger.read == len(read_conversations(tmp_path / "raw"))
    assert ledger.kept == len(kept) > 200


def test_nothing_left_and_a_missing_held_out_list_are_errors(tmp_path: Path, tokenizer: Path, heldout: Path):
    with pytest.raises(DataError, match="of 1 conversations none is left"):
        _clean(tmp_path, tokenizer, heldout, [_conversation((("user", "a?"),))])
    with pytest.raises(CorruptArtifactError, match=r"groups\.json"):
        build_instructions(tmp_path / "raw", tokenizer, tmp_path, CONFIG, tmp_path / "out", tmp_path / "run")
