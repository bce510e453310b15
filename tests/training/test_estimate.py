"""What preflight says a run needs is what the run then has."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd.graph import saved_tensors_hooks
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.pretrained import load_model, load_tokenizer
from lifecycle.recipe.adaptation import Adapter
from lifecycle.recipe.preference_training import DpoConfig
from lifecycle.recipe.training import Architecture, CausalTraining
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.adapters import adapt
from lifecycle.training.batches import Batch, PackedDocuments
from lifecycle.training.estimate import estimate, given_shape, new_shape, rows
from lifecycle.training.exits import ConfigurationError, NumericsError
from lifecycle.training.export import copy_tokenizer
from lifecycle.training.guards import explain_memory
from lifecycle.training.kernels import checkpoint_activations
from lifecycle.training.loss import hidden_states
from lifecycle.training.memory import (
    activation_bytes,
    checkpoint_bytes,
    disk_bytes,
    kept_bytes,
    largest_micro_batch,
    memory,
    states,
)
from lifecycle.training.model import build_model, parameter_groups
from lifecycle.training.needs import needs, preview
from lifecycle.training.preflight import check_batch
from lifecycle.training.throughput import shape_of
from tests.tracking.chain import small_recipe
from tests.training import tiny


def training(**changed: Any) -> CausalTraining:
    fields = {"steps": 10, "global_batch": 4, "sequence_length": 64, "optimization": {"learning_rate": 1e-3}}
    return CausalTraining.model_validate(fields | {"processes": 1, "micro_batch": 2} | changed)


@pytest.fixture(scope="module")
def batch(memmap: Path) -> Batch:
    return PackedDocuments(TokenMemmap(memmap), 64, "pretrain").batch(np.arange(1))


@pytest.fixture
def model(tokenizer: Path) -> Any:
    return build_model(tiny.ARCHITECTURE, tiny.VOCAB, torch.float32, 0, tokenizer)


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_counted_before_the_model_exists(tmp_path: Path, tokenizer: Path, tied: bool) -> None:
    architecture = tiny.ARCHITECTURE.model_copy(update={"tie_embeddings": tied})
    built = build_model(architecture, tiny.VOCAB, torch.float32, 0, tokenizer)
    found = new_shape(architecture, tiny.VOCAB, training())
    assert found.parameters == sum(parameter.numel() for parameter in built.parameters())
    assert found == shape_of(built)
    built.save_pretrained(str(tmp_path))
    assert given_shape(tmp_path, training()) == found


def test_a_model_of_one_billion_weights_costs_nothing_to_count() -> None:
    """TinyLlama-1.1B, whose published size is 1,100,048,384."""
    architecture = Architecture(
        hidden_size=2048, layers=22, heads=32, kv_heads=4, intermediate_size=5632, tie_embeddings=False, max_positions=2048
    )
    assert new_shape(architecture, 32_000, training()).parameters == 1_100_048_384


@pytest.mark.parametrize("adapter", [None, Adapter(rank=4), Adapter(kind="dora", rank=4)])
def test_the_optimizers_state_has_the_size_foretold(
    tmp_path: Path, model: Any, batch: Batch, adapter: Adapter | None
) -> None:
    settings = training(precision="fp32", zero_stage=0, adapter=adapter.model_dump() if adapter else None)
    shape = new_shape(tiny.ARCHITECTURE, tiny.VOCAB, settings)
    if adapter:
        adapt(model, adapter, tmp_path, 0)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.1))
    hidden_states(model, batch.ids, batch.positions, batch.segments).sum().backward()
    optimizer.step()
    weights, gradients, moments = states(shape, settings)
    assert weights == sum(p.numel() * p.element_size() for p in model.parameters())
    trained = [p for p in model.parameters() if p.requires_grad]
    assert gradients == sum(p.numel() * 4 for p in trained)
    held = [value for state in optimizer.state.values() for value in state.values() if value.dim() > 0]
    assert moments == sum(value.numel() * value.element_size() for value in held)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_zero_divides_what_the_paper_says_it_divides(stage: int) -> None:
    shape = new_shape(tiny.ARCHITECTURE, tiny.VOCAB, training())
    one = states(shape, training(zero_stage=stage))
    four = states(shape, training(zero_stage=stage, processes=4, micro_batch=1))
    divided = [before // after for before, after in zip(one, four, strict=True)]
    assert divided == {1: [1, 1, 4], 2: [1, 4, 4], 3: [4, 4, 4]}[stage]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_activations_of_a_layer_are_what_autograd_keeps(tokenizer: Path, precision: str) -> None:
    """Measured as the difference that one more layer makes to what the backward pass holds."""
    dtype, width = (torch.bfloat16, 2) if precision == "bf16" else (torch.float32, 4)
    length, kept = 128, []
    for layers in (1, 2):
        architecture = Architecture(hidden_size=128, layers=layers, heads=4, kv_heads=2, intermediate_size=384)
        built = build_model(architecture, tiny.VOCAB, dtype, 0, tokenizer)
        own = {parameter.data_ptr() for parameter in built.parameters()}
        storages: dict[int, int] = {}

        def keep(tensor: torch.Tensor, own: set[int] = own, storages: dict[int, int] = storages) -> torch.Tensor:
            if tensor.data_ptr() not in own:
                storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        ids = torch.arange(length)[None] % tiny.VOCAB
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            hidden = hidden_states(built, ids, torch.arange(length)[None], torch.zeros(1, length, dtype=torch.long))
        kept.append(sum(storages.values()))
        del hidden
    shape = shape_of(built)
    assert (kept[1] - kept[0]) / length == pytest.approx(activation_bytes(shape, width), rel=0.15)


def test_checkpointed_blocks_keep_their_input_and_one_of_them_all(tokenizer: Path) -> None:
    """Measured as what the backward pass of four layers holds, less what one of them computes again."""
    length, architecture = 128, Architecture(hidden_size=128, layers=4, heads=4, kv_heads=2, intermediate_size=384)
    built = build_model(architecture, tiny.VOCAB, torch.float32, 0, tokenizer).train()
    assert checkpoint_activations(built, 2) == 2
    own = {parameter.data_ptr() for parameter in built.parameters()}
    storages: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    ids = torch.arange(length)[None] % tiny.VOCAB
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = hidden_states(built, ids, torch.arange(length)[None], torch.zeros(1, length, dtype=torch.long))
    del hidden
    settings = training(precision="fp32", zero_stage=0, checkpoint_activations=2)
    foretold = kept_bytes(shape_of(built), settings) - activation_bytes(shape_of(built), 4)
    assert sum(storages.values()) / length == pytest.approx(foretold, rel=0.2)


def test_time_is_stated_only_where_the_peak_is_known() -> None:
    shape, settings = new_shape(tiny.ARCHITECTURE, tiny.VOCAB, training()), training()
    known = estimate(shape, settings, device="NVIDIA H200", mfu=0.5, tokens=1280)
    assert known.epochs == 2
    assert known.seconds is not None
    halved = estimate(shape, settings, device="NVIDIA H200", mfu=0.25).seconds
    assert halved == pytest.approx(2 * known.seconds)
    assert known.gpu_hours == pytest.approx(known.seconds / 3600)
    unknown = estimate(shape, settings, device="Abacus 9000")
    assert unknown.seconds is None
    assert dict(rows(unknown, "Abacus 9000", 0.4))["time"] == "unknown: no peak is known of Abacus 9000"


def test_a_trial_pass_changes_nothing(model: Any, batch: Batch) -> None:
    before = [parameter.clone() for parameter in model.parameters()]
    state = torch.get_rng_state()
    loss = check_batch(model, batch, "fp32", lambda: [7])
    assert loss == pytest.approx(float(np.log(tiny.VOCAB)), rel=0.05)
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, model.parameters(), strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_a_trial_pass_finds_broken_weights_and_useless_ones(model: Any, batch: Batch) -> None:
    model.unused = torch.nn.Parameter(torch.zeros(3))
    with pytest.raises(ConfigurationError, match="unused is to be trained"):
        check_batch(model, batch, "fp32", lambda: [7])
    del model.unused
    model.model.norm.weight.data[0] = float("nan")
    with pytest.raises(NumericsError, match=r"the loss is nan.*documents 7"):
        check_batch(model, batch, "fp32", lambda: [7])


def test_the_plan_tells_what_the_trainings_need(tmp_path: Path) -> None:
    """With the tokens of the memmaps that are there; the JSON of the same command holds the same figures."""
    recipe = tmp_path / "recipe.yaml"
    small_recipe(tmp_path)
    arguments = ["plan", "--recipe", str(recipe), "--home", str(tmp_path / "home"), "--preflight", "--device", "H200"]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    assert "40% MFU of H200" in told.output
    assert "no memmap yet" in told.output
    assert "unknown: none made yet" in told.output
    data = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    base = data["preflight"]["base_model"]
    assert base["tokens"] == 1200 * 8 * 64
    assert base["shape"]["parameters"] == 4096 * 128 + 4 * (4 * 128**2 + 3 * 128 * 384 + 2 * 128) + 128
    assert base["memory_total"] == sum(base["memory"].values())
    dpo = data["preflight"]["dpo_model"]
    assert (dpo["steps"], dpo["seconds"]) == (None, None)
    assert dpo["shape"] == base["shape"]


def test_what_is_there_already_is_told(tmp_path: Path, tokenizer: Path, memmap: Path, sft_memmap: Path) -> None:
    """The loss mask is looked at before the GPUs are asked for: a template without marks once trained on nothing."""
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    pq.write_table(pa.table({"id": [str(number) for number in range(33)]}), pairs / "train.parquet")
    made = {"tokenizer": tokenizer, "pretrain_memmap": memmap, "sft_memmap": sft_memmap, "preference_pairs": pairs}
    recipe = small_recipe(tmp_path)
    found = needs(recipe, made.get, "H200", 0.4)
    digest = TokenMemmap(memmap).describe.tokenizer_digest
    assert dict(found["base_model"].notes)["data and tokenizer"] == f"match (tokenizer {digest})"
    assert found["base_model"].shape.vocabulary == tiny.VOCAB
    assert set(found) == {"base_model", "sft_model", "dpo_model"}
    assert dict(found["dpo_model"].notes)["pairs"] == "33"
    assert found["dpo_model"].steps == 3, "33 pairs in batches of 16"
    assert found["dpo_model"].seconds
    document = TokenMemmap(sft_memmap)
    assert document.loss_mask is not None
    fast = load_tokenizer(tokenizer)
    trained = fast.decode(document.document(0)[document.loss_mask[: document.offsets[1]] > 0].tolist())
    bold = preview(made.get).split("**")[1].replace("\\", "").replace(" `<|endoftext|>`", "<|endoftext|>")
    assert bold.strip() == trained.strip()
    assert "**Answer." in preview({"tokenizer": tokenizer}.get)
    assert preview({}.get) == ""
    other = tiny.make_memmap(tmp_path / "other", tokenizer)
    (description,) = other.glob("*.json")
    description.write_text(description.read_text().replace(digest, "0" * 32))
    with pytest.raises(ConfigurationError, match=f"{'0' * 32}.*{digest}"):
        needs(recipe, (made | {"pretrain_memmap": other}).get, None, 0.4)


def test_all_trainings_on_preferences_are_foretold(tmp_path: Path) -> None:
    """KTO and the reward model were once left out, and an adapter was counted as if all weights were trained."""
    more = "rounds: 2\nkto: {global_batch: 8, max_length: 32}\nreward_model: {max_length: 32}\n"
    more += "preferences: {sources: [{kind: files, name: labels, path: labels.jsonl, licence: ours}]}\n"
    more += (
        "added_instructions: [{round: 2, steps: 7, sources: [{kind: files, name: more, path: more.jsonl, licence: ours}]}]\n"
    )
    tables = {"preference_pairs": ("train.parquet", 33), "raw_preferences": ("labels.parquet", 20)}
    made = {name: tmp_path / name for name in tables}
    for name, (file, count) in tables.items():
        made[name].mkdir()
        pq.write_table(pa.table({"id": list(map(str, range(count)))}), made[name] / file)
    found = needs(small_recipe(tmp_path, lambda text: text + more), made.get, "H200", 0.4)
    whole, kto, scorer = (found[name] for name in ("dpo_model", "kto_model", "reward_model"))
    assert found["dpo_model_r2"].shape == whole.shape == kto.shape
    assert (found["sft_model"].steps, found["sft_model_r2"].steps) == (300, 7)
    assert found["dpo_model_r2"].steps is None, "the second round's pairs are not there"
    assert (kto.steps, dict(kto.notes)["labelled answers"]) == (3, "20")
    assert kto.tokens == 3 * 8 * 32, "one answer a row, where a pair has two"
    assert (scorer.steps, dict(scorer.notes)["pairs"]) == (3, "33")
    assert "reference" not in dict(scorer.notes)
    assert scorer.memory.logits * whole.shape.vocabulary == whole.memory.logits / 256 * 32, "one output at each place"
    assert scorer.shape.parameters == whole.shape.parameters + whole.shape.hidden, "embeddings are tied"
    adapted = more + "dpo: {adapter: {rank: 4}}\n"
    small = needs(small_recipe(tmp_path, lambda text: text + adapted), made.get, "H200", 0.4)["dpo_model"]
    assert 0 < small.shape.trainable < whole.shape.trainable / 10
    assert small.shape.parameters == whole.shape.parameters + small.shape.trainable
    trained = small.shape.trainable
    assert (small.memory.gradients, small.memory.optimizer, small.checkpoints) == (4 * trained, 8 * trained, 36 * trained)
    assert small.seconds is not None
    assert whole.seconds is not None
    assert small.seconds < whole.seconds


def test_the_disk_must_hold_the_best_one_and_a_conversion() -> None:
    """A run that began with room for the last checkpoints alone once stopped at its first best one."""
    shape = new_shape(tiny.ARCHITECTURE, tiny.VOCAB, training())
    best = {"validation": {"every": 5, "choose": "best"}}
    one = checkpoint_bytes(shape, training(**best))
    assert one == shape.trainable * (2 + 12)
    assert disk_bytes(shape, training(keep_checkpoints=2, **best)) == 3 * one + 24 * shape.trainable
    assert disk_bytes(shape, training(keep_checkpoints=2)) == 2 * one + 24 * shape.trainable


@given(room=st.integers(10**5, 10**8))
def test_the_micro_batch_advised_is_the_largest_that_fits(room: int) -> None:
    settings = training(global_batch=48, processes=2, micro_batch=24)
    shape = new_shape(tiny.ARCHITECTURE, tiny.VOCAB, settings)
    needed = {
        size: 1.1 * memory(shape, settings.model_copy(update={"micro_batch": size})).total
        for size in (1, 2, 3, 4, 6, 8, 12, 24)
    }
    assert largest_micro_batch(shape, settings, room) == max((s for s in needed if needed[s] <= room), default=None)


def test_dpo_out_of_memory_says_what_to_try_next() -> None:
    settings = DpoConfig(global_batch=16, micro_batch=8, max_length=100)
    found = explain_memory(RuntimeError("CUDA out of memory"), 4, settings)
    assert "step 4: out of memory with micro_batch 8 x 200 tokens; try micro_batch 4 (accumulation 4)" in str(found)


def test_preflight_says_tasks_phases_and_passes(tmp_path: Path, tokenizer: Path, memmap: Path) -> None:
    """What a run of days will see is read before it, in the words of its own log."""
    tuning = ("balance: {per: task, weights: {b: 2}}", "phases: {into: 2}", "pretraining: {share: 0.25}")
    recipe = small_recipe(tmp_path, lambda text: text.replace("sft:", "\n  ".join(["sft:", *tuning])))
    conversations = tiny.make_memmap(tmp_path / "sft", tokenizer, masked=True, tasks=("a", "b"))
    made = {"sft_memmap": conversations, "pretrain_memmap": memmap}
    found = needs(recipe, made.get, None, 0.4)
    said = dict(rows(found["sft_model"], None, 0.4))
    assert said["tasks"] == "a 60, b 60 (weight 2); each task a mean of its own"
    assert said["phases"].startswith("1: 60 conversations, ")
    assert said["pretraining text"].startswith("2 of 8 sequences in each batch, weight 1 per task, ")
    assert "efficiency" in said["packing"]
    epochs = 300 * 6 * 64 / TokenMemmap(conversations).describe.tokens
    assert said["tokens"].endswith(f"{epochs:.2f} epochs"), "of the conversations, not of the text beside them"
    assert "tasks" not in dict(rows(found["base_model"], None, 0.4))
    assert "tasks" not in dict(needs(recipe, {"sft_memmap": conversations}.get, None, 0.4)["sft_model"].notes)


def test_a_given_model_of_another_family_is_counted(tmp_path: Path, tokenizer: Path) -> None:
    """Heads of a size of their own (Qwen 3) and another layer layout must not be taken for Llama's."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=tiny.VOCAB,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).save_pretrained(str(tmp_path))
    copy_tokenizer(tokenizer, tmp_path)
    found = given_shape(tmp_path, training())
    assert found.parameters == load_model(tmp_path).num_parameters()
    assert (found.attention, found.key_values) == (64, 32)
