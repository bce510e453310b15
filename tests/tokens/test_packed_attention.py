"""Packed conversations have the losses that they have alone; and the settings under which stock code silently leaks."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from lifecycle.instructions.conversations import Conversation, Message, write_conversations
from lifecycle.recipe.training import Architecture
from lifecycle.tokens.build_sft import build_sft_memmap
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.batches import Batch, PackedDocuments
from lifecycle.training.model import build_model

SEQUENCE = 160
FLASH = pytest.param(
    "flash_attention_2",
    marks=pytest.mark.skipif(
        find_spec("flash_attn") is None or not torch.cuda.is_available(), reason="flash-attn needs its package and a GPU"
    ),
)


@pytest.fixture(scope="module")
def memmap(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenMemmap:
    """Conversations of several lengths, as the stage writes them."""
    directory = tmp_path_factory.mktemp("sft")
    rows = [
        Conversation(
            id=str(number),
            source="s",
            task="t",
            group="g",
            messages=(
                Message(role="user", content=f"What is {number}?"),
                Message(role="assistant", content="语言 word " * (number % 5 + 1)),
            ),
            document_id=str(number),
        )
        for number in range(24)
    ]
    write_conversations(directory, rows)
    build_sft_memmap(directory, tokenizer, SEQUENCE, None, 0, directory / "out", directory / "run")
    return TokenMemmap(directory / "out")


@pytest.fixture(scope="module")
def model(tokenizer: Path) -> Any:
    shape = Architecture(hidden_size=32, layers=2, heads=2, kv_heads=1, intermediate_size=64, max_positions=256)
    return build_model(shape, 1024, torch.float32, 0, tokenizer).eval()


def packed(memmap: TokenMemmap) -> Batch:
    """One sequence of several conversations, without the padding at its end."""
    batch = PackedDocuments(memmap, SEQUENCE, "sft").batch(np.array([0]))
    used = int((batch.segments >= 0).sum())
    return places(batch, slice(used))


def places(batch: Batch, chosen: slice | torch.Tensor) -> Batch:
    """The chosen places of each field; conversations of one task have no `tasks`."""
    fields = (getattr(batch, name) for name in batch.__dataclass_fields__)
    return Batch(*(field if field is None else field[:, chosen] for field in fields))


def losses(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Loss of every label that counts [labels]."""
    each = functional.cross_entropy(logits[0].float(), batch.labels[0], reduction="none")
    return each[batch.weights[0] > 0]


def alone(model: Any, batch: Batch) -> torch.Tensor:
    """The oracle: each conversation in a forward pass of its own."""
    parts = []
    for number in batch.segments.unique().tolist():
        inside = batch.segments[0] == number
        part = places(batch, inside)
        parts.append(losses(model(part.ids, use_cache=False).logits, part))
    return torch.cat(parts)


@pytest.mark.parametrize("attention", ["sdpa", "eager", FLASH])
def test_each_token_has_the_loss_that_it_has_unpacked(model: Any, memmap: TokenMemmap, attention: str):
    batch = packed(memmap)
    assert int(batch.segments.max()) >= 2, "the test needs a sequence of several conversations"
    flash = attention == "flash_attention_2"
    model.to("cuda" if flash else "cpu", torch.bfloat16 if flash else torch.float32)
    batch = batch.to(model.device)
    expected = alone(model, batch)
    model.set_attn_implementation(attention)
    found = losses(model(batch.ids, position_ids=batch.positions, use_cache=False).logits, batch)
    model.set_attn_implementation("sdpa")
    torch.testing.assert_close(found, expected, rtol=2e-2 if flash else 1e-5, atol=2e-2 if flash else 1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("trap", ["cache", "mask of ones"])
def test_the_stock_settings_that_leak(model: Any, memmap: TokenMemmap, attention: str, trap: str):
    """Why the trainer passes positions, no mask and no cache. Should this fail, transformers has mended it: say so here."""
    batch = packed(memmap)
    settings = {"use_cache": True} if trap == "cache" else {"use_cache": False, "attention_mask": torch.ones_like(batch.ids)}
    model.set_attn_implementation(attention)
    found = losses(model(batch.ids, position_ids=batch.positions, **settings).logits, batch)
    model.set_attn_implementation("sdpa")
    expected = alone(model, batch)
    first = int((batch.weights[0] > 0)[batch.segments[0] == 0].sum())
    torch.testing.assert_close(found[:first], expected[:first], rtol=1e-5, atol=1e-5)
    assert (found[first:] - expected[first:]).abs().max() > 1e-3
