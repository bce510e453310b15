"""A small held-out text directory in the format of the `heldout_text` artifact, and evaluations with given figures."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.evaluation.items import EvaluationItem, write_items
from lifecycle.evaluation.results import AnswerSummary, Metric, Results, TaskResult
from lifecycle.evaluation.statistics import HeldoutRewards, PairAccuracy, wilson_interval

KINDS = ("class", "function", "module")
WORDS = "return the path of a file when argument is not number raises ValueError class module".split()  # noqa: SIM905


def write_jsonl(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def heldout_directory(directory: Path, items: int = 12, documents: int = 6) -> Path:
    """Text, multiple-choice, generation and win-rate items; equal arguments give equal bytes."""
    draw = random.Random(0)

    def sentence(length: int) -> str:
        return " ".join(draw.choice(WORDS) for _ in range(length)).capitalize() + "."

    write_jsonl(directory / "text.jsonl", [{"id": f"d{i}", "text": sentence(40)} for i in range(documents)])
    kinds = [("en", "docs"), ("en", "docs"), ("zh", "news")]
    rows = [{"id": f"d{i}", "lang": kinds[i % 3][0], "source": kinds[i % 3][1]} for i in range(documents)]
    pq.write_table(pa.Table.from_pylist(rows), directory / "documents.parquet")
    (directory / "groups.json").write_text(json.dumps({"groups": ["held/out.py"], "documents": ["held"]}))
    write_items(
        directory / "items" / "kind_of_object.jsonl",
        [
            EvaluationItem(
                id=f"k{i}",
                task="kind_of_object",
                prompt=f"What kind of object is this?\n\n{sentence(8)}",
                choices=KINDS,
                gold=i % 3,
            )
            for i in range(items)
        ],
    )
    write_items(
        directory / "items" / "first_word_match.jsonl",
        [
            EvaluationItem(id=f"f{i}", task="first_word_match", prompt=f"Repeat the word.\n\n{word} of it", target=word)
            for i, word in enumerate(WORDS[:items])
        ],
    )
    write_jsonl(
        directory / "items" / "win_rate.jsonl",
        [
            {"id": f"w{i}", "task": "summary", "prompt": f"Summarise {i}.\n\n{sentence(12)}", "reference": sentence(6)}
            for i in range(items)
        ],
    )
    return directory


def evaluation(directory: Path, name: str, accuracy: float, bits: float, scores: list[float], rewards: bool = False) -> Path:
    """What the evaluation program leaves behind, with given figures."""
    directory.mkdir(parents=True, exist_ok=True)
    right = round(300 * accuracy)
    Results(
        model=name,
        parameters=1000,
        tasks={
            "kind_of_object": TaskResult(
                n=300,
                chance=1 / 3,
                metrics={
                    "acc": Metric(value=accuracy, higher_is_better=True, stderr=0.027, interval=wilson_interval(right, 300))
                },
            ),
            "heldout_bits_per_byte": TaskResult(n=50, metrics={"bits_per_byte": Metric(value=bits, higher_is_better=False)}),
        },
        answers=AnswerSummary(n=len(scores), score=sum(scores) / len(scores), interval=(0, 1), finished=1.0, mean_tokens=4),
        preferences=HeldoutRewards(
            pairs=20,
            accuracy=0.75,
            interval=(0.53, 0.89),
            margin=1.0,
            by_source={
                "human_pairs": PairAccuracy(pairs=8, accuracy=0.5, interval=wilson_interval(4, 8)),
                "sampled_answers": PairAccuracy(pairs=12, accuracy=11 / 12, interval=wilson_interval(11, 12)),
            },
        )
        if rewards
        else None,
    ).write(directory)
    rows = [
        {
            "id": f"w{i}",
            "prompt": f"<b>Summarise</b> | {i}",
            "reference": "It returns.",
            "answer": f"{name} says {i}",
            "score": score,
        }
        for i, score in enumerate(scores)
    ]
    pq.write_table(pa.Table.from_pylist(rows), directory / "answers.parquet")
    samples = [
        {"task": "kind_of_object", "index": i, "prompt": f"{i}?", "target": "class", "answer": "", "score": float(i < right)}
        for i in range(300)
    ]
    pq.write_table(pa.Table.from_pylist(samples), directory / "samples.parquet")
    return directory
