"""Attention that stays inside documents: the choice of a kernel, and what each kernel is told, against the plain mask."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_mask
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.attention import (
    Machine,
    block_mask,
    choose,
    cumulative_lengths,
    inside_segments,
    machine,
    reads_lengths,
)
from lifecycle.training.batches import Batch, PackedDocuments
from lifecycle.training.loss import WeightedLoss
from lifecycle.training.model import build_model
from tests.training import tiny

EVERYTHING = frozenset({"flash_attn", "flash_attn_3", "triton"})


@pytest.mark.parametrize(
    ("found", "precision", "implementation", "reason"),
    [
        (Machine("cuda", (9, 0), EVERYTHING), "bf16", "flash_attention_3", "flash_attn_3 is installed"),
        (Machine("cuda", (8, 0), EVERYTHING), "bf16", "flash_attention_2", "flash_attn_3 needs compute capability 9.0"),
        (Machine("cuda", (9, 0), EVERYTHING), "fp32", "flex_attention", "flash_attn computes in bf16, not fp32"),
        (Machine("cuda", (7, 5), EVERYTHING), "bf16", "flex_attention", "flash_attn needs compute capability 8.0"),
        (Machine("cuda", (9, 0), frozenset({"triton"})), "bf16", "flex_attention", "flash_attn is not installed"),
        (Machine("cuda", (9, 0)), "bf16", "sdpa", "flex needs triton"),
        (Machine("cpu"), "bf16", "sdpa", "the device is a CPU"),
    ],
)
def test_the_machine_decides_and_the_reason_is_said(
    found: Machine, precision: str, implementation: str, reason: str
) -> None:
    attention = choose(found, precision, compiled=False, sequence_length=64)
    assert attention.implementation == implementation
    assert f"attention: {attention.label}, because " in str(attention)
    assert reason in str(attention)


def test_this_machine_trains_with_sdpa_unless_its_cpu_compiles_short_sequences() -> None:
    here = machine(torch.device("cpu"))
    assert [choose(here, "bf16", compiled, length).implementation for compiled, length in ((True, 512), (True, 513))] == [
        "eager",
        "sdpa",
    ]


packed = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=3)
"""Lengths of the documents of each sequence."""


def segments_of(rows: list[list[int]]) -> torch.Tensor:
    """Segments as in `Batch`, padded by -1 to the longest row."""
    longest = max(map(sum, rows))
    lines = [[number for number, length in enumerate(row) for _ in range(length)] for row in rows]
    return torch.tensor([line + [-1] * (longest - len(line)) for line in lines])


def dense(segments: torch.Tensor) -> torch.Tensor:
    """The mask of sdpa [sequences, length, length]."""
    return inside_segments("sdpa", segments, torch.device("cpu"), torch.float32)["attention_mask"][:, 0]


@given(packed)
def test_cumulative_lengths_cut_exactly_where_the_mask_does(rows: list[list[int]]) -> None:
    segments = segments_of(rows)
    lengths = cumulative_lengths(segments).tolist()
    assert len(lengths) & (len(lengths) - 1) == 0
    mask = torch.zeros(segments.numel(), segments.numel(), dtype=torch.bool)
    for start, end in pairwise(lengths):
        mask[start:end, start:end] = torch.ones(end - start, end - start, dtype=torch.bool).tril()
    assert torch.equal(mask, torch.block_diag(*dense(segments)).bool())


@settings(max_examples=20)
@given(packed)
def test_the_block_mask_sees_exactly_what_the_mask_does(rows: list[list[int]]) -> None:
    segments = segments_of(rows)
    count, length = segments.shape
    made = create_mask(block_mask(segments).mask_mod, count, 1, length, length, device="cpu")
    assert torch.equal(made[:, 0], dense(segments))


@pytest.fixture(scope="module")
def by_lengths() -> Iterator[str]:
    """An attention that obeys cumulative lengths and knows no mask: the contract of flash-attn's varlen functions."""

    def attend(_: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float, **told: Any) -> Any:
        assert attention_mask is None
        assert len(query) == 1
        bounds = told["cu_seq_lens_q"].tolist()
        assert bounds == told["cu_seq_lens_k"].tolist()
        assert all(end - start <= told["max_length_q"] for start, end in pairwise(bounds))
        repeated = query.shape[1] // key.shape[1]
        key, value = (tensor.repeat_interleave(repeated, 1) for tensor in (key, value))
        pieces = [
            scaled_dot_product_attention(
                *(each[:, :, start:end] for each in (query, key, value)), is_causal=True, scale=scaling
            )
            for start, end in pairwise(bounds)
            if end > start
        ]
        return torch.cat(pieces, dim=2).transpose(1, 2), None

    AttentionInterface.register("flash_by_lengths", attend)
    assert reads_lengths("flash_by_lengths")
    return "flash_by_lengths"


def loss_and_gradients(model: Any, batch: Batch, implementation: str) -> list[torch.Tensor]:
    model.config._attn_implementation = implementation  # the setter would look for a kernel of this name
    model.zero_grad()
    value = WeightedLoss(model)(batch.ids, batch.positions, batch.segments, batch.labels, batch.weights)
    value.backward()
    return [value.detach(), *(parameter.grad.clone() for parameter in model.parameters())]


def test_lengths_in_place_of_a_mask_give_the_same_loss_and_gradients(
    by_lengths: str, sft_memmap: Path, tokenizer: Path
) -> None:
    """The way of flash-attn through transformers, with padding, several sequences and grouped heads; only the kernel is
    another: flash-attn itself needs a GPU."""
    data = PackedDocuments(TokenMemmap(sft_memmap), 64, "sft")
    batch = data.batch(torch.arange(data.sequences - 5, data.sequences).numpy())
    assert (batch.segments < 0).any()
    model = build_model(tiny.ARCHITECTURE, tiny.VOCAB, torch.float32, 0, tokenizer)
    expected = loss_and_gradients(model, batch, "sdpa")
    torch.testing.assert_close(loss_and_gradients(model, batch, by_lengths), expected, rtol=1e-4, atol=1e-5)
