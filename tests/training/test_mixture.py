"""Pretraining text in the batches of fine-tuning: the share asked for, and nothing of one seen from the other."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.recipe.fine_tuning import pretraining_sequences
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.batches import Batch, PackedDocuments, SampleOrder
from lifecycle.training.mixture import MixedOrder, Mixture


@settings(deadline=None)
@given(st.integers(2, 24), st.data(), st.integers(1, 40), st.integers(1, 40), st.integers(0, 30))
def test_every_batch_has_its_share_and_both_go_in_their_own_order(
    batch: int, data: st.DataObject, conversations: int, text: int, step: int
) -> None:
    count = data.draw(st.integers(1, batch - 1))
    own, other = SampleOrder(conversations, batch - count, 5, 16), SampleOrder(text, count, 5, 16)
    mixed = MixedOrder(own, other, batch, conversations).global_step(step)
    is_text = mixed >= conversations
    assert is_text.sum() == count
    assert np.array_equal(mixed[~is_text], own.global_step(step))
    assert np.array_equal(mixed[is_text] - conversations, other.global_step(step))
    for half in (is_text[: batch // 2], is_text[batch - batch // 2 :]):
        assert abs(half.sum() - count * len(half) / batch) <= 1, "spread over the batch, so over micro-batches and ranks"


@pytest.mark.parametrize(
    ("share", "batch", "says"), [(0.3, 8, "use 0.25 or 0.375"), (0.01, 8, "use 0.125"), (0.99, 4, "0.75")]
)
def test_a_share_that_is_no_whole_number_of_sequences_is_refused(share: float, batch: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pretraining_sequences(share, batch)
    assert pretraining_sequences(0.25, 8) == 2


@pytest.fixture(scope="module")
def mixture(memmap: Path, sft_memmap: Path) -> Mixture:
    own, text = TokenMemmap(sft_memmap), TokenMemmap(memmap)
    parts = (
        PackedDocuments(own, 64, "sft", tasks=np.zeros(len(own), dtype=np.int16)),
        PackedDocuments(text, 64, "pretrain", tasks=np.ones(len(text), dtype=np.int16)),
    )
    return Mixture(*parts, len(own))


@settings(deadline=None)
@given(numbers=st.data())
def test_a_row_is_what_its_own_memmap_gives(mixture: Mixture, numbers: st.DataObject) -> None:
    """Rows keep their segments, from 0 in each, and positions begin anew in each: attention stays inside a document."""
    chosen = np.array(numbers.draw(st.lists(st.integers(0, mixture.sequences - 1), min_size=1, max_size=6)))
    batch = mixture.batch(chosen)
    first = mixture.conversations.sequences
    for row, number in enumerate(chosen.tolist()):
        part, own = (mixture.conversations, number) if number < first else (mixture.text, number - first)
        alone = part.batch(np.array([own]))
        for name in Batch.__dataclass_fields__:
            assert torch.equal(getattr(batch, name)[row], getattr(alone, name)[0]), name
    begins = batch.positions == 0
    changes = torch.ones_like(begins)
    changes[:, 1:] = batch.segments[:, 1:] != batch.segments[:, :-1]
    inside = batch.segments >= 0
    assert torch.equal(begins[inside], changes[inside])


def test_documents_of_text_are_numbered_behind_the_conversations(mixture: Mixture) -> None:
    first = mixture.conversations.sequences
    assert mixture.documents(np.array([first])) == [120 + number for number in mixture.text.documents(np.array([0]))]
    assert mixture.documents(np.array([first, 0]))[:-1][0] == mixture.conversations.documents(np.array([0]))[0]
    assert 0 < mixture.efficiency <= 1
