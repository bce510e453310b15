"""What evaluation asks, made from the held-out text and from nothing else; no training stage reads it."""

import gzip
import hashlib
import json
import logging
import lzma
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.corpora.documents import SCHEMA, iter_documents
from lifecycle.errors import DataError
from lifecycle.evaluation.drawn import FIRST_WORD, ITEMS, KIND, TEXT, WIN_RATE, balanced, varied
from lifecycle.evaluation.items import EvaluationItem, write_items, write_references
from lifecycle.instructions.docstrings import DocumentedObject, Question, ask, documented_object
from lifecycle.instructions.prompts import KINDS, Task, evaluation_prompt
from lifecycle.plots import plot
from lifecycle.recipe.evaluation import CANDIDATES

logger = logging.getLogger(__name__)

MIN_BYTES = 2_000
"""Less text than this gives no bits per byte worth printing."""
MIN_ITEMS = 20
"""A task with fewer items is left out: its standard error would exceed 0.1."""
WIN_RATE_TASKS: tuple[Task, ...] = ("summary", "parameter", "returns")


def build_heldout_text(corpus: Path, max_bytes: int, seed: int, out: Path, run_dir: Path) -> dict[str, Any]:
    """Write the held-out documents, the text to measure bits per byte on, and what the items of each task are drawn from.

    `documents.parquet` (all held-out documents), `groups.json` (their groups and ids, which nothing trained may come
    from), `text.jsonl` ({id, text}, drawn whole documents of at most `max_bytes` together), and, where the corpus
    documents Python objects, `items/kind_of_object.jsonl`, `items/first_word_match.jsonl`, `items/win_rate.jsonl`: up to
    `CANDIDATES` each, of which an evaluation asks as many as the recipe says (`lifecycle.evaluation.drawn`).

    The facts hold the bits per byte of gzip -9 and xz -9e on exactly the text of `text.jsonl`, one document behind the
    other. Tasks for which the text does not suffice are listed in `missing`.

    Raises:
        DataError: there is too little held-out text.
    """
    documents = list(iter_documents(corpus / "heldout", SCHEMA.names))
    documents.sort(key=lambda document: hashlib.sha256(f"{seed}:{document['id']}".encode()).digest())
    pq.write_table(pa.Table.from_pylist(documents, schema=SCHEMA), out / "documents.parquet", compression="zstd")
    groups = {"groups": sorted({d["group"] for d in documents}), "documents": sorted(d["id"] for d in documents)}
    (out / "groups.json").write_text(json.dumps(groups, ensure_ascii=False, indent=0), encoding="utf-8")
    measured = list(_within(documents, max_bytes))
    text = "".join(document["text"] for document in measured).encode("utf-8")
    if len(text) < MIN_BYTES:
        raise DataError(
            f"curation.heldout: {len(documents)} held-out documents give {len(text)} bytes to measure, at least {MIN_BYTES} "
            "are needed; raise curation.heldout.share or curation.heldout.max_bytes, or add text to the sources"
        )
    with (out / TEXT).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"id": d["id"], "text": d["text"]}, ensure_ascii=False) + "\n" for d in measured)
    objects = [thing for thing in map(documented_object, documents) if thing is not None]
    items, missing = _write_all_items(objects, out)
    facts = {
        "rows": len(documents),
        "groups": len(groups["groups"]),
        "measured_documents": len(measured),
        "bytes": len(text),
        "gzip_bits_per_byte": round(8 * len(gzip.compress(text, 9, mtime=0)) / len(text), 4),
        "xz_bits_per_byte": round(8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) / len(text), 4),
        "items": items,
        "missing": missing,
    }
    with plot(run_dir, "compression", "Held-out text: what the model must beat") as axes:
        axes.barh(["gzip -9", "xz -9e"], [facts["gzip_bits_per_byte"], facts["xz_bits_per_byte"]])
        axes.set_xlabel("bits per byte")
    return facts


