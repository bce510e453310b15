"""The loss is the weighted mean over the global batch: however documents are packed, batches split, and ranks counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from lifecycle.pretrained import load_model
from lifecycle.recipe.training import Optimization
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training import loss as loss_module
from lifecycle.training.batches import BLOCK, PackedDocuments, SampleOrder
from lifecycle.training.journal import read_metrics
from lifecycle.training.loss import WeightedLoss, engine_scale, weighted_cross_entropy
from lifecycle.training.model import build_model, parameter_groups
from lifecycle.training.schedule import learning_rate
from tests.patience import PATIENCE
from tests.training import tiny


@pytest.fixture(scope="module")
def model(tokenizer: Path) -> Any:
    return build_model(tiny.ARCHITECTURE, tiny.VOCAB, torch.float32, 0, tokenizer)


def weighted_sum_of_documents(model: Any, memmap: TokenMemmap, numbers: list[int]) -> tuple[torch.Tensor, float]:
    """The oracle: each document alone through the plain Hugging Face forward pass, without packing or masks."""
    total, weight = torch.zeros(()), 0.0
    for number in numbers:
        start, end = int(memmap.offsets[number]), int(memmap.offsets[number + 1])
        ids = torch.from_numpy(memmap.tokens[start:end].astype("int64"))
        weights = torch.ones(len(ids) - 1)
        if memmap.loss_mask is not None:
            weights = torch.from_numpy(memmap.loss_mask[start + 1 : end].astype("float32"))
        logits = model(ids.unsqueeze(0)).logits[0, :-1]
        total = total + (functional.cross_entropy(logits, ids[1:], reduction="none") * weights).sum()
        weight += float(weights.sum())
    return total, weight


def packed_sum(model: Any, data: PackedDocuments, sequences: Any, z_loss: float = 0.0) -> tuple[torch.Tensor, float]:
    batch = data.batch(sequences)
    value = WeightedLoss(model, z_loss)(batch.ids, batch.positions, batch.segments, batch.labels, batch.weights)
    return value, float(batch.weights.sum())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_documents_do_not_see_each_other(model: Any, sft_memmap: Path, attention: str) -> None:
    """With a cache or an all-ones mask transformers lets packed documents leak into each other, silently."""
    memmap = TokenMemmap(sft_memmap)
    data = PackedDocuments(memmap, 64, "sft")
    sequences = SampleOrder(data.sequences, 8, seed=3, block=BLOCK).global_step(0)
    documents = data.documents(sequences)
    assert len(documents) > 8, "the test needs sequences of several documents"
    model.set_attn_implementation(attention)
    value, weight = packed_sum(model, data, sequences)
    model.set_attn_implementation("sdpa")
    expected, expected_weight = weighted_sum_of_documents(model, memmap, documents)
    assert weight == expected_weight
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("z_loss", [0.0, 1e-2])
def test_chunked_output_layer_gives_the_same_loss_and_gradient(
    model: Any, memmap: Path, monkeypatch: pytest.MonkeyPatch, z_loss: float
) -> None:
    data = PackedDocuments(TokenMemmap(memmap), 64, "pretrain")
    results = []
    for chunk in (2**27, 40 * tiny.VOCAB):
        monkeypatch.setattr(loss_module, "CHUNK_LOGITS", chunk)
        model.zero_grad()
        value, _ = packed_sum(model, data, range(3), z_loss)
        value.backward()
        results.append((value.detach(), [parameter.grad.clone() for parameter in model.parameters()]))
    model.zero_grad()
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-4)


def test_z_loss_is_the_squared_log_normalizer_of_each_label_times_its_weight() -> None:
    """Against float64, at logits so large that their exponentials overflow."""
    torch.manual_seed(1)
    head = torch.nn.Linear(8, 20, bias=False)
    hidden, labels, weights = 40 * torch.randn(6, 8), torch.arange(6), torch.tensor([1.0, 0.0, 0.5, 2.0, 1.0, 0.25])
    found = weighted_cross_entropy(head, hidden, labels, weights, 1e-3)
    logits = hidden.double() @ head.weight.double().T
    log_z = torch.logsumexp(logits, -1)
    expected = (weights.double() * (log_z - logits[torch.arange(6), labels] + 1e-3 * log_z**2)).sum()
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_without_weights_every_label_is_measured_alone(model: Any, memmap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = PackedDocuments(TokenMemmap(memmap), 64, "pretrain").batch(np.arange(3))
    inputs = batch.ids, batch.positions, batch.segments, batch.labels
    monkeypatch.setattr(loss_module, "CHUNK_LOGITS", 40 * tiny.VOCAB)
    with torch.no_grad():
        each = WeightedLoss(model, 1e-2)(*inputs, None)
        total = WeightedLoss(model)(*inputs, batch.weights)
    assert each.shape == batch.labels.shape
    assert float((each * batch.weights).sum()) == pytest.approx(float(total), rel=1e-6)


def test_weights_do_not_depend_on_anything_but_the_seed(model: Any, tokenizer: Path) -> None:
    torch.manual_seed(99)
    again = build_model(tiny.ARCHITECTURE, tiny.VOCAB, torch.float32, 0, tokenizer)
    other = build_model(tiny.ARCHITECTURE, tiny.VOCAB, torch.float32, 1, tokenizer)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_engine_scale_cancels_the_engines_averages() -> None:
    """Averaging averages is the well-known accumulation bug: parts with fewer labels would count for more."""
    sums, weights = [6.0, 1.0, 3.0, 2.0], [4.0, 1.0, 2.0, 3.0]
    scale = engine_scale(sum(weights), world=2, accumulation=2)
    assert sum(value * scale for value in sums) / 4 == pytest.approx(sum(sums) / sum(weights))


def plain_training(memmap: TokenMemmap, tokenizer: Path, settings: dict[str, Any]) -> tuple[list[float], Any]:
    """The oracle for a whole run: plain PyTorch, no DeepSpeed, no packing, one process, one batch per step."""
    model = build_model(tiny.ARCHITECTURE, tiny.VOCAB, torch.float32, 0, tokenizer)
    optimization = Optimization(**settings["optimization"])
    data = PackedDocuments(memmap, 64, "sft")
    order = SampleOrder(data.sequences, settings["global_batch"], 0, BLOCK)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, optimization.weight_decay), betas=(optimization.beta1, optimization.beta2)
    )
    losses = []
    for step in range(settings["steps"]):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(optimization, settings["steps"], step)
        total, weight = weighted_sum_of_documents(model, memmap, data.documents(order.global_step(step)))
        (total / weight).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), optimization.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(total / weight))
    return losses, model


def test_two_processes_with_accumulation_train_like_plain_pytorch(tmp_path: Path, sft_memmap: Path, tokenizer: Path) -> None:
    settings = {
        "steps": 6,
        "global_batch": 4,
        "optimization": {"learning_rate": 1e-2, "warmup_steps": 2},
        "micro_batch": 1,
        "processes": 2,
        "zero_stage": 2,
        "precision": "fp32",
        "checkpoint_every": 100,
    }
    job = tiny.make_job(tmp_path, {"memmap": sft_memmap, "tokenizer": tokenizer}, kind="sft", **settings)
    process = tiny.launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    expected, model = plain_training(TokenMemmap(sft_memmap), tokenizer, settings)
    assert [entry["loss"] for entry in read_metrics(tmp_path / "run")] == pytest.approx(expected, rel=1e-4)
    trained = load_model(tmp_path / "out")
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(trained.get_parameter(name), parameter, rtol=1e-3, atol=1e-4, msg=name)
