"""Chat templates: one golden table, and a loss mask that covers every answer with its end token and nothing else."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from lifecycle.errors import RecipeError
from lifecycle.recipe.recipe import load_recipe
from lifecycle.recipe.training import TokenizerConfig
from lifecycle.stages import TOKENIZER
from lifecycle.tokens.chat import Encoded, check_template, encode_conversations, encode_prompt, load_tokenizer, mask_preview
from lifecycle.tokens.templates import read_template, special_tokens, template_names
from lifecycle.tokens.tokenizer import build_tokenizer, read_format

GOLDEN = yaml.safe_load(Path(__file__).with_name("golden_templates.yaml").read_text(encoding="utf-8"))
RECIPE = Path(__file__).parents[2] / "deploy" / "recipes" / "demo.yaml"
SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [
    {"role": "user", "content": "What is 12?"},
    {"role": "assistant", "content": "A number."},
    {"role": "user", "content": "And 语言?"},
    {"role": "assistant", "content": "A word."},
]
CONVERSATIONS = {
    "turns": TURNS,
    "system": [SYSTEM, *TURNS],
    "input": [
        {"role": "user", "content": "Name it.", "input": "A cat."},
        {"role": "assistant", "content": "Cat."},
    ],
}
CASES = [(name, case) for name in GOLDEN for case in CONVERSATIONS if case in GOLDEN[name]]


@cache
def dressed(tokenizer: Path, name: str) -> Any:
    """The small tokenizer with the template `name` and the special tokens that go with it."""
    source = read_template(name)
    row = GOLDEN[name]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(tokenizer / "tokenizer.json")),
        eos_token=row["eos"],
        pad_token="<|endoftext|>",
        extra_special_tokens=list(special_tokens(source)),
        clean_up_tokenization_spaces=False,
        **({"bos_token": row["bos"]} if "bos" in row else {}),
    )
    fast.chat_template = source
    return fast


def trained(fast: Any, encoded: Encoded) -> list[str]:
    edges = np.flatnonzero(np.diff(encoded.mask)) + 1
    pieces = zip(np.split(encoded.ids, edges), np.split(encoded.mask, edges), strict=True)
    return [fast.decode(piece) for piece, mask in pieces if mask[0]]


def test_the_golden_table_knows_every_built_in_template():
    assert set(GOLDEN) == set(template_names())


@pytest.mark.parametrize(("name", "case"), CASES)
def test_golden_string(tokenizer: Path, name: str, case: str):
    fast = dressed(tokenizer, name)
    assert fast.apply_chat_template(CONVERSATIONS[case], tokenize=False) == GOLDEN[name][case]
    (encoded,) = encode_conversations(fast, [CONVERSATIONS[case]])
    assert fast.decode(encoded.ids) == GOLDEN[name][case]


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("case", ["turns", "system"])
def test_the_mask_covers_each_answer_and_its_end_token(tokenizer: Path, name: str, case: str):
    """Without the end token in the loss a model never learns to stop; stock templates often give an all-zero mask."""
    fast = dressed(tokenizer, name)
    check_template(fast, name)
    (encoded,) = encode_conversations(fast, [CONVERSATIONS[case]])
    assert trained(fast, encoded) == GOLDEN[name]["trained"]
    ends = np.flatnonzero(np.diff(np.append(encoded.mask.astype(int), 0)) == -1)
    assert encoded.ids[ends].tolist() == [fast.eos_token_id] * 2


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(GOLDEN)))
def test_training_text_is_the_inference_prompt_and_the_answer(tokenizer: Path, data: st.DataObject, name: str):
    """At every turn, as text and as tokens: else the model is trained on other tokens than it is asked with."""
    fast = dressed(tokenizer, name)
    system = [{"role": "system", "content": data.draw(TEXT)}] if data.draw(st.booleans()) else []
    messages = [*system]
    for _ in range(data.draw(st.integers(1, 3))):
        messages += [{"role": role, "content": data.draw(TEXT)} for role in ("user", "assistant")]
    whole = fast.apply_chat_template(messages, tokenize=False)
    (encoded,) = encode_conversations(fast, [messages])
    covered = np.zeros_like(encoded.mask)
    for turn in range(len(system) + 1, len(messages), 2):
        asked, answer = messages[:turn], messages[turn]["content"].strip()
        prompt = fast.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        rest = whole.removeprefix(prompt)
        assert whole.startswith(prompt)
        said, end, _ = rest.removeprefix(" ").partition(fast.eos_token)
        assert (said.removesuffix(" "), end) == (answer, fast.eos_token) or (said, end) == (answer, fast.eos_token)
        ids = encode_prompt(fast, asked)
        assert encoded.ids[: len(ids)].tolist() == ids.tolist()
        stop = len(ids) + encoded.ids[len(ids) :].tolist().index(fast.eos_token_id) + 1
        covered[len(ids) : stop] = 1
        if turn == len(system) + 1:
            plain = fast.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=True)
            assert ids.tolist() == plain["input_ids"], "what other programs make of the prompt"
    assert encoded.mask.tolist() == covered.tolist()


def test_a_token_never_spans_the_end_of_a_prompt_and_the_answer(tokenizer: Path):
    """`### Response:` and `:: a list` as one text have the token `::`, which generation cannot begin in the middle of."""
    fast = dressed(tokenizer, "linly")
    messages = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": ":: a list"}]
    naive = fast.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    (encoded,) = encode_conversations(fast, [messages])
    assert encoded.ids.tolist() != naive, "the trap does not exist for this tokenizer"
    assert fast.decode(encoded.ids) == fast.decode(naive)


@pytest.mark.parametrize(
    ("name", "missing"),
    [("llama3", "<|start_header_id|>, <|end_header_id|>, bos_token"), ("yayi", "<|System|>, <|Human|>, <|YaYi|>")],
)
def test_special_tokens_that_a_template_needs_are_named(tokenizer: Path, name: str, missing: str):
    """`<|System|>` as six ordinary tokens trains, and is another format than the one that the recipe names."""
    fast = load_tokenizer(tokenizer)
    fast.chat_template = read_template(name)
    with pytest.raises(RecipeError) as caught:
        check_template(fast, name)
    assert f"tokenizer.chat_template: {name}: " in str(caught.value)
    assert f"does not have: {missing};" in str(caught.value)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_tokenizer_of_our_own_has_what_its_template_needs(corpus: Path, tmp_path: Path, name: str):
    config = TokenizerConfig(vocab_size=400, training_megabytes=0.02, chat_template=name)
    facts = build_tokenizer(corpus, config, tmp_path / "out", tmp_path / "run")
    fast = load_tokenizer(tmp_path / "out")
    assert facts["rows"] == len(fast) == 400
    assert set(special_tokens(read_template(name))) <= set(fast.all_special_tokens), "so that cleaning sees them in messages"
    (encoded,) = encode_conversations(fast, [TURNS])
    assert [text.strip(" ").removesuffix("<|im_end|>").strip(" ") for text in trained(fast, encoded)] == [
        "A number.",
        "A word.",
    ]


OWN = (
    "{#- special tokens: <|q|> #}{% for m in messages %}{% if m['role'] == 'user' %}<|q|>{{ m['content'] }}\n"
    "{% else %}BODY{% endif %}{% endfor %}"
)
GOOD = "{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}"


def test_the_users_own_template_is_taken_from_its_path(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "ours.jinja").write_text(OWN.replace("BODY", GOOD))
    monkeypatch.setenv("TEMPLATES", str(tmp_path))
    config = TokenizerConfig(vocab_size=400, training_megabytes=0.02, chat_template="$TEMPLATES/ours.jinja")
    build_tokenizer(corpus, config, tmp_path / "out", tmp_path / "run")
    fast = load_tokenizer(tmp_path / "out")
    (encoded,) = encode_conversations(fast, [TURNS[:2]])
    assert fast.decode(encoded.ids) == "<|q|>What is 12?\nA number.<|im_end|>"
    assert trained(fast, encoded) == ["A number.<|im_end|>"]
    assert read_format(tmp_path / "out").template == "ours.jinja"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{{ m['content'] + eos_token }}", "put each answer and the eos_token behind it between"),
        ("{% generation %}{{ m['content'] }}{% endgeneration %}{{ eos_token }}", "marked as trained is 'Answer.'"),
        ("{% generation %}{{ m['text'] + eos_token }}{% endgeneration %}", "does not render question and answer"),
        ("{% generation %}{{ m['content'] + eos_token }}", "does not render question and answer"),
        (
            "A:{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}",
            "an answer must follow exactly what generation starts from",
        ),
    ],
)
def test_a_template_that_cannot_train_is_refused_before_anything_is_made(
    corpus: Path, tmp_path: Path, body: str, message: str
):
    (tmp_path / "ours.jinja").write_text(OWN.replace("BODY", body))
    config = TokenizerConfig(vocab_size=400, training_megabytes=0.02, chat_template=str(tmp_path / "ours.jinja"))
    with pytest.raises(RecipeError, match=message):
        build_tokenizer(corpus, config, tmp_path / "out", tmp_path / "run")
    assert not (tmp_path / "out").exists()


def test_a_template_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"tokenizer\.chat_template: cannot read '.*gone\.jinja'"):
        read_template(str(tmp_path / "gone.jinja"))


def test_the_preview_shows_trained_parts_in_bold(tokenizer: Path):
    loaded = load_tokenizer(tokenizer)
    (encoded,) = encode_conversations(loaded, [TURNS[:2]])
    preview = mask_preview(loaded, encoded)
    assert "**A number. `<|im_end|>`**" in preview
    assert preview.startswith("`<|im_start|>` user")


def test_another_text_in_the_users_template_is_another_fingerprint(tmp_path: Path):
    """The path alone would give the old tokenizer back after an edit; the folder it lies in must not matter."""
    recipe = load_recipe(RECIPE)
    seen = []
    for folder, text in (("a", OWN), ("b", OWN), ("a", OWN + " ")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "ours.jinja").write_text(text)
        config = TokenizerConfig(chat_template=str(tmp_path / folder / "ours.jinja"))
        seen.append(TOKENIZER.identity(recipe.model_copy(update={"tokenizer": config}), None))
    assert seen[0] == seen[1] != seen[2]
