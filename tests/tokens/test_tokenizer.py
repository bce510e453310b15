"""The tokenizer: exact size, offline loading, no loss of text, no special token by accident."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from lifecycle.corpora.documents import DocumentWriter
from lifecycle.errors import CorruptArtifactError, DataError
from lifecycle.recipe.training import TokenizerConfig
from lifecycle.tokens.tokenizer import build_tokenizer, plain_text_encoder, read_format, tokenizer_digest
from tests.tokens.small_corpus import hashes


def test_loads_offline_with_exactly_the_entries_asked_for(tokenizer: Path):
    loaded = AutoTokenizer.from_pretrained(str(tokenizer), local_files_only=True)
    assert len(loaded) == 1024
    assert (loaded.eos_token, loaded.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert set(loaded.all_special_tokens) == {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}
    assert read_format(tokenizer).dtype == "uint16"


def test_same_text_gives_same_bytes_and_facts_hold_fertility_per_source(corpus: Path, tokenizer: Path, tmp_path: Path):
    facts = build_tokenizer(corpus, TokenizerConfig(vocab_size=1024), tmp_path / "out", tmp_path / "run")
    assert hashes(tmp_path / "out") == hashes(tokenizer)
    assert facts["tokenizer_digest"] == tokenizer_digest(tokenizer)
    rows = {(row["source"], row["language"]): row for row in facts["fertility"]}
    assert set(rows) == {("docs", "en"), ("chinese", "zh")}
    assert all(row["bytes_per_token"] > 1.5 and row["tokens_per_character"] > 0 for row in rows.values())
    assert (tmp_path / "run" / "plots" / "fertility.png").stat().st_size > 1000


def test_a_seeded_sample_is_a_part_of_the_text_of_about_the_size_asked_for(corpus: Path, tmp_path: Path):
    facts = build_tokenizer(corpus, TokenizerConfig(vocab_size=600, training_megabytes=0.1), tmp_path, tmp_path / "run")
    assert 60_000 < facts["training_bytes"] < 140_000


def test_too_little_text_for_the_vocabulary_names_the_field(tmp_path: Path):
    with DocumentWriter(tmp_path / "train") as writer:
        writer.add({"id": "a", "text": "one short text", "source": "s", "group": "a"})
    with pytest.raises(DataError, match=r"tokenizer\.vocab_size: 5000 entries"):
        build_tokenizer(tmp_path, TokenizerConfig(vocab_size=5000), tmp_path / "out", tmp_path / "run")


def test_an_unknown_template_names_the_field_and_the_choice():
    with pytest.raises(ValidationError, match=r"(?s)chat_template.*did you mean `chatml`\?.*built in: alpaca, chatml"):
        TokenizerConfig.model_validate({"chat_template": "chatlm"})


def test_the_digest_follows_ids_and_template_and_nothing_else(tokenizer: Path, tmp_path: Path):
    """A tokenizer copied into a model directory must keep its digest, whatever lies beside it."""
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / name).write_bytes((tokenizer / name).read_bytes())
    (tmp_path / "config.json").write_text("{}")
    assert tokenizer_digest(tmp_path) == tokenizer_digest(tokenizer)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert tokenizer_digest(tmp_path) != tokenizer_digest(tokenizer)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CorruptArtifactError, match=r"tokenizer\.json"):
        tokenizer_digest(tmp_path)


def test_text_that_spells_a_special_token_stays_text(tokenizer: Path):
    """Documentation of chat templates is full of `<|im_end|>`; as a real token it would end turns in pretraining text."""
    encoder = Tokenizer.from_str(plain_text_encoder(tokenizer))
    text = "Each message ends with <|im_end|> and a document with <|endoftext|>."
    ids = encoder.encode(text).ids
    special = {item["id"] for item in json.loads((tokenizer / "tokenizer.json").read_text())["added_tokens"]}
    assert len(special) == 3
    assert not special & set(ids)
    assert encoder.decode(ids) == text


def test_no_entry_joins_han_with_latin_or_more_than_three_digits(tokenizer: Path):
    loaded = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    for index in range(loaded.get_vocab_size()):
        text = loaded.decode([index], skip_special_tokens=False)
        assert not re.search(r"\d{4}", text), text
        assert not (re.search(r"[一-龥]", text) and re.search(r"[A-Za-z]", text)), text


@settings(max_examples=80, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_every_text_survives_encoding(tokenizer: Path, text: str):
    encoder = Tokenizer.from_str(plain_text_encoder(tokenizer))
    assert encoder.decode(encoder.encode(text).ids) == text
