"""Tokenizers of others, and new pieces for them: old ids stay, text survives, and models can follow."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from lifecycle.corpora.documents import iter_documents
from lifecycle.errors import DataError, RecipeError
from lifecycle.pretrained import load_model
from lifecycle.recipe.corpora import MixConfig
from lifecycle.recipe.recipe import load_recipe
from lifecycle.recipe.training import Architecture, CausalTraining, TokenizerConfig
from lifecycle.stages import TOKENIZER
from lifecycle.tokens.base import load_base
from lifecycle.tokens.build import build_pretrain_memmap
from lifecycle.tokens.chat import load_tokenizer
from lifecycle.tokens.extend import Extension, extend, extend_embeddings, read_extension
from lifecycle.tokens.mix import SourceShare
from lifecycle.tokens.tokenizer import build_tokenizer, plain_text_encoder
from lifecycle.training.exits import ConfigurationError
from lifecycle.training.export import copy_tokenizer
from lifecycle.training.model import build_model
from lifecycle.training.preflight import check_pieces, check_trained, pieces_digest
from tests.patience import PATIENCE
from tests.shared_data import shared
from tests.training import tiny

RECIPE = Path(__file__).parents[2] / "deploy" / "recipes" / "demo.yaml"


@pytest.fixture(scope="module")
def extended(corpus: Path, tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The small tokenizer with 200 pieces more."""
    out = tmp_path_factory.mktemp("extended")
    config = TokenizerConfig(base=str(tokenizer), new_pieces=200, training_megabytes=1)
    return out, build_tokenizer(corpus, config, out, tmp_path_factory.mktemp("run"))


def test_new_pieces_keep_the_old_ids_and_the_special_tokens(extended: tuple[Path, dict[str, Any]], tokenizer: Path):
    before, after = load_tokenizer(tokenizer), load_tokenizer(extended[0])
    assert len(after) == extended[1]["rows"] == len(before) + 200
    old = before.get_vocab()
    assert {piece: number for piece, number in after.get_vocab().items() if number < len(before)} == old
    assert after.all_special_tokens == before.all_special_tokens
    assert after.eos_token_id == before.eos_token_id


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_every_text_is_the_old_ids_once_new_pieces_are_replaced_and_survives(
    extended: tuple[Path, dict[str, Any]], tokenizer: Path, corpus: Path, data: st.DataObject
):
    documents = [document["text"] for document in iter_documents(corpus / "heldout", ["text"])]
    real = data.draw(st.sampled_from(documents))[:300]
    text = real + data.draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
    encoder = Tokenizer.from_str(plain_text_encoder(extended[0]))
    extension = read_extension(extended[0])
    assert extension is not None
    ids = encoder.encode(text).ids
    assert encoder.decode(ids) == text
    size = extension.base_size
    replaced = [old for number in ids for old in ((number,) if number < size else extension.replaces[number - size])]
    reference = Tokenizer.from_str(plain_text_encoder(tokenizer))
    assert reference.decode(replaced) == text
    assert all(old < size for old in replaced)


def test_fertility_before_and_after_per_language(extended: tuple[Path, dict[str, Any]]):
    rows = {(row["language"], row["tokenizer"]): row for row in extended[1]["fertility"]}
    assert set(rows) == {(language, name) for language in ("en", "zh") for name in ("before", "after")}
    for measure in ("tokens_per_character", "tokens_per_word"):
        assert all(rows[language, "after"][measure] < rows[language, "before"][measure] for language in ("en", "zh"))


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_are_the_mean_of_those_that_they_replace(
    extended: tuple[Path, dict[str, Any]], tokenizer: Path, tmp_path: Path, tied: bool
):
    extension = read_extension(extended[0])
    assert extension is not None
    shape = Architecture(hidden_size=16, layers=1, heads=2, kv_heads=2, intermediate_size=16, tie_embeddings=tied)
    model: Any = build_model(shape, extension.base_size, torch.float32, 0, tokenizer)
    old = {name: value.clone() for name, value in model.state_dict().items()}
    extend_embeddings(model, extension)
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert again.config.vocab_size == extension.base_size + 200
    tables = {"model.embed_tokens.weight": again.get_input_embeddings(), "lm_head.weight": again.get_output_embeddings()}
    for name, table in tables.items():
        weight: Any = table.weight
        assert torch.equal(weight[: extension.base_size], old[name])
        for number, replaced in enumerate(extension.replaces, start=extension.base_size):
            assert len(replaced) > 1
            torch.testing.assert_close(weight[number], old[name][list(replaced)].mean(0))
    with pytest.raises(DataError, match="it was made for another tokenizer"):
        extend_embeddings(model, Extension(base_size=99_999, replaces=()))


