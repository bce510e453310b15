"""An evaluation in portions: every item is somebody's, and how many portions there are changes no figure."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval.api import metrics

from lifecycle.errors import CorruptArtifactError
from lifecycle.evaluation.merge import all_answers, all_tasks, merge
from lifecycle.evaluation.shares import AnswerRow, MetricRule, PairMargins, Sample, Share, TaskShare, read_shares
from lifecycle.evaluation.statistics import PairAccuracy
from lifecycle.portions import Portion, interleaved

FIGURES = st.floats(-1e4, -1e-3)


@given(st.lists(st.integers()), st.integers(1, 7))
def test_portions_together_are_the_whole(items: list[int], world: int) -> None:
    assert interleaved([Portion(rank, world).of(items) for rank in range(world)]) == items


def task_share(name: str, metric: str, aggregation: str, values: list[Any], **fields: Any) -> TaskShare:
    rule = MetricRule(name=metric, aggregation=aggregation, higher_is_better=metric == "acc")
    common: Any = {"prompt": "p", "target": "t", "answer": "a", **fields}
    samples = tuple(Sample(index=number, values={metric: value}, **common) for number, value in enumerate(values))
    return TaskShare(task=name, part=name, key=name, rules=(rule,), samples=samples)


@st.composite
def measured(draw: st.DrawFn) -> Share:
    """What one process alone would have measured."""
    right = draw(st.lists(st.booleans(), min_size=1, max_size=9))
    texts = draw(st.lists(st.tuples(FIGURES, st.integers(1, 999).map(float)), min_size=1, max_size=9))
    scores = draw(st.lists(st.floats(0, 1), max_size=9))
    margins = draw(st.lists(FIGURES | FIGURES.map(lambda figure: -figure), max_size=9))
    return Share(
        parameters=7,
        tasks=(
            task_share("kind", "acc", "mean", [float(value) for value in right], choices=("a", "b", "c")),
            task_share("text", "bits_per_byte", "bits_per_byte", [list(value) for value in texts]),
        ),
        missing=("first_word_match",),
        answers=tuple(
            AnswerRow(
                id=str(n), task="summary", prompt="p", reference="r", answer="a", tokens=3, finished=n % 2 == 0, score=score
            )
            for n, score in enumerate(scores)
        ),
        pairs=PairMargins(
            margins=tuple(margins),
            sources=tuple(draw(st.sampled_from(["files", "sampled"])) for _ in margins),
            too_long=2,
            length_only=PairAccuracy(pairs=9, accuracy=0.5, interval=(0, 1)),
        ),
    )


def portion_of(share: Share, portion: Portion) -> Share:
    """What one of several processes measures of the same."""
    pairs = share.pairs
    assert pairs is not None
    return share.model_copy(
        update={
            "tasks": tuple(task.model_copy(update={"samples": tuple(portion.of(task.samples))}) for task in share.tasks),
            "answers": portion.of(share.answers),
            "pairs": pairs.model_copy(update={"margins": portion.of(pairs.margins), "sources": portion.of(pairs.sources)}),
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
    assert all_tasks(shares) == list(share.tasks)
    assert all_answers(shares) == list(share.answers)
    assert merge("dpo", shares, 5).model_dump_json() == merge("dpo", [share], 5).model_dump_json()


@given(measured())
@settings(max_examples=20, deadline=None)
def test_figures_are_lm_evals_own(share: Share) -> None:
    """Its aggregations are those that everybody's numbers are made with."""
    found = merge("dpo", [share], 5).metrics()
    right = [sample.values["acc"] for sample in share.tasks[0].samples]
    texts: list[Any] = [sample.values["bits_per_byte"] for sample in share.tasks[1].samples]
    assert found["kind/acc"].value == metrics.mean(right)
    assert found["text/bits_per_byte"].value == metrics.bits_per_byte(texts)
    total = sum(nats for nats, _ in texts) / sum(size for _, size in texts)
    assert math.isclose(found["text/bits_per_byte"].value, -total / math.log(2))


@given(measured())
@settings(max_examples=40, deadline=None)
def test_the_pairs_of_the_sources_are_all_pairs(share: Share) -> None:
    """One set of pairs that is learnt and one that is not hide behind one figure; where all are of one source, it is all."""
    pairs, found = share.pairs, merge("dpo", [share], 5).preferences
    assert pairs is not None
    assert found is not None
    assert set(found.by_source) == (set(pairs.sources) if len(set(pairs.sources)) > 1 else set())
    for name, own in found.by_source.items():
        margins = [margin for margin, source in zip(pairs.margins, pairs.sources, strict=True) if source == name]
        assert (own.pairs, own.accuracy) == (len(margins), sum(margin > 0 for margin in margins) / len(margins))
        assert own.interval[0] <= own.accuracy <= own.interval[1]
    if found.by_source:
        assert sum(own.pairs for own in found.by_source.values()) == found.pairs
        right = sum(own.pairs * own.accuracy for own in found.by_source.values())
        assert math.isclose(right, found.pairs * found.accuracy, abs_tol=1e-9)


def test_a_missing_or_damaged_share_is_named(tmp_path: Path) -> None:
    empty = Share(parameters=1, tasks=(), missing=(), answers=(), pairs=None)
    empty.write(tmp_path, Portion(0, 2))
    with pytest.raises(CorruptArtifactError, match=r"1-of-2\.json"):
        read_shares(tmp_path, 2)
    (tmp_path / "shares" / "1-of-2.json").write_text('{"parameters": 1')
    with pytest.raises(CorruptArtifactError, match=r"1-of-2\.json"):
        read_shares(tmp_path, 2)
