"""The reference's log-probabilities: computed once, and what is kept is what would be computed."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifecycle.preferences.logps import token_logps
from lifecycle.pretrained import load_for_inference
from lifecycle.recipe.preference_training import DpoConfig
from lifecycle.training.exits import NumericsError
from lifecycle.training.preference_data import RenderedPairs
from lifecycle.training.preference_heldout import implicit_rewards, sides
from lifecycle.training.reference import ReferenceSource, reference_logps

CONFIG = DpoConfig(micro_batch=2, global_batch=2)
IDS = st.lists(st.integers(3, 390), min_size=1, max_size=9)
ROWS = st.lists(st.tuples(IDS, IDS), min_size=1, max_size=7)


@pytest.fixture(scope="module")
def loaded(model_directory: Path):
    return load_for_inference(model_directory)


def source(directory: Path, **changed: str) -> ReferenceSource:
    return ReferenceSource.model_validate({"model": "a", "data": "b", "results": str(directory)} | changed)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, world=st.integers(2, 4))
def test_kept_numbers_are_those_that_would_be_computed(tmp_path: Path, loaded, rows, world):
    """Bit for bit, also where several processes share the batches; a run of another loss, beta or seed finds them."""
    model, tokenizer = loaded
    named = {"train_chosen": rows, "heldout_chosen": rows[:1]}
    first = reference_logps(model, tokenizer, named, source(tmp_path), CONFIG)
    other = CONFIG.model_copy(update={"beta": 0.7, "loss_type": ("ipo",), "seed": 5, "learning_rate": 1.0})
    again = reference_logps(None, tokenizer, named, source(tmp_path), other)
    assert again.reused
    for name, values in first.logps.items():
        computed = token_logps(model, named[name], pad_token_id=tokenizer.pad_token_id, batch=4)
        shared = sum(
            token_logps(model, named[name], pad_token_id=tokenizer.pad_token_id, batch=4, share=(rank, world))
            for rank in range(world)
        )
        assert values.tobytes() == again.logps[name].tobytes() == computed.tobytes() == np.asarray(shared).tobytes()


def test_whatever_decides_the_numbers_decides_whether_they_are_reused(tmp_path: Path, loaded):
    model, tokenizer = loaded
    rows = {"train_chosen": [([5, 6], [7, 8])]}
    assert not reference_logps(model, tokenizer, rows, source(tmp_path), CONFIG).reused
    assert reference_logps(model, tokenizer, rows, source(tmp_path), CONFIG).reused
    for changed in (source(tmp_path, model="c"), source(tmp_path, data="c")):
        assert not reference_logps(model, tokenizer, rows, changed, CONFIG).reused
    assert not reference_logps(model, tokenizer, {"train_chosen": [([5, 6], [7, 9])]}, source(tmp_path), CONFIG).reused
    bf16 = CONFIG.model_copy(update={"precision": "bf16"})
    assert not reference_logps(model, tokenizer, rows, source(tmp_path), bf16).reused
    template = tokenizer.chat_template
    tokenizer.chat_template = template + " "
    assert not reference_logps(model, tokenizer, rows, source(tmp_path), CONFIG).reused
    tokenizer.chat_template = template


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_model_that_has_not_moved_prefers_nothing(tmp_path: Path, loaded, precision: str):
    """The reference was once kept as autocast to bf16 gave it, and held-out pairs were measured without."""
    model, tokenizer = loaded
    config = CONFIG.model_copy(update={"precision": precision})
    row = {"prompt_ids": [5, 6], "chosen_ids": [7, 8, 9], "rejected_ids": [10]}
    pairs = RenderedPairs(["a", "b", "c"], ["test"] * 3, [row, row | {"chosen_ids": [11]}, row | {"prompt_ids": [4]}], 0)
    reference = reference_logps(model, tokenizer, sides(pairs, "heldout"), source(tmp_path), config)
    measured = implicit_rewards(pairs, reference, tokenizer.pad_token_id, config)(model)
    assert (measured.rewards.accuracy, measured.rewards.margin, measured.figures["kl"]) == (0.0, 0.0, 0.0)
    assert measured.loss == pytest.approx(math.log(2))
    assert not measured.collapsed


def test_a_damaged_entry_is_computed_again(tmp_path: Path, loaded):
    model, tokenizer = loaded
    rows = {"train_chosen": [([5, 6], [7, 8])]}
    first = reference_logps(model, tokenizer, rows, source(tmp_path), CONFIG)
    (file,) = tmp_path.rglob("train_chosen.npy")
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    again = reference_logps(model, tokenizer, rows, source(tmp_path), CONFIG)
    assert not again.reused
    assert again.logps["train_chosen"].tobytes() == first.logps["train_chosen"].tobytes()


def test_a_reference_without_numbers_is_refused_and_not_kept(tmp_path: Path, model_directory: Path):
    model, tokenizer = load_for_inference(model_directory)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(NumericsError, match="row 0 of train_chosen"):
        reference_logps(model, tokenizer, {"train_chosen": [([5, 6], [7, 8])]}, source(tmp_path), CONFIG)
    assert not list(tmp_path.rglob("*.npy"))