def test_a_base_model_follows_its_extended_tokenizer_through_training(
    extended: tuple[Path, dict[str, Any]], corpus: Path, tokenizer: Path, tmp_path: Path
):
    """Continued pretraining: the model learns from its first step with rows that already mean something."""
    base_model, extension = tmp_path / "model", read_extension(extended[0])
    assert extension is not None
    build_model(tiny.ARCHITECTURE, extension.base_size, torch.float32, 0, tokenizer).save_pretrained(base_model)
    copy_tokenizer(tokenizer, base_model)
    memmap, run_dir = tmp_path / "memmap", tmp_path / "memmap_run"
    shares = {name: SourceShare(1.0) for name in ("docs", "chinese")}
    build_pretrain_memmap(corpus, extended[0], shares, MixConfig(), 0, memmap, run_dir)
    inputs = {"memmap": memmap, "tokenizer": extended[0], "model": base_model}
    slow = {"learning_rate": 1e-6, "warmup_steps": 0}
    job = tiny.make_job(tmp_path, inputs, architecture=False, steps=2, precision="fp32", optimization=slow)
    process = tiny.launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    before, after = load_model(base_model), load_model(tmp_path / "out")
    assert after.config.vocab_size == len(load_tokenizer(tmp_path / "out")) == extension.base_size + 200
    old, new = (model.get_parameter("model.embed_tokens.weight") for model in (before, after))
    means = torch.stack([old[list(replaced)].mean(0) for replaced in extension.replaces])
    torch.testing.assert_close(new[extension.base_size :], means, atol=1e-5, rtol=0)
    assert not torch.equal(new[extension.base_size :], means), "the new rows were not trained"


