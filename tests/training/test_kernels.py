"""What makes a step faster or smaller must not change it."""

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers.modeling_layers import GradientCheckpointingLayer

from lifecycle.recipe.training import CausalTraining
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training import loss as loss_module
from lifecycle.training.batches import PackedDocuments
from lifecycle.training.collection import EVERY, collected_seldom
from lifecycle.training.cross_entropy import can_fuse, fused_linear_cross_entropy
from lifecycle.training.engine import engine_config
from lifecycle.training.kernels import checkpoint_activations, is_compiled, uses_liger
from lifecycle.training.loss import WeightedLoss, weighted_cross_entropy
from lifecycle.training.model import build_model
from tests.training import tiny


def head_and_inputs(dtype: torch.dtype) -> tuple[nn.Linear, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(4)
    head = nn.Linear(16, 50, bias=False, dtype=dtype)
    hidden = torch.randn(23, 16, dtype=dtype, requires_grad=True)
    weights = torch.rand(23) * (torch.arange(23) % 3 > 0)
    return head, hidden, torch.randint(50, (23,)), weights


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("rows", [1, 7, 23, 100])
@pytest.mark.parametrize("z_loss", [0.0, 1e-2])
def test_fused_cross_entropy_has_the_value_and_gradients_of_the_plain_one(
    rows: int, dtype: torch.dtype, tolerance: float, z_loss: float
) -> None:
    head, hidden, labels, weights = head_and_inputs(dtype)
    found = []
    for loss, size in ((weighted_cross_entropy, ()), (fused_linear_cross_entropy, (rows,))):
        head.weight.grad = hidden.grad = None
        value = loss(head, hidden, labels, weights, *size, z_loss=z_loss)
        (value * 3).backward()
        found.append([value.detach(), hidden.grad, head.weight.grad])
    torch.testing.assert_close(found[1], found[0], rtol=tolerance, atol=tolerance)


def test_fused_cross_entropy_gives_only_what_is_asked_for() -> None:
    head, hidden, labels, weights = head_and_inputs(torch.float32)
    head.weight.requires_grad_(False)
    fused_linear_cross_entropy(head, hidden, labels, weights, 7).backward()
    assert head.weight.grad is None
    assert hidden.grad is not None
    with torch.no_grad():
        value = fused_linear_cross_entropy(head, hidden, labels, weights, 7)
    expected = functional.cross_entropy(head(hidden), labels, reduction="none") @ weights
    torch.testing.assert_close(value, expected.detach())


def test_only_a_plain_matrix_that_is_whole_is_fused() -> None:
    assert can_fuse(nn.Linear(2, 3, bias=False))
    assert not can_fuse(nn.Linear(2, 3))

    class Adapted(nn.Linear):
        """As an adapter's layer: its forward pass is more than its weight."""

    assert not can_fuse(Adapted(2, 3, bias=False))
    partitioned: Any = nn.Linear(2, 3, bias=False)
    partitioned.weight.ds_id = 0
    assert not can_fuse(partitioned)


@pytest.mark.parametrize(("every", "chosen"), [(0, []), (1, [0, 1, 2, 3]), (2, [0, 2]), (3, [0, 3])])
def test_activation_checkpointing_changes_neither_loss_nor_gradients(
    every: int, chosen: list[int], memmap: Path, tokenizer: Path
) -> None:
    architecture = tiny.ARCHITECTURE.model_copy(update={"layers": 4})
    model: Any = build_model(architecture, tiny.VOCAB, torch.float32, 0, tokenizer).train()
    batch = PackedDocuments(TokenMemmap(memmap), 64, "pretrain").batch(torch.arange(2).numpy())
    ran: list[int] = []
    for number, layer in enumerate(model.model.layers):
        layer.input_layernorm.register_forward_hook(lambda *_, number=number: ran.append(number))
    results = []
    for blocks_kept_small in (0, every):
        assert checkpoint_activations(model, blocks_kept_small) == (len(chosen) if blocks_kept_small else 0)
        model.zero_grad()
        ran.clear()
        value = WeightedLoss(model)(batch.ids, batch.positions, batch.segments, batch.labels, batch.weights)
        value.backward()
        results.append([value.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    assert all(torch.equal(plain, again) for plain, again in zip(*results, strict=True))
    assert sorted(ran) == sorted([*range(4), *chosen]), "those computed again, and no others"


def test_garbage_is_collected_only_at_the_steps_that_all_ranks_collect_at() -> None:
    """A collection on one rank in the middle of a step is waited for by all."""
    collected: list[int] = []

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            collected.append(about["generation"])

    was_enabled = gc.isenabled()
    with collected_seldom() as collect:
        gc.callbacks.append(note)
        try:
            for step in range(1, 2 * EVERY + 1):
                cycles = [[] for _ in range(1000)]
                for cycle in cycles:
                    cycle.append(cycle)
                assert len(collected) == (step - 1) // EVERY
                collect(step)
        finally:
            gc.callbacks.remove(note)
    assert collected == [1, 1]
    assert gc.isenabled() == was_enabled
    assert gc.get_freeze_count() == 0


def test_every_family_of_decoders_has_blocks_that_can_be_checkpointed() -> None:
    from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXLayer
    from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

    assert issubclass(GPTNeoXLayer, GradientCheckpointingLayer)
    assert issubclass(Qwen3DecoderLayer, GradientCheckpointingLayer)


def test_compiling_and_liger_are_for_gpus_unless_the_recipe_says_otherwise() -> None:
    base = {"steps": 1, "global_batch": 2, "micro_batch": 1, "sequence_length": 8, "optimization": {"learning_rate": 1e-3}}
    told = {compile: CausalTraining.model_validate({**base, "compile": compile}) for compile in (None, True, False)}
    assert [is_compiled(told[None], device) for device in ("cpu", "cuda")] == [False, True]
    assert [is_compiled(told[True], device) for device in ("cpu", "cuda")] == [True, True]
    assert [is_compiled(told[False], device) for device in ("cpu", "cuda")] == [False, False]
    wanted = CausalTraining.model_validate({**base, "liger": True})
    assert [uses_liger(wanted, device) for device in ("cpu", "cuda")] == [False, True]


def test_bf16_gradients_are_added_up_over_ranks_in_float32_unless_a_preset_says_otherwise() -> None:
    """DeepSpeed rounds them to bf16 otherwise, also in a world of one: losses then depend on the number of processes."""
    base = {"steps": 1, "global_batch": 2, "micro_batch": 1, "sequence_length": 8, "optimization": {"learning_rate": 1e-3}}
    assert engine_config(CausalTraining.model_validate(base))["communication_data_type"] == "fp32"
    preset = {"deepspeed": {"communication_data_type": "bf16"}}
    assert engine_config(CausalTraining.model_validate(base | preset))["communication_data_type"] == "bf16"


def test_the_output_layer_goes_in_chunks_where_logits_are_many(
    memmap: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(tiny.ARCHITECTURE, tiny.VOCAB, torch.float32, 0, tokenizer)
    batch = PackedDocuments(TokenMemmap(memmap), 64, "pretrain").batch(torch.arange(2).numpy())
    rows: list[int] = []
    monkeypatch.setattr(loss_module, "CHUNK_LOGITS", 40 * tiny.VOCAB)
    fused = loss_module.fused_linear_cross_entropy
    monkeypatch.setattr(loss_module, "fused_linear_cross_entropy", lambda *inputs: rows.append(inputs[-2]) or fused(*inputs))
    WeightedLoss(model)(batch.ids, batch.positions, batch.segments, batch.labels, batch.weights)
    assert rows == [40]
