"""Generation: what a batch returns must not depend on how it was batched, and must be what the model says."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lifecycle.errors import DataError
from lifecycle.preferences.generate import generate_answers
from lifecycle.preferences.logps import answer_logps
from lifecycle.preferences.render import pair_ids
from lifecycle.tokens.chat import encode_conversations, encode_prompt

PROMPTS = [[{"role": "user", "content": "what does it return " * (i % 5 + 1) + str(i)}] for i in range(17)]


def generate(model, tokenizer, prompts, **settings) -> list[list[str]]:
    return [[answer.text for answer in row] for row in generate_answers(model, tokenizer, prompts, **settings)]


@pytest.fixture(scope="module")
def loaded(model_directory: Path):
    return AutoModelForCausalLM.from_pretrained(model_directory).eval(), AutoTokenizer.from_pretrained(model_directory)


@pytest.mark.parametrize("temperatures", [(0.0, 0.0), (1.0, 1.0), (0.0, 0.7)])
def test_answers_do_not_depend_on_the_batch_size(loaded, temperatures):
    """`batch` is a runtime field: with another one, preference pairs must stay the same."""
    model, tokenizer = loaded
    one, many = (
        generate(model, tokenizer, PROMPTS, max_new_tokens=12, temperatures=temperatures, batch=batch, seed=3)
        for batch in (2, 64)
    )
    assert one == many
    assert len(one) == len(PROMPTS)
    assert all(len(row) == 2 for row in one)


def test_an_answer_does_not_depend_on_which_prompts_share_its_batch(loaded):
    """A prompt that is added must not change the answers that others got; padding and company are others then."""
    model, tokenizer = loaded
    settings = {"max_new_tokens": 12, "temperatures": (0.0, 0.7, 1.3), "seed": 3}
    together = generate(model, tokenizer, PROMPTS, keys=[100 + i for i in range(len(PROMPTS))], **settings)
    for company in ([3], [16, 3, 0], [3, 4, 5, 6, 7, 8]):
        answers = generate(model, tokenizer, [PROMPTS[i] for i in company], keys=[100 + i for i in company], **settings)
        assert answers == [together[i] for i in company]


def test_greedy_equals_transformers_own(loaded):
    """Left padding, positions and cache of our loop against `model.generate` on single unpadded prompts."""
    model, tokenizer = loaded
    ours = generate(model, tokenizer, PROMPTS[:6], max_new_tokens=10, batch=6)
    for prompt, (answer,) in zip(PROMPTS[:6], ours, strict=True):
        ids = torch.from_numpy(encode_prompt(tokenizer, prompt)).unsqueeze(0)
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False)
        assert answer == tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()


def test_sampling_follows_the_model_and_the_seed(loaded):
    model, tokenizer = loaded
    first = generate(model, tokenizer, PROMPTS, max_new_tokens=8, temperatures=(1.0,) * 3, seed=1)
    assert first == generate(model, tokenizer, PROMPTS, max_new_tokens=8, temperatures=(1.0,) * 3, seed=1)
    assert first != generate(model, tokenizer, PROMPTS, max_new_tokens=8, temperatures=(1.0,) * 3, seed=2)
    assert any(len(set(row)) > 1 for row in first)
    cold = generate(model, tokenizer, PROMPTS, max_new_tokens=8, temperatures=(1e-4,), seed=1)
    assert cold == generate(model, tokenizer, PROMPTS, max_new_tokens=8)


def test_finished_means_the_end_of_turn_was_written(loaded):
    model, tokenizer = loaded
    answers = [
        a for row in generate_answers(model, tokenizer, PROMPTS, max_new_tokens=6, temperatures=(3.0,) * 40) for a in row
    ]
    assert any(answer.finished for answer in answers)
    assert all(answer.tokens == 6 for answer in answers if not answer.finished)
    assert not any("<|im_end|>" in answer.text for answer in answers)


def test_logps_do_not_depend_on_padding(loaded):
    model, tokenizer = loaded
    rows = [pair_ids(tokenizer, prompt, "Return the path " * (i % 3 + 1)) for i, prompt in enumerate(PROMPTS)]
    alone = answer_logps(model, rows, pad_token_id=tokenizer.pad_token_id, batch=1)
    together = answer_logps(model, rows, pad_token_id=tokenizer.pad_token_id, batch=32)
    assert torch.allclose(alone, together, atol=1e-3)
    assert bool((alone < 0).all())


def test_the_answer_ends_with_the_end_of_turn_and_nothing_after(loaded):
    """TRL's own tokenization also trains the newline that ChatML puts behind the turn; SFT does not."""
    _, tokenizer = loaded
    start, answer = pair_ids(tokenizer, PROMPTS[0], "Yes.")
    assert answer[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(start).endswith("<|im_start|>assistant\n")
    assert tokenizer.decode(answer) == "Yes.<|im_end|>"


def test_an_answer_that_begins_with_white_space_still_follows_the_prompt_of_generation(loaded):
    """The tokenizer may merge the newline of the header with the spaces behind it; that pair was refused once."""
    _, tokenizer = loaded
    start, answer = pair_ids(tokenizer, PROMPTS[0], "\n    indented")
    assert start == encode_prompt(tokenizer, PROMPTS[0]).tolist()
    assert tokenizer.decode(answer) == "\n    indented<|im_end|>"


def test_a_pair_is_what_sft_trains_on(loaded):
    """DPO once rendered with code of its own, which joined an earlier answer with the text around it."""
    _, tokenizer = loaded
    history = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "\n two"},
        {"role": "user", "content": "three"},
    ]
    start, answer = pair_ids(tokenizer, history, "\n four")
    (whole,) = encode_conversations(tokenizer, [[*history, {"role": "assistant", "content": "\n four"}]])
    assert start + answer == whole.ids[: len(start + answer)].tolist()
    assert whole.mask[len(start) :].tolist() == [1] * len(answer) + [0] * (len(whole.ids) - len(start + answer))


def test_a_template_that_rewrites_the_prompt_is_refused(loaded):
    tokenizer = AutoTokenizer.from_pretrained(loaded[1].name_or_path)
    tokenizer.chat_template = "{% if add_generation_prompt %}A{% else %}B{% endif %}"
    with pytest.raises(DataError, match="renders a prompt differently"):
        pair_ids(tokenizer, PROMPTS[0], "Yes.")
