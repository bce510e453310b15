"""Contamination on constructed sets: which items stand in the training data is known, one by one."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.corpora.documents import DocumentWriter
from lifecycle.evaluation.clean_scores import contamination_section
from lifecycle.evaluation.contamination import build_contamination, contaminated_items, find_hits, summarise
from lifecycle.evaluation.measured_items import MeasuredItem, measured_items
from lifecycle.evaluation.results import AnswerSummary, Metric, Results, TaskResult
from lifecycle.evaluation.trained_on import TrainingArtifact
from lifecycle.instructions.conversations import Conversation, Message, write_conversations
from lifecycle.preferences.table import TRAIN, Pair, write_pairs
from lifecycle.recipe.evaluation_sets import ContaminationConfig
from tests.evaluation.fixtures import write_jsonl

CONFIG = ContaminationConfig()


def sentence(seed: int, words: int = 20) -> str:
    """Words that no other seed gives in this order."""
    return " ".join(f"w{seed}x{number}" for number in range(words))


def han(seed: int, characters: int = 40) -> str:
    return "".join(chr(0x4E00 + value) for value in np.random.default_rng(seed).integers(0, 5000, characters))


def items(texts: list[str], name: str = "set") -> list[MeasuredItem]:
    return [MeasuredItem(name, str(number), text, text) for number, text in enumerate(texts)]


def corpus(directory: Path, texts: list[str]) -> TrainingArtifact:
    with DocumentWriter(directory / "train") as writer:
        for number, text in enumerate(texts):
            writer.add({"id": f"t{number}", "text": text, "source": "s", "group": str(number), "meta": "{}"})
    return TrainingArtifact("corpus", directory, digest=str(hash(tuple(texts))))


def found(hits) -> list[int]:
    return [hit.item for hit in hits]


def test_thirteen_words_or_thirty_characters_are_found_wherever_they_stand(tmp_path: Path) -> None:
    asked = [sentence(1), sentence(2, 12), han(3), han(4, 29), sentence(5)]
    read = corpus(
        tmp_path,
        [
            f"before it {' '.join(sentence(1).split()[3:16]).upper()}! and behind",
            f"{sentence(2, 12)} {han(4, 29)}",
            f"前面{han(3)[5:35]}后面",
            " ".join(sentence(5).split()[:12]),
        ],
    )
    hits = find_hits(items(asked), read, CONFIG)
    assert found(hits) == [0, 2]
    assert [hit.document for hit in hits] == ["t0", "t2"]
    assert hits[0].shared == " ".join(sentence(1).split()[3:16])


def test_every_item_that_shares_the_passage_counts_not_only_the_first(tmp_path: Path) -> None:
    """An index of the items names one of several equal ones; the score on clean items would keep the others."""
    asked = [f"{sentence(1)} {sentence(number)}" for number in (7, 8, 9)] + [sentence(2)]
    assert found(find_hits(items(asked), corpus(tmp_path, [sentence(1)]), CONFIG)) == [0, 1, 2]


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 9)))
def test_exactly_the_planted_items_are_found(tmp_path_factory: pytest.TempPathFactory, planted: set[int]) -> None:
    asked = items([f"{sentence(number)} {han(number)}" for number in range(10)])
    read = corpus(tmp_path_factory.mktemp("c"), ["nothing", *(f"x {han(number)} y" for number in sorted(planted))])
    assert set(found(find_hits(asked, read, CONFIG))) == planted


def test_held_out_text_is_compared_by_longer_passages(tmp_path: Path) -> None:
    asked = items([sentence(1, 60)], name="heldout_bits_per_byte")
    words = sentence(1, 60).split()
    assert found(find_hits(asked, corpus(tmp_path / "a", [" ".join(words[:49])]), CONFIG)) == []
    assert found(find_hits(asked, corpus(tmp_path / "b", [" ".join(words[:50])]), CONFIG)) == [0]


def test_a_short_question_is_found_where_it_was_asked(tmp_path: Path) -> None:
    asked = items(["Who are you?", "What is a list?", "What is a set?"])
    turns = [Message(role="user", content="who  are\nYou?"), Message(role="assistant", content="What is a list?")]
    write_conversations(
        tmp_path, [Conversation(id="c", source="s", task="t", group="g", messages=tuple(turns), document_id="d")]
    )
    assert found(find_hits(asked, TrainingArtifact("instructions", tmp_path, "1"), CONFIG)) == [0]
    pair = Pair(
        id="p", prompt=(Message(role="user", content="What is a set?"),), chosen="a", rejected="b", source="s", task="t"
    )
    write_pairs(tmp_path / TRAIN, [pair])
    assert found(find_hits(asked, TrainingArtifact("preference_pairs_r2", tmp_path, "1"), CONFIG)) == [2]
    (summary,) = summarise(asked, {"instructions": {0}, "preference_pairs_r2": {2}}, CONFIG)
    assert (summary.contaminated, summary.too_short, summary.by) == (2, 3, {"instructions": 1, "preference_pairs_r2": 1})


@pytest.fixture
def evaluation(tmp_path: Path) -> tuple[Path, Path]:
    """A task of six items of one form, three of them right; three held-out texts; three answers; two health questions."""
    directory, heldout = tmp_path / "eval", tmp_path / "heldout"
    directory.mkdir()
    form = "Read this text with care and then say in one word what kind of thing it is about, please:"
    samples = [
        {
            "task": "kind",
            "index": n,
            "prompt": f"{form}\n\n{sentence(n)}",
            "target": "a",
            "answer": "a",
            "score": float(n < 3),
        }
        for n in range(6)
    ]
    samples += [
        {"task": "heldout_bits_per_byte", "index": n, "prompt": "", "target": "", "answer": "", "score": 1.0 + n}
        for n in range(3)
    ]
    pq.write_table(pa.Table.from_pylist(samples), directory / "samples.parquet")
    write_jsonl(heldout / "text.jsonl", [{"id": f"d{n}", "text": sentence(100 + n, 60)} for n in range(3)])
    rows = [{"id": f"d{n}", "lang": "en", "source": "s"} for n in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), heldout / "documents.parquet")
    answers = [
        {"id": f"w{n}", "task": "summary", "prompt": sentence(200 + n), "reference": sentence(300 + n), "score": n / 4}
        for n in range(3)
    ]
    pq.write_table(pa.Table.from_pylist(answers), directory / "answers.parquet")
    health = [
        {"id": id, "turns": 1, "question": f"Short {id}?", "looping": id == "a", "endless": False, "empty": False}
        for id in "aabb"
    ]
    pq.write_table(pa.Table.from_pylist(health), directory / "health.parquet")
    Results(
        model="base",
        parameters=1,
        tasks={
            "kind": TaskResult(n=6, metrics={"acc": Metric(value=0.5, higher_is_better=True)}),
            "heldout_bits_per_byte": TaskResult(n=3, metrics={"bits_per_byte": Metric(value=2.0, higher_is_better=False)}),
        },
        answers=AnswerSummary(n=3, score=0.25, interval=(0, 1), finished=1, mean_tokens=4),
        further={"health/broken": Metric(value=0.5, higher_is_better=False)},
    ).write(directory)
    return directory, heldout


def test_the_form_of_a_set_is_no_content_of_its_items(evaluation: tuple[Path, Path], tmp_path: Path) -> None:
    """The training questions have the same wording: every item would be contaminated by it."""
    kinds = [item for item in measured_items(*evaluation) if item.set == "kind"]
    assert len(kinds) == 6
    form = kinds[0].question.split("\n")[0]
    assert found(find_hits(kinds, corpus(tmp_path / "c", [f"{form}\n\n{sentence(4)}"]), CONFIG)) == [4]


def test_scores_on_clean_items_stand_beside_the_scores(evaluation: tuple[Path, Path], tmp_path: Path) -> None:
    """Two wrong items and the worst text were trained on: without them accuracy is 3 of 4, and bits per byte 1.5."""
    artifacts = [corpus(tmp_path / "c", [sentence(4), sentence(5), sentence(102, 60), sentence(300)])]
    out = tmp_path / "out"
    out.mkdir()
    facts = build_contamination(*evaluation, artifacts, CONFIG, tmp_path / "results", out)
    assert contaminated_items(out) == {"kind": {"4", "5"}, "heldout_bits_per_byte": {"2"}, "win_rate": {"w0"}}
    assert facts["contaminated"] == 4
    rows = {row["set"]: row for row in contamination_section(out, {"base": evaluation[0]}, evaluation[1])}
    kind = rows["kind"]
    assert (kind["items"], kind["contaminated"], kind["share"], kind["by"]) == (6, 2, 1 / 3, {"corpus": 2})
    assert kind["scores"]["base"]["value"] == 0.5
    assert kind["scores"]["base"]["clean"]["value"] == 3 / 4
    low, high = kind["scores"]["base"]["clean"]["interval"]
    assert low < 3 / 4 < high
    assert rows["heldout_bits_per_byte"]["scores"]["base"]["clean"]["value"] == pytest.approx(1.5, rel=1e-2)
    assert rows["win_rate"]["scores"]["base"]["clean"]["value"] == pytest.approx((0.25 + 0.5) / 2)
    assert rows["health"]["too_short"] == rows["health"]["items"] == 2
    assert rows["health"]["scores"]["base"] == {
        "metric": "health/broken", "value": 0.5, "clean": rows["health"]["scores"]["base"]["clean"],
    }  # fmt: skip


def test_an_artifact_is_read_once_for_the_same_items(evaluation: tuple[Path, Path], tmp_path: Path) -> None:
    """What a gate or another model changes must not read the corpus again."""
    artifact = corpus(tmp_path / "c", [sentence(4)])
    out = [tmp_path / "one", tmp_path / "two"]
    for each in out:
        each.mkdir()
        build_contamination(*evaluation, [artifact], CONFIG, tmp_path / "results", each)
        for shard in (tmp_path / "c" / "train").glob("*.parquet"):
            shard.unlink()
    assert (out[0] / "contamination.parquet").read_bytes() == (out[1] / "contamination.parquet").read_bytes()
