"""Embeddings: the same for a conversation whatever stands beside it in a batch or a file, near where texts are alike."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from lifecycle.errors import DataError
from lifecycle.instructions import embedding_program, units
from lifecycle.instructions.conversations import Conversation, Message, write_conversations
from lifecycle.instructions.embedding_program import pooled
from lifecycle.instructions.embeddings import Encoder, build_instruction_embeddings, read_embeddings
from lifecycle.jobs import ModelFolder, TrainingJob
from lifecycle.pretrained import load_for_inference
from lifecycle.recipe.adaptation import StartingModel
from lifecycle.recipe.selection import CheckpointEmbeddings, DataMap, Embeddings, EncoderEmbeddings, LexicalEmbeddings
from tests.tiny_model import tiny_model, tiny_tokenizer

MAP = DataMap(max_points=60, perplexity=5)
LEXICAL = LexicalEmbeddings(kind="lexical", dimensions=16, map=MAP)
TOPICS = (
    ("What does a cat eat?", "A cat eats fish and meat, number {}."),
    ("如何提高粮食产量？", "采用新的灌溉技术和种植方法，编号{}。"),
    ("How do I bake bread?", "Mix flour, water, salt and yeast, then bake it for {} minutes."),
)


def conversations(size: int = 45) -> list[Conversation]:
    rows = []
    for number in range(size):
        question, answer = TOPICS[number % 3]
        messages = (
            Message(role="system", content="A long list of functions that says nothing of the topic."),
            Message(role="user", content=question),
            Message(role="assistant", content=answer.format(number)),
        )
        name = f"c{number:03}"
        rows.append(
            Conversation(id=name, source="s", task="t", group=name, messages=messages, language="en", document_id=name)
        )
    return rows


def run(job: TrainingJob) -> dict[str, Any]:
    embedding_program.main(job)
    return json.loads((Path(job.run_dir) / "result.json").read_bytes())


def embed(directory: Path, rows: list[Conversation], config: Embeddings, model: Path | None = None):
    for name in ("in", "out", "run"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    write_conversations(directory / "in", rows)
    encoder = Encoder(ModelFolder(model, "digest"), directory / "cache", run) if model else None
    facts = build_instruction_embeddings(directory / "in", config, encoder, directory / "out", directory / "run")
    return facts, *read_embeddings(directory / "out")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


def test_lexical_embeddings_bring_together_what_says_the_same_in_both_languages(tmp_path: Path):
    facts, vectors, points, about = embed(tmp_path, conversations(), LEXICAL)
    topic = np.arange(45) % 3
    cosines = vectors @ vectors.T
    same = topic[:, None] == topic[None, :]
    assert cosines[same].min() > cosines[~same].max()
    assert about.label.startswith("lexical")
    assert facts["embeddings"] == about.label
    assert np.isfinite(points).all()
    assert (tmp_path / "run" / "plots" / "data_map.png").is_file()
    assert np.load(tmp_path / "out" / "embeddings.npy").dtype == np.float16


@pytest.mark.parametrize("kind", ["lexical", "checkpoint"])
def test_a_conversation_has_the_same_place_whatever_the_order_of_the_file(tmp_path: Path, checkpoint: Path, kind: str):
    rows = conversations(24)
    config: Embeddings = CheckpointEmbeddings(kind="checkpoint", map=MAP) if kind == "checkpoint" else LEXICAL
    other = np.random.default_rng(3).permutation(len(rows))
    model = checkpoint if kind == "checkpoint" else None
    _, vectors, points, _ = embed(tmp_path / "a", rows, config, model)
    _, again, moved, _ = embed(tmp_path / "b", [rows[index] for index in other], config, model)
    assert (again == vectors[other]).all()
    assert (moved == points[other]).all()


def test_a_killed_run_embeds_only_what_is_missing(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    """It once began again, in the process of the asset itself."""
    monkeypatch.setattr(units, "UNIT", 8)
    config, rows, embedded = CheckpointEmbeddings(kind="checkpoint", map=MAP), conversations(24), []

    def dies(model: Any, rows: Any, *others: Any) -> Any:
        if len(embedded) == 2:
            raise KeyboardInterrupt
        embedded.append(len(rows))
        return pooled(model, rows, *others)

    with monkeypatch.context() as patch:
        patch.setattr(embedding_program, "pooled", dies)
        with pytest.raises(KeyboardInterrupt):
            embed(tmp_path / "a", rows, config, checkpoint)
    facts, vectors, points, _ = embed(tmp_path / "a", rows, config, checkpoint)
    assert (facts["embedding"]["units"], facts["embedding"]["units_reused"]) == (3, 2)
    _, again, same, _ = embed(tmp_path / "b", rows, config, checkpoint)
    assert (again == vectors).all()
    assert (same == points).all()


def test_padding_counts_for_nothing(checkpoint: Path):
    model, _ = load_for_inference(checkpoint, headless=True)
    rows = [[5, 6, 7], [8] * 40, [9], [10, 11, 12, 13, 14]]
    together = pooled(model, rows, pad_token_id=0)
    with torch.inference_mode():
        alone = [model(input_ids=torch.tensor([row])).last_hidden_state[0].mean(0).numpy() for row in rows]
    assert together == pytest.approx(np.stack(alone), abs=1e-5)


def _encoder(directory: Path, pooling: dict[str, bool] | None) -> Path:
    torch.manual_seed(1)
    tokenizer = tiny_tokenizer()
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **size)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    if pooling:
        (directory / "1_Pooling").mkdir()
        (directory / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **pooling}))
    return directory


def test_an_encoder_pools_as_its_folder_says(tmp_path: Path):
    found = {}
    for name, pooling in (
        ("none", None),
        ("mean", {"pooling_mode_mean_tokens": True}),
        ("cls", {"pooling_mode_cls_token": True}),
    ):
        folder = _encoder(tmp_path / name, pooling)
        config = EncoderEmbeddings(kind="encoder", model=StartingModel(path=str(folder)), map=MAP)
        _, found[name], _, _ = embed(tmp_path / f"{name}-made", conversations(12), config, folder)
    assert (found["none"] == found["mean"]).all()
    assert np.abs(found["cls"] - found["mean"]).max() > 0.1
    folder = _encoder(tmp_path / "max", {"pooling_mode_max_tokens": True})
    with pytest.raises(DataError, match="pools by"):
        embed(tmp_path / "max-made", conversations(12), config, folder)


def test_more_conversations_than_the_map_holds_leave_the_rest_off_it(tmp_path: Path):
    config = LexicalEmbeddings(kind="lexical", dimensions=8, map=DataMap(max_points=30, perplexity=5))
    facts, vectors, points, _ = embed(tmp_path, conversations(), config)
    assert facts["on_the_map"] == int(np.isfinite(points[:, 0]).sum()) == 30
    assert vectors.shape == (45, 8)
