"""Difficulty and perplexity: the numbers are those of one plain forward pass for each text, however rows share passes."""

import numpy as np
import pytest
import torch

from lifecycle.instructions import answer_losses as module
from lifecycle.instructions.answer_losses import Row, answer_losses, answers_alone, scored_tokens
from lifecycle.pretrained import load_for_inference
from lifecycle.tokens.chat import encode_conversations
from lifecycle.tokens.templates import read_template
from tests.tiny_model import tiny_model


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory):
    return load_for_inference(tiny_model(tmp_path_factory.mktemp("model")))


def _losses(model, ids: list[int], wanted: list[int]) -> np.ndarray:
    """Losses in nats of the wanted positions, by one unpadded pass and float64 arithmetic behind the model."""
    logps = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return np.array([-logps[place - 1, ids[place]].item() for place in wanted])


CONVERSATIONS = [
    [("user", "What does os.path.join do?"), ("assistant", "It joins parts of a path.")],
    [("user", "a"), ("assistant", "b")],
    [("system", "Be brief."), ("user", "返回什么？"), ("assistant", "返回文件的路径。")],
    [("user", "first " * 40), ("assistant", "one " * 30 + "."), ("user", "and?"), ("assistant", "a function"),
     ("user", "so?"), ("assistant", "class")],
]  # fmt: skip


def test_losses_are_those_of_plain_passes(loaded, monkeypatch: pytest.MonkeyPatch):
    """Padding, shared passes and the order of rows change nothing; several turns count by their tokens."""
    model, tokenizer = loaded
    tokenizer.chat_template = read_template("chatml")
    chats = [[{"role": role, "content": content} for role, content in turns] for turns in CONVERSATIONS]
    encoded = list(encode_conversations(tokenizer, chats))
    rows = [Row(each.ids, scored_tokens(each, tokenizer.all_special_ids)) for each in encoded]
    expected = []
    for each in encoded:
        ids = each.ids.tolist()
        answers = [i for i in range(len(ids)) if each.mask[i] and ids[i] != tokenizer.eos_token_id]
        assert tokenizer.decode([ids[i] for i in answers]) == "".join(
            m["content"] for m in chats[len(expected)] if m["role"] == "assistant"
        )
        runs = np.split(answers, np.flatnonzero(np.diff(answers) > 1) + 1)
        alone = [_losses(model, ids[run[0] - 1 : run[-1] + 1], list(range(1, len(run) + 1))) for run in runs]
        expected.append((_losses(model, ids, answers).mean(), np.concatenate(alone).mean()))
    counts = np.array([row.wanted.sum() for row in rows])
    for tokens in (1, 300, 100_000):
        monkeypatch.setattr(module, "TOKENS", tokens)
        np.testing.assert_allclose((answer_losses(model, rows, 0) / counts).T, expected, rtol=2e-6)


def test_an_answer_alone_keeps_its_tokens_and_the_one_before():
    ids = np.arange(10)
    wanted = np.array([0, 0, 1, 1, 0, 0, 0, 1, 0, 0], dtype=bool)
    found = [(row.ids.tolist(), row.wanted.tolist()) for row in answers_alone(ids, wanted)]
    assert found == [([1, 2, 3], [False, True, True]), ([6, 7], [False, True])]
