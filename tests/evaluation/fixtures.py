"""A small held-out text directory in the format of the `heldout_text` artifact."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.evaluation.items import EvaluationItem, write_items

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
                gold=draw.randrange(3),
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
