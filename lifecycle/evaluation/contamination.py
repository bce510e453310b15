"""Stage `contamination`: which items of the evaluation sets stand in what the models were trained on.

An item is contaminated by an artifact where both share a passage (`lifecycle.curation.passages`: 13 words or 30 Han
characters), or where its whole question was asked there. Items too short for a passage, and for text all of them, are
looked for by question alone.
"""

import json
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.curation.passages import PassageIndex
from lifecycle.digests import digest_json
from lifecycle.evaluation.bits import TASK as TEXT
from lifecycle.evaluation.measured_items import MeasuredItem, measured_items
from lifecycle.evaluation.trained_on import TrainingArtifact, training_texts
from lifecycle.recipe.base import Section, identity
from lifecycle.recipe.corpora import OverlapConfig
from lifecycle.recipe.evaluation_sets import ContaminationConfig
from lifecycle.results import result

logger = logging.getLogger(__name__)

VERSION = 1
"""Raised when the same items and texts give another answer."""
FILE, SUMMARY, HITS = "contamination.parquet", "contamination.json", "hits.json"
SCHEMA = pa.schema([(name, pa.string()) for name in ("set", "item", "artifact", "document", "shared")])
"""A row for each item and artifact: the training text that was found first, and the words that both share."""
SHOWN_CHARACTERS = 500
SPACE = re.compile(r"\s+")


class SetContamination(Section):
    """One set against everything that was trained on."""

    set: str
    items: int
    contaminated: int
    too_short: int
    """Items that hold no passage; of these only equal questions are found."""
    by: dict[str, int]
    """Contaminated items by artifact."""

    @property
    def share(self) -> float:
        """Of the items, those that are contaminated."""
        return self.contaminated / self.items


class Hit(Section):
    """An item in an artifact: its number among the items, the training text, and what both share."""

    item: int
    document: str
    shared: str


def build_contamination(
    evaluation: Path,
    heldout: Path,
    artifacts: Sequence[TrainingArtifact],
    config: ContaminationConfig,
    results: Path,
    out: Path,
) -> dict[str, Any]:
    """Write `contamination.parquet` (a row for each contaminated item and artifact) and `contamination.json` (the sets).

    Args:
        evaluation: any model's; all are asked the same.
        results: where the hits of one artifact are kept between runs.
    """
    items = measured_items(evaluation, heldout)
    found = {each.name: _kept_hits(items, each, config, results) for each in artifacts}
    rows = [
        {"set": items[hit.item].set, "item": items[hit.item].id, "artifact": name, **hit.model_dump(exclude={"item"})}
        for name, hits in found.items()
        for hit in hits
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), out / FILE, compression="zstd")
    sets = summarise(items, {name: {hit.item for hit in hits} for name, hits in found.items()}, config)
    (out / SUMMARY).write_text(json.dumps([each.model_dump() for each in sets], indent=1), encoding="utf-8")
    return {
        "rows": len(rows),
        "items": len(items),
        "contaminated": sum(each.contaminated for each in sets),
        "sets": {each.set: {"items": each.items, "share": round(each.share, 4)} for each in sets},
        "artifacts": {each.name: each.digest for each in artifacts},
    }


def summarise(
    items: Sequence[MeasuredItem], hits: dict[str, set[int]], config: ContaminationConfig
) -> list[SetContamination]:
    """The sets in the order of their items.

    Args:
        hits: numbers of the contaminated items, by artifact.
    """
    sets = []
    for name in dict.fromkeys(item.set for item in items):
        own = {number for number, item in enumerate(items) if item.set == name}
        by = {artifact: len(found & own) for artifact, found in hits.items()}
        contaminated = len(own & set().union(*hits.values()))
        silent = PassageIndex((items[number].text for number in sorted(own)), _overlap(name, config)).silent
        sets.append(SetContamination(set=name, items=len(own), contaminated=contaminated, too_short=silent, by=by))
    return sets


def contaminated_items(directory: Path) -> dict[str, set[str]]:
    """Ids of the contaminated items by set, from an artifact of this stage."""
    found: dict[str, set[str]] = {}
    for row in pq.read_table(directory / FILE, columns=["set", "item"]).to_pylist():
        found.setdefault(row["set"], set()).add(row["item"])
    return found


def _kept_hits(
    items: Sequence[MeasuredItem], artifact: TrainingArtifact, config: ContaminationConfig, results: Path
) -> list[Hit]:
    asked = digest_json([[item.set, item.text, item.question] for item in items])
    key = digest_json([VERSION, asked, artifact.digest, artifact.name, identity(config)])

    def make(directory: Path) -> None:
        hits = [hit.model_dump() for hit in find_hits(items, artifact, config)]
        (directory / HITS).write_text(json.dumps(hits, ensure_ascii=False), encoding="utf-8")

    entry, _ = result(results / "contamination", key, make)
    return [Hit.model_validate(each) for each in json.loads((entry / HITS).read_text(encoding="utf-8"))]


def find_hits(items: Sequence[MeasuredItem], artifact: TrainingArtifact, config: ContaminationConfig) -> list[Hit]:
    """The items that one artifact holds, each once, in their order.

    The artifact is read once, whatever its size: first for the passages that any item shares with it, of which then each
    item is searched. An index alone names only the first of several items that share a passage.
    """
    questions: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        if item.set != TEXT and (folded := _folded(item.question)):
            questions.setdefault(folded, []).append(number)
    groups = [
        (overlap, chosen)
        for overlap, chosen in (
            (config.overlap, [number for number, item in enumerate(items) if item.set != TEXT]),
            (config.text_overlap, [number for number, item in enumerate(items) if item.set == TEXT]),
        )
        if chosen
    ]
    indices = [PassageIndex((items[number].text for number in chosen), overlap) for overlap, chosen in groups]
    shared: list[dict[str, str]] = [{} for _ in groups]
    hits: dict[int, Hit] = {}
    for text in training_texts(artifact):
        for place, index in enumerate(indices):
            for each in index.find(text.text):
                shared[place].setdefault(text.text[each.here[0] : each.here[1]], text.id)
        for question in text.questions:
            for number in questions.get(_folded(question), ()):
                hits.setdefault(number, Hit(item=number, document=text.id, shared=question[:SHOWN_CHARACTERS]))
    for (overlap, chosen), passages in zip(groups, shared, strict=True):
        for hit in _items_with(passages, items, chosen, overlap):
            hits.setdefault(hit.item, hit)
    return [hits[number] for number in sorted(hits)]


def _items_with(
    passages: dict[str, str], items: Sequence[MeasuredItem], chosen: Iterable[int], overlap: OverlapConfig
) -> list[Hit]:
    """The items that hold one of these passages, which training texts (by id) hold."""
    index, hits = PassageIndex(passages, overlap), []
    documents = list(passages.values())
    for number in chosen:
        text = items[number].text
        if found := index.find(text):
            begin, end = found[0].here
            words = text[begin : min(end, begin + SHOWN_CHARACTERS)]
            hits.append(Hit(item=number, document=documents[found[0].text], shared=words))
    return hits


def _overlap(name: str, config: ContaminationConfig) -> OverlapConfig:
    return config.text_overlap if name == TEXT else config.overlap


def _folded(text: str) -> str:
    return SPACE.sub(" ", text).strip().casefold()
