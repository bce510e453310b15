"""Chat templates: golden strings, and a loss mask that covers every answer with its end token and nothing else."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.tokens.chat import encode_conversations, load_tokenizer, mask_preview
from lifecycle.tokens.templates import read_template, template_names

TURNS = [
    {"role": "user", "content": "What is 12?"},
    {"role": "assistant", "content": "A number."},
    {"role": "user", "content": "And 语言?"},
    {"role": "assistant", "content": "A word."},
]
SYSTEM = {"role": "system", "content": "Be brief."}
GOLDEN = {
    "chatml": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is 12?<|im_end|>\n"
        "<|im_start|>assistant\nA number.<|im_end|>\n<|im_start|>user\nAnd 语言?<|im_end|>\n"
        "<|im_start|>assistant\nA word.<|im_end|>\n"
    ),
    "alpaca": (
        "Be brief.\n\n### Instruction:\nWhat is 12?\n\n### Response:\nA number.<|im_end|>\n\n"
        "### Instruction:\nAnd 语言?\n\n### Response:\nA word.<|im_end|>"
    ),
}


@pytest.fixture(params=template_names())
def fast(request: pytest.FixtureRequest, tokenizer: Path):
    loaded = load_tokenizer(tokenizer)
    loaded.chat_template = read_template(request.param)
    loaded.name_of_template = request.param
    return loaded


def test_every_built_in_template_has_its_golden_string(fast):
    assert fast.apply_chat_template([SYSTEM, *TURNS], tokenize=False) == GOLDEN[fast.name_of_template]


def test_alpaca_without_a_system_message_opens_with_its_own_sentence(tokenizer: Path):
    loaded = load_tokenizer(tokenizer)
    loaded.chat_template = read_template("alpaca")
    assert loaded.apply_chat_template(TURNS[:1], tokenize=False, add_generation_prompt=True) == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nWhat is 12?\n\n### Response:\n"
    )


def test_the_mask_covers_each_answer_and_its_end_token(fast):
    """Without the end token in the loss a model never learns to stop; stock templates often give an all-zero mask."""
    (encoded,) = encode_conversations(fast, [[SYSTEM, *TURNS]])
    edges = np.flatnonzero(np.diff(encoded.mask)) + 1
    trained = [
        fast.decode(piece)
        for piece, mask in zip(np.split(encoded.ids, edges), np.split(encoded.mask, edges), strict=True)
        if mask[0]
    ]
    assert trained == ["A number.<|im_end|>", "A word.<|im_end|>"]
    assert fast.decode(encoded.ids) == GOLDEN[fast.name_of_template]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_prompt_is_the_beginning_of_prompt_and_answer(tokenizer: Path, data: st.DataObject):
    """Else the model is trained on other tokens than it is asked with."""
    text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30)
    loaded = load_tokenizer(tokenizer)
    loaded.chat_template = read_template(data.draw(st.sampled_from(template_names())))
    prompt = [{"role": "user", "content": data.draw(text)}]
    asked = loaded.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
    (whole,) = encode_conversations(loaded, [[*prompt, {"role": "assistant", "content": data.draw(text)}]])
    assert whole.ids[: len(asked)].tolist() == asked
    assert int(np.flatnonzero(whole.mask)[0]) == len(asked)


def test_the_preview_shows_trained_parts_in_bold(tokenizer: Path):
    loaded = load_tokenizer(tokenizer)
    (encoded,) = encode_conversations(loaded, [TURNS[:2]])
    preview = mask_preview(loaded, encoded)
    assert "**A number. `<|im_end|>`**" in preview
    assert preview.startswith("`<|im_start|>` user")
