"""An evaluation in portions: every item is somebody's, and how many portions there are changes no figure."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval.api import metrics

from lifecycle.errors import CorruptArtifactError
from lifecycle.evaluation.merge import all_answers, all_samples, merge
from lifecycle.evaluation.shares import AnswerRow, PairMargins, Sample, Share, read_shares
from lifecycle.evaluation.statistics import Control
from lifecycle.portions import Portion, interleaved

FIGURES = st.floats(-1e4, -1e-3)


@given(st.lists(st.integers()), st.integers(1, 7))
def test_portions_together_are_the_whole(items: list[int], world: int) -> None:
    assert interleaved([Portion(rank, world).of(items) for rank in range(world)]) == items


@st.composite
def measured(draw: st.DrawFn) -> Share:
    """What one process alone would have measured."""
    right = draw(st.lists(st.booleans(), min_size=1, max_size=9))
    texts = draw(st.lists(st.tuples(FIGURES, st.integers(1, 999).map(float)), min_size=1, max_size=9))
    scores = draw(st.lists(st.floats(0, 1), max_size=9))
    margins = draw(st.lists(FIGURES | FIGURES.map(lambda figure: -figure), max_size=9))
    common: Any = {"prompt": "p", "target": "t", "answer": "a"}
    return Share(
        parameters=7,
        samples=(
            *(
                Sample(task="kind", index=number, metric="acc", value=float(value), choices=3, **common)
                for number, value in enumerate(right)
            ),
            *(Sample(task="text", index=n, metric="bits_per_byte", value=value, **common) for n, value in enumerate(texts)),
        ),
        missing=("first_word_match",),
        answers=tuple(
            AnswerRow(
                id=str(n), task="summary", prompt="p", reference="r", answer="a", tokens=3, finished=n % 2 == 0, score=score
            )
            for n, score in enumerate(scores)
        ),
        pairs=PairMargins(margins=tuple(margins), too_long=2, length_only=Control(pairs=9, accuracy=0.5, interval=(0, 1))),
    )


def portion_of(share: Share, portion: Portion) -> Share:
    """What one of several processes measures of the same."""
    pairs = share.pairs
    assert pairs is not None
    return share.model_copy(
        update={
            "samples": tuple(each for each in share.samples if each.index % portion.world == portion.rank),
            "answers": portion.of(share.answers),
            "pairs": pairs.model_copy(update={"margins": portion.of(pairs.margins)}),
        }
    )


@given(measured(), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_the_number_of_portions_changes_no_figure(
    tmp_path_factory: pytest.TempPathFactory, share: Share, world: int
) -> None:
    """Byte for byte, through the files that the processes leave."""
    run_dir = tmp_path_factory.mktemp("run")
    for rank in range(world):
        portion = Portion(rank, world)
        portion_of(share, portion).write(run_dir, portion)
    shares = read_shares(run_dir, world)
    assert all_samples(shares) == list(share.samples)
    assert all_answers(shares) == list(share.answers)
    assert merge("dpo", shares, 5).model_dump_json() == merge("dpo", [share], 5).model_dump_json()


@given(measured())
@settings(max_examples=20, deadline=None)
def test_figures_are_lm_evals_own(share: Share) -> None:
    """Its aggregations are those that everybody's numbers are made with."""
    found = merge("dpo", [share], 5).metrics()
    right = [sample.value for sample in share.samples if sample.task == "kind"]
    texts = [sample.value for sample in share.samples if sample.task == "text"]
    assert found["kind/acc"].value == metrics.mean(right)
    assert found["text/bits_per_byte"].value == metrics.bits_per_byte(texts)
    total = sum(nats for nats, _ in texts) / sum(size for _, size in texts)  # pyright: ignore[reportGeneralTypeIssues]
    assert math.isclose(found["text/bits_per_byte"].value, -total / math.log(2))


def test_a_missing_or_damaged_share_is_named(tmp_path: Path) -> None:
    empty = Share(parameters=1, samples=(), missing=(), answers=(), pairs=None)
    empty.write(tmp_path, Portion(0, 2))
    with pytest.raises(CorruptArtifactError, match=r"1-of-2\.json"):
        read_shares(tmp_path, 2)
    (tmp_path / "shares" / "1-of-2.json").write_text('{"parameters": 1')
    with pytest.raises(CorruptArtifactError, match=r"1-of-2\.json"):
        read_shares(tmp_path, 2)
