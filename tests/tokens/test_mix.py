"""The mix by tokens: shares are met within one document, limits on repetition hold, and a seed gives one result."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import RecipeError
from lifecycle.recipe.corpora import MixConfig
from lifecycle.tokens.build import build_pretrain_memmap
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.tokens.mix import SourceShare, draw, draw_tokens, target_tokens
from tests.tokens.small_corpus import hashes
from tests.tracking.chain import small_recipe

DOCUMENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400)), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(
    DOCUMENTS,
    st.lists(st.floats(0.01, 10), min_size=4, max_size=4),
    st.one_of(st.none(), st.integers(1, 100_000)),
    st.floats(0.1, 6),
    st.one_of(st.none(), st.floats(1, 8)),
    st.integers(0, 99),
)
def test_shares_within_one_document_and_never_beyond_the_limit(
    documents: list[tuple[int, int]],
    weights: list[float],
    total: int | None,
    limit: float,
    temperature: float | None,
    seed: int,
) -> None:
    sources = np.array([source for source, _ in documents], dtype=np.int32)
    lengths = np.array([length for _, length in documents], dtype=np.int64)
    held = np.bincount(sources, weights=lengths, minlength=4).astype(np.float64)
    mix = MixConfig(tokens=total, max_epochs=limit, temperature=temperature)
    targets = target_tokens(held, weights, mix)
    wanted = min(float(total or held.sum()), limit * held.sum())
    assert targets.sum() == pytest.approx(wanted)
    assert (targets <= limit * held * (1 + 1e-12)).all()
    shares = held ** (1 / temperature) if temperature else np.array(weights)
    free = (held > 0) & (targets < limit * held * (1 - 1e-9))
    if free.any():
        assert np.ptp(targets[free] / shares[free]) <= 1e-9 * targets.max()
        assert (targets[held > 0] / shares[held > 0] <= (targets[free] / shares[free]).max() * (1 + 1e-9)).all()
    copies = draw_tokens(sources, lengths, targets, np.random.default_rng(seed))
    written = np.bincount(sources, weights=copies * lengths, minlength=4)
    longest = np.array([lengths[sources == source].max(initial=0) for source in range(4)])
    assert (written <= targets + 1e-6).all()
    assert ((targets - written < longest) | (held == 0)).all()
    assert (written <= limit * held + 1e-6).all()
    again = draw_tokens(sources, lengths, targets, np.random.default_rng(seed))
    assert (copies == again).all()


def test_temperature_lifts_small_sources() -> None:
    held = np.array([8000.0, 1000.0])
    plain = target_tokens(held, [None, None], MixConfig(temperature=1))
    assert plain.tolist() == [8000, 1000]
    lifted = target_tokens(held, [None, None], MixConfig(temperature=3))
    assert lifted.tolist() == pytest.approx([6000, 3000])
    capped = target_tokens(held, [None, None], MixConfig(temperature=3, max_epochs=2))
    assert capped.tolist() == pytest.approx([7000, 2000])


def test_without_weights_the_epochs_decide() -> None:
    sources, lengths = np.zeros(10, dtype=np.int32), np.full(10, 7, dtype=np.int64)
    drawn = draw(["a"], sources, lengths, {"a": SourceShare(1.5)}, MixConfig(max_epochs=1), np.random.default_rng(1))
    assert drawn.targets is None
    assert sorted(drawn.copies.tolist()) == [1] * 5 + [2] * 5


def test_weights_decide_the_tokens_of_a_memmap(corpus: Path, tokenizer: Path, tmp_path: Path) -> None:
    shares = {"docs": SourceShare(1, 3.0), "chinese": SourceShare(1, 1.0)}
    mix = MixConfig(tokens=20_000, max_epochs=8)
    facts = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        facts.append(build_pretrain_memmap(corpus, tokenizer, shares, mix, seed, tmp_path / name, tmp_path / "run"))
    rows = {row["source"]: row for row in facts[0]["sources"]}
    for name, share in (("docs", 0.75), ("chinese", 0.25)):
        row = rows[name]
        assert share * 20_000 < 8 * row["tokens_held"]
        assert row["target_tokens"] == share * 20_000
        assert 0 <= row["target_tokens"] - row["tokens"] < 5_000
    memmap = TokenMemmap(tmp_path / "a")
    assert memmap.describe.tokens == facts[0]["tokens"] == sum(row["tokens"] for row in facts[0]["sources"])
    assert "| chinese |" in facts[0]["mix"]
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert hashes(tmp_path / "a") != hashes(tmp_path / "c")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("packages: [numpy]", "weight: 2, packages: [numpy]", r"weight is given for \['packages'\] and not for"),
        ("name: small", "name: small\nmix: {tokens: 5}", r"mix\.tokens: needs mix\.temperature"),
        (
            "name: small\nsources:\n  - {",
            "name: small\nmix: {temperature: 2}\nsources:\n  - {epochs: 2, ",
            r"epochs of \['standard_library'\] and a mix by tokens",
        ),
    ],
)
def test_a_mix_of_two_kinds_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        small_recipe(tmp_path, lambda text: text.replace(old, new))
