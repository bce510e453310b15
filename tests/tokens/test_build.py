"""The memmaps as built from a corpus and from conversations."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from lifecycle.corpora.documents import iter_documents
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Conversation, Message, write_conversations
from lifecycle.recipe.corpora import MixConfig
from lifecycle.recipe.fine_tuning import HeldoutConversations
from lifecycle.tokens import encode
from lifecycle.tokens.build import build_pretrain_memmap
from lifecycle.tokens.build_sft import build_sft_memmap
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.tokens.mix import SourceShare
from lifecycle.tokens.shuffle import BucketShuffle, draw_copies
from tests.tokens.small_corpus import hashes

EPOCHS = {"docs": 1.0, "chinese": 1.0}


def _build(corpus: Path, tokenizer: Path, tmp_path: Path, name: str, epochs: dict[str, float] = EPOCHS, seed: int = 13):
    shares = {source: SourceShare(amount) for source, amount in epochs.items()}
    facts = build_pretrain_memmap(corpus, tokenizer, shares, MixConfig(), seed, tmp_path / name, tmp_path / "run")
    return facts, TokenMemmap(tmp_path / name)


def _texts(memmap: TokenMemmap, tokenizer: Path) -> list[str]:
    decoder = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    rows = [memmap.document(index).tolist() for index in range(len(memmap))]
    assert all(row[-1] == memmap.describe.pad_token_id for row in rows)
    assert all(memmap.describe.pad_token_id not in row[:-1] for row in rows)
    return decoder.decode_batch([row[:-1] for row in rows], skip_special_tokens=False)


def test_every_document_is_written_once_with_one_end_and_in_another_order(corpus: Path, tokenizer: Path, tmp_path: Path):
    facts, memmap = _build(corpus, tokenizer, tmp_path, "a")
    texts = _texts(memmap, tokenizer)
    originals = [document["text"] for document in iter_documents(corpus / "train", ["text"])]
    assert Counter(texts) == Counter(originals)
    assert texts != originals
    assert facts["tokens"] == memmap.describe.tokens == sum(row["tokens"] for row in facts["sources"])
    assert not (tmp_path / "run" / "shuffle").exists()


def test_held_out_documents_lie_beside_for_validation(corpus: Path, tokenizer: Path, tmp_path: Path):
    """Training validates on them where the recipe asks; none of them is among the trained ones."""
    facts, memmap = _build(corpus, tokenizer, tmp_path, "a")
    validation = TokenMemmap(tmp_path / "a" / "validation")
    assert _texts(validation, tokenizer) == [document["text"] for document in iter_documents(corpus / "heldout", ["text"])]
    assert validation.describe.tokenizer_digest == memmap.describe.tokenizer_digest
    assert facts["validation_tokens"] == validation.describe.tokens


def test_same_seed_same_bytes_other_seed_other_order(corpus: Path, tokenizer: Path, tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        _build(corpus, tokenizer, tmp_path, name, seed=seed)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert hashes(tmp_path / "a") != hashes(tmp_path / "c")


def test_epochs_take_half_or_twice_of_a_source(corpus: Path, tokenizer: Path, tmp_path: Path):
    facts, memmap = _build(corpus, tokenizer, tmp_path, "a", {"docs": 0.5, "chinese": 2.0})
    rows = {row["source"]: row for row in facts["sources"]}
    assert rows["docs"]["documents_written"] == round(rows["docs"]["documents"] / 2)
    assert rows["chinese"]["documents_written"] == 2 * rows["chinese"]["documents"]
    counts = Counter(_texts(memmap, tokenizer))
    assert {counts[d["text"]] for d in iter_documents(corpus / "train") if d["source"] == "chinese"} == {2}


def test_a_source_without_epochs_is_named(corpus: Path, tokenizer: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"no epochs given for \['chinese'\]"):
        _build(corpus, tokenizer, tmp_path, "a", {"docs": 1.0})


def test_a_fast_encoder_that_differs_is_replaced_with_a_warning(
    corpus: Path, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """The fast encoder has one main author: a silent difference would train a model on wrong ids."""
    _build(corpus, tokenizer, tmp_path, "fast")

    class Shifted(encode.BulkEncoder):
        def _check(self, texts, sources, ids, lengths):
            super()._check(texts, sources, ids ^ 1, lengths)

    monkeypatch.setattr("lifecycle.tokens.corpus.fast_encoder", lambda directory: Shifted(directory, fast=True))
    with caplog.at_level(logging.WARNING):
        _build(corpus, tokenizer, tmp_path, "reference")
    assert "gigatoken and tokenizers differ on a document of" in caplog.text
    assert hashes(tmp_path / "fast") == hashes(tmp_path / "reference")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_order_does_not_depend_on_the_number_of_buckets(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=20))
    epochs = data.draw(st.floats(1, 3))
    results = []
    for buckets in (1, 4, 50):
        rng = np.random.default_rng(3)
        copies = draw_copies(np.zeros(len(lengths), dtype=np.int32), {0: epochs}, rng)
        shuffle = BucketShuffle(tmp_path_factory.mktemp("s") / "buckets", copies, buckets, rng)
        shuffle.add(np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths), np.array(lengths))
        parts = list(shuffle.drain())
        results.append((np.concatenate([ids for ids, _ in parts]).tolist(), np.concatenate([n for _, n in parts]).tolist()))
    assert results[0] == results[1] == results[2]
    assert Counter(results[0][0]) == {index: n * int(copies[index]) for index, n in enumerate(lengths)}


def _conversation(number: int, answer: str, task: str = "a") -> Conversation:
    messages = (Message(role="user", content=f"Question {number}?"), Message(role="assistant", content=answer))
    return Conversation(id=str(number), source="s", task=task, group="g", messages=messages, document_id=str(number))


def test_sft_counts_what_is_left_out_and_masks_the_answers(tokenizer: Path, tmp_path: Path):
    rows = [_conversation(1, "yes", "b"), _conversation(2, "word " * 200), _conversation(3, "no")]
    rows.append(Conversation(id="4", source="s", task="a", group="g", messages=rows[0].messages[:1], document_id="4"))
    write_conversations(tmp_path, rows)
    facts = build_sft_memmap(tmp_path, tokenizer, 64, None, 0, tmp_path / "out", tmp_path / "run")
    assert facts["dropped"] == {"too_long": 1, "nothing_trained": 1}
    assert facts["rows"] == 2
    memmap = TokenMemmap(tmp_path / "out")
    assert memmap.loss_mask is not None
    assert memmap.task is not None
    decoder = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    trained = {}
    for index in range(len(memmap)):
        mask = memmap.loss_mask[memmap.offsets[index] : memmap.offsets[index + 1]].astype(bool)
        text = decoder.decode(memmap.document(index)[mask].tolist(), skip_special_tokens=False)
        trained[memmap.describe.tasks[memmap.task[index]]] = text
    assert trained == {"b": "yes<|im_end|>", "a": "no<|im_end|>"}
    assert facts["mask_preview"].startswith("Bold is trained.\n")
    assert "**no `<|im_end|>`**" in facts["mask_preview"] or "**yes `<|im_end|>`**" in facts["mask_preview"]
    assert [(row["sequence_length"], row["sequences"]) for row in facts["packing"]] == [(64, 1), (128, 1), (256, 1)]
    assert facts["packing"][0]["efficiency"] == round(memmap.describe.tokens / 64, 4)
    build_sft_memmap(tmp_path, tokenizer, 64, None, 0, tmp_path / "again", tmp_path / "run")
    assert hashes(tmp_path / "out") == hashes(tmp_path / "again")


def test_held_out_conversations_share_no_group_with_those_that_are_trained_on(tokenizer: Path, tmp_path: Path):
    """Two questions about one text on both sides would make validation measure memory."""
    rows = [
        Conversation(
            id=f"{group}{number}",
            source="s",
            task="ab"[number],
            group=f"g{group}",
            messages=_conversation(0, f"group {group} number {number}").messages,
            language="zh" if group % 2 else None,
            document_id=str(group),
            difficulty=group if number else None,
        )
        for group in range(60)
        for number in range(2)
    ]
    write_conversations(tmp_path, rows)
    heldout = HeldoutConversations(share=0.3)
    facts = build_sft_memmap(tmp_path, tokenizer, 64, heldout, 0, tmp_path / "out", tmp_path / "run")
    decoder = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    groups: dict[str, set[int]] = {}
    for side in ("out", "out/validation"):
        memmap = TokenMemmap(tmp_path / side)
        assert memmap.describe.tasks == ("a", "b")
        assert memmap.describe.languages == ("unknown", "zh")
        assert memmap.task is not None
        assert memmap.language is not None
        assert memmap.difficulty is not None
        found = []
        for index in range(len(memmap)):
            words = decoder.decode(memmap.document(index).tolist()).split()
            group, number = int(words[words.index("group") + 1]), int(words[words.index("number") + 1])
            assert (memmap.task[index], memmap.language[index]) == (number, group % 2)
            assert memmap.difficulty[index] == group if number else np.isnan(memmap.difficulty[index])
            found.append(group)
        groups[side] = set(found)
        assert len(found) == 2 * len(groups[side]), "whole groups"
    assert groups["out"] | groups["out/validation"] == set(range(60))
    assert not groups["out"] & groups["out/validation"]
    assert (facts["rows"], facts["validation_rows"]) == (2 * len(groups["out"]), 2 * len(groups["out/validation"]))
    assert 0 < len(groups["out/validation"]) < 30


def test_a_share_that_holds_out_nothing_is_an_error(tokenizer: Path, tmp_path: Path):
    write_conversations(tmp_path, [_conversation(1, "yes")])
    heldout = HeldoutConversations(share=0.001)
    with pytest.raises(DataError, match=r"sft\.heldout\.share: 0.001 of 1 conversations is none"):
        build_sft_memmap(tmp_path, tokenizer, 64, heldout, 0, tmp_path / "out", tmp_path / "run")


def test_sft_without_any_conversation_left_names_the_field(tokenizer: Path, tmp_path: Path):
    write_conversations(tmp_path, [_conversation(1, "a long answer " * 9)])
    with pytest.raises(DataError, match=r"instructions\.max_tokens: of 1 conversations none is left"):
        build_sft_memmap(tmp_path, tokenizer, 8, None, 0, tmp_path / "out", tmp_path / "run")