def test_an_extension_of_another_tokenizer_is_refused_naming_both_digests(
    extended: tuple[Path, dict[str, Any]], tokenizer: Path, tmp_path: Path
):
    """The rows of a model that was made for other pieces would be averaged into nonsense, and trained without complaint."""
    assert check_pieces(extended[0], tokenizer) == read_extension(extended[0])
    adapted = tiny.make_job(tmp_path, {}, adapter={"kind": "lora"}).config["training"]
    with pytest.raises(ConfigurationError, match="new pieces would never be trained"):
        check_trained(read_extension(extended[0]), CausalTraining.model_validate(adapted))
    assert check_pieces(extended[0], extended[0]) is None, "a model that knows the new pieces already"
    copy_tokenizer(tokenizer, tmp_path)
    text = json.loads((tmp_path / "tokenizer.json").read_text())
    vocabulary = text["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(text))
    digests = [pieces_digest(load_tokenizer(path).get_vocab()) for path in (tmp_path, tokenizer)]
    with pytest.raises(ConfigurationError, match=rf"the pieces {digests[0]}, .* continues {digests[1]}: 'a' is"):
        check_pieces(extended[0], tmp_path)


def test_characters_that_the_base_writes_as_bytes_become_pieces():
    """Llama's tokenizer spells most Han as three bytes, and bytes are never joined by merges."""
    vocabulary = {"<unk>": 0, "</s>": 1, **{f"<0x{byte:02X}>": byte + 2 for byte in range(256)}, "▁": 258, "a": 259}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    new, extension = extend(fast, ["语言 语言 语言模型", "模型"], 4)
    assert new.encode("语言").tokens == ["▁语言"]
    assert new.decode(new.encode("语言模型 ab 型").ids) == " 语言模型 ab 型"
    number = new.get_vocab()["▁语言"]
    assert extension.replaces[number - 260] == (258, *(byte + 2 for byte in "语言".encode()))


def test_too_many_pieces_and_unigram_are_refused(corpus: Path, tokenizer: Path, tmp_path: Path):
    fast = load_base(str(tokenizer))
    with pytest.raises(DataError, match=r"tokenizer\.new_pieces: 500 were asked for, the training text yields only \d+;"):
        extend(fast, ["two words, two words"], 500)
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0))
    with pytest.raises(RecipeError, match="only byte-pair tokenizers can be extended, this one is Unigram"):
        extend(PreTrainedTokenizerFast(tokenizer_object=unigram, eos_token="<unk>"), ["a"], 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base": "x", "vocab_size": 500}, "vocab_size is that of base"),
        ({"new_pieces": 5}, "added to a base, and there is"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        TokenizerConfig.model_validate(fields)


def test_a_base_counts_by_its_content(tokenizer: Path, tmp_path: Path):
    recipe = load_recipe(RECIPE)
    seen = []
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        content = (tokenizer / "tokenizer.json").read_bytes() + (b" " if folder == "c" else b"")
        (tmp_path / folder / "tokenizer.json").write_bytes(content)
        config = TokenizerConfig(base=str(tmp_path / folder / "tokenizer.json"))
        seen.append(TOKENIZER.identity(recipe.model_copy(update={"tokenizer": config}), None))
    assert seen[0] == seen[1] != seen[2]


def test_a_base_that_cannot_be_used_is_named(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"tokenizer\.base: nothing at '.*gone'"):
        load_base(str(tmp_path / "gone"))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(RecipeError, match="cannot be read as a tokenizer"):
        load_base(str(tmp_path / "tokenizer.json"))
    with pytest.raises(RecipeError, match="holds no pieces; are its vocabulary files missing, or still compressed"):
        load_base(str(shared("tokenizer/qwen2.5")))


@pytest.mark.parametrize("name", ["spm_en_test.model", "spm_zh_cluecorpussmall.model"])
def test_a_sentencepiece_model_gives_the_ids_of_sentencepiece(name: str):
    path = shared(f"tokenizer/{name}")
    fast, reference = load_base(str(path)), SentencePieceProcessor(model_file=str(path))
    with gzip.open(shared("raw/zh/cluecorpussmall_sampled.txt.gz"), "rt", encoding="utf-8") as file:
        texts = [line.strip() for line in file][:200]
    texts += shared("raw/en/gutenberg/alice30.txt").read_text(encoding="utf-8").split("\n\n")[:200]
    assert fast(texts, add_special_tokens=False)["input_ids"] == reference.encode(texts)


@pytest.mark.parametrize(("name", "template"), [("minimind", "chatml"), ("gpt2", "linly"), ("spm_en_test.model", "llama2")])
def test_tokenizers_of_others_take_part_in_the_whole_stage(corpus: Path, tmp_path: Path, name: str, template: str):
    config = TokenizerConfig(base=str(shared(f"tokenizer/{name}")), chat_template=template)
    facts = build_tokenizer(corpus, config, tmp_path / "out", tmp_path / "run")
    loaded = load_tokenizer(tmp_path / "out")
    base = load_base(str(shared(f"tokenizer/{name}")))
    assert len(loaded) == facts["rows"] == len(base)
    text = "A small 语言 model"
    assert loaded.encode(text, add_special_tokens=False) == base.encode(text, add_special_tokens=False)
