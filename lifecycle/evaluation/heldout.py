"""What evaluation asks, made from the held-out text and from nothing else; no training stage reads it."""

import gzip
import hashlib
import json
import logging
import lzma
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.corpora.documents import SCHEMA, iter_documents
from lifecycle.errors import DataError
from lifecycle.evaluation.items import EvaluationItem, write_items
from lifecycle.instructions.docstrings import DocumentedObject, Question, ask, documented_object
from lifecycle.instructions.prompts import KINDS, Task, evaluation_prompt
from lifecycle.plots import plot

logger = logging.getLogger(__name__)

MIN_BYTES = 2_000
"""Less text than this gives no bits per byte worth printing."""
MIN_ITEMS = 20
"""A task with fewer items is left out: its standard error would exceed 0.1."""
MAX_WORD_SHARE = 0.05
WIN_RATE_TASKS: tuple[Task, ...] = ("summary", "parameter", "returns")


def build_heldout_text(
    corpus: Path, max_bytes: int, max_items: int, win_rate_prompts: int, seed: int, out: Path, run_dir: Path
) -> dict[str, Any]:
    """Write the held-out documents, the text to measure bits per byte on, and the items of each task.

    `documents.parquet` (all held-out documents), `groups.json` (their groups and ids, which nothing trained may come
    from), `text.jsonl` ({id, text}, drawn whole documents of at most `max_bytes` together), and, where the corpus
    documents Python objects, `items/kind_of_object.jsonl`, `items/first_word_match.jsonl`, `items/win_rate.jsonl`.

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
    with (out / "text.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"id": d["id"], "text": d["text"]}, ensure_ascii=False) + "\n" for d in measured)
    objects = [thing for thing in map(documented_object, documents) if thing is not None]
    items, missing = _write_all_items(objects, max_items, win_rate_prompts, seed, out)
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


def _write_all_items(
    objects: list[DocumentedObject], max_items: int, win_rate_prompts: int, seed: int, out: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    tasks = {
        "kind_of_object": _kind_items(objects, max_items, seed),
        "first_word_match": _first_word_items(objects, max_items),
        "win_rate": _win_rate_items(objects, win_rate_prompts),
    }
    facts: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, items in tasks.items():
        if len(items) < MIN_ITEMS:
            missing[name] = (
                f"{len(objects)} documented objects are held out; they give {len(items)} items, {MIN_ITEMS} are needed"
            )
            logger.warning("no items for %s: %s", name, missing[name])
            continue
        path = out / "items" / f"{name}.jsonl"
        if name == "win_rate":
            _write_win_rate(path, items)
        else:
            write_items(path, items)
        facts[name] = {"items": len(items), **_balance(items)}
    return facts, missing


def _kind_items(objects: list[DocumentedObject], max_items: int, seed: int) -> list[EvaluationItem]:
    """As many items of each kind that occurs; the choices always stand in the same order, as in training."""
    by_kind: dict[str, list[tuple[DocumentedObject, Question]]] = {}
    for thing in objects:
        for question in ask("kind", thing):
            by_kind.setdefault(question.answer, []).append((thing, question))
    kinds = [kind for kind in KINDS if kind in by_kind]
    if len(kinds) < 2:
        return []
    each = min(max_items // len(kinds), *(len(by_kind[kind]) for kind in kinds))
    chosen = [pair for kind in kinds for pair in by_kind[kind][:each]]
    random.Random(seed).shuffle(chosen)
    return [
        EvaluationItem(
            id=f"kind_of_object-{thing.id}",
            task="kind_of_object",
            prompt=evaluation_prompt("kind", text=question.text),
            choices=tuple(kinds),
            gold=kinds.index(question.answer),
            document_id=thing.id,
        )
        for thing, question in chosen
    ]


def _first_word_items(objects: list[DocumentedObject], max_items: int) -> list[EvaluationItem]:
    """No word is the answer of more than a twentieth of the items, so that one word said always does not score."""
    limit = max(1, round(MAX_WORD_SHARE * max_items))
    seen: Counter[str] = Counter()
    items = []
    for thing in objects:
        for question in ask("first_word", thing):
            word = question.answer.lower()
            if seen[word] < limit and len(items) < max_items:
                seen[word] += 1
                items.append(_open_item("first_word_match", "first_word", thing, question))
    return items


def _win_rate_items(objects: list[DocumentedObject], count: int) -> list[EvaluationItem]:
    """Questions with a reference answer: the tasks take turns until there are enough; parameters one to an object first."""
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
    return (items + later)[:count]


def _open_item(name: str, task: Task, thing: DocumentedObject, question: Question) -> EvaluationItem:
    suffix = f"-{question.item.strip('`*')}" if question.item else ""
    return EvaluationItem(
        id=f"{name}-{thing.id}{suffix}",
        task=name,
        prompt=evaluation_prompt(task, text=question.text, name=question.name, item=question.item),
        target=question.answer,
        document_id=thing.id,
    )


def _write_win_rate(path: Path, items: list[EvaluationItem]) -> None:
    """`items/win_rate.jsonl` calls the answer `reference`: it is compared with, not matched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for item in items:
            row = item.model_dump(exclude_none=True)
            row["reference"] = row.pop("target")
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _balance(items: list[EvaluationItem]) -> dict[str, Any]:
    if items[0].choices:
        golds = Counter(item.choices[item.gold] for item in items if item.choices and item.gold is not None)
        return {"chance": round(1 / len(items[0].choices), 4), "gold": dict(sorted(golds.items()))}
    return {"tasks": dict(sorted(Counter(item.task for item in items).items()))}