def _within(documents: Iterable[dict[str, Any]], max_bytes: int) -> Iterator[dict[str, Any]]:
    left = max_bytes
    for document in documents:
        size = len(document["text"].encode("utf-8"))
        if size <= left:
            left -= size
            yield document


def _write_all_items(objects: list[DocumentedObject], out: Path) -> tuple[dict[str, Any], dict[str, str]]:
    words = [_open_item(FIRST_WORD, "first_word", *asked) for asked in _asked("first_word", objects)]
    tasks = {
        KIND: _kind_items(objects),
        FIRST_WORD: varied(words, CANDIDATES),
        WIN_RATE: _win_rate_items(objects),
    }
    facts: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, items in tasks.items():
        count = len(balanced(items, CANDIDATES, 0)) if name == KIND else len(items)
        if count < MIN_ITEMS:
            given = f"{len(objects)} documented objects are held out; they give {count} items"
            missing[name] = f"{given}, {MIN_ITEMS} are needed"
            logger.warning("no items for %s: %s", name, missing[name])
            continue
        (write_references if name == WIN_RATE else write_items)(out / ITEMS / f"{name}.jsonl", items)
        facts[name] = {"items": len(items), **_balance(items)}
    return facts, missing


def _asked(task: Task, objects: Iterable[DocumentedObject]) -> Iterator[tuple[DocumentedObject, Question]]:
    return ((thing, question) for thing in objects for question in ask(task, thing))


def _kind_items(objects: list[DocumentedObject]) -> list[EvaluationItem]:
    """The choices are the kinds that occur, and always stand in the same order, as in training."""
    pairs = list(_asked("kind", objects))
    kinds = [kind for kind in KINDS if any(question.answer == kind for _, question in pairs)]
    if len(kinds) < 2:
        return []
    left = dict.fromkeys(kinds, CANDIDATES // len(kinds))
    items = []
    for thing, question in pairs:
        left[question.answer] -= 1
        if left[question.answer] >= 0:
            items.append(
                EvaluationItem(
                    id=f"{KIND}-{thing.id}",
                    task=KIND,
                    prompt=evaluation_prompt("kind", text=question.text),
                    choices=tuple(kinds),
                    gold=kinds.index(question.answer),
                    document_id=thing.id,
                )
            )
    return items


def _win_rate_items(objects: list[DocumentedObject]) -> list[EvaluationItem]:
    """Questions with a reference answer: the tasks take turns; parameters one to an object first."""
    pools: dict[Task, list[EvaluationItem]] = {task: [] for task in WIN_RATE_TASKS}
    later: list[EvaluationItem] = []
    for thing in objects:
        for task in WIN_RATE_TASKS:
            for number, question in enumerate(ask(task, thing)):
                item = _open_item(task, task, thing, question)
                (later if number else pools[task]).append(item)
    items: list[EvaluationItem] = []
    for position in range(max((len(pool) for pool in pools.values()), default=0)):
        items += [pool[position] for pool in pools.values() if position < len(pool)]
    return (items + later)[:CANDIDATES]


def _open_item(name: str, task: Task, thing: DocumentedObject, question: Question) -> EvaluationItem:
    suffix = f"-{question.item.strip('`*')}" if question.item else ""
    return EvaluationItem(
        id=f"{name}-{thing.id}{suffix}",
        task=name,
        prompt=evaluation_prompt(task, text=question.text, name=question.name, item=question.item),
        target=question.answer,
        document_id=thing.id,
    )


def _balance(items: list[EvaluationItem]) -> dict[str, Any]:
    if items[0].choices:
        golds = Counter(item.choices[item.gold] for item in items if item.choices and item.gold is not None)
        return {"chance": round(1 / len(items[0].choices), 4), "gold": dict(sorted(golds.items()))}
    return {"tasks": dict(sorted(Counter(item.task for item in items).items()))}
