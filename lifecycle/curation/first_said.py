"""Which document of a corpus says a line or paragraph first, over all units; what each unit says is kept by its content."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import xxhash

from lifecycle.corpora.documents import open_shard
from lifecycle.corpora.units import Unit
from lifecycle.curation.protected import Protected
from lifecycle.curation.repeated import SAID, Repeated, Said, said, said_before
from lifecycle.curation.sides import STAYS, Task
from lifecycle.parallel import Executor, ordered_map
from lifecycle.recipe.corpora import RepeatedTextConfig, Scope
from lifecycle.results import result

FILE = "said.npy"
VERSION = 1
"""Raised when the same unit says something else."""


def mark_repeated(
    tasks: Sequence[Task],
    config: RepeatedTextConfig,
    scope: Scope,
    evaluation: Protected | None,
    cache: Path,
    work: Path,
    workers: int,
    executor: Executor,
) -> list[Task]:
    """The tasks of both sides, in the order of the corpus, each with what earlier documents said already.

    Duplicates, and documents that quote `evaluation`, go: they say nothing first.

    Args:
        scope: whether what another source said counts.
        work: directory of this run, for the places of each task.
    """
    units = list(dict.fromkeys(task.unit for task in tasks))
    one = partial(_unit_said, config, evaluation, cache)
    entries = dict(zip(units, ordered_map(one, units, workers, executor), strict=True))
    parts, owners, begin = [np.empty(0, SAID)], [np.empty(0, np.int64)], 0
    for task in tasks:
        part = np.load(entries[task.unit] / FILE)
        part = part[np.frombuffer(task.known, dtype=np.uint8)[part["document"]] == STAYS]
        if scope == "within_source":
            part["low"] ^= xxhash.xxh3_64_intdigest(task.source.encode())  # so that no two sources say the same
        parts.append(part)
        owners.append(begin + part["document"].astype(np.int64))
        begin += task.unit.rows
    before = said_before(np.concatenate(parts), np.concatenate(owners))
    marks = np.split(before, np.cumsum([part.size for part in parts[1:-1]]))
    return [
        _marked(task, part[mark], work / f"repeated-{number}.npy")
        for number, (task, part, mark) in enumerate(zip(tasks, parts[1:], marks, strict=True))
    ]


def _marked(task: Task, repeated: Said, path: Path) -> Task:
    if not repeated.size:
        return task
    places = np.stack([repeated["document"], repeated["place"]], axis=1)
    np.save(path, places)
    return replace(task, repeated=Repeated.of(path, places))


def _unit_said(config: RepeatedTextConfig, evaluation: Protected | None, cache: Path, unit: Unit) -> Path:
    """The entry with what each document of a unit says that does not quote `evaluation`."""

    def make(directory: Path) -> None:
        overlaps = evaluation.overlaps() if evaluation else None
        found, number = [np.empty(0, SAID)], 0
        with open_shard(unit.path) as file:
            for group in range(unit.first, unit.last):
                for document in file.read_row_group(group, columns=["id", "source", "text"]).to_pylist():
                    if not (overlaps and overlaps.found_in(document)):
                        found.append(said(document["text"], number, config))
                    number += 1
        np.save(directory / FILE, np.concatenate(found))

    quoted = evaluation.identity() if evaluation else ""
    return result(cache, unit.key(f"said {VERSION} {config.model_dump_json()} {quoted}"), make)[0]
