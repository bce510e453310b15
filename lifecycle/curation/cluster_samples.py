"""The largest groups of duplicates, for a person to look at."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import orjson
from pydantic import TypeAdapter

from lifecycle.corpora.row_groups import RowGroup
from lifecycle.corpora.units import Unit, rows_of
from lifecycle.curation.banding import Numbers
from lifecycle.curation.duplicates import NEAR, Duplicates
from lifecycle.curation.index import Index
from lifecycle.curation.sealed import entry_of, load, save
from lifecycle.differences import first_difference
from lifecycle.errors import DataError
from lifecycle.recipe.base import Section

CLUSTERS = 12
CONTEXT, EXCERPT = 60, 400
"""Characters before the first difference of two texts, and in all, of an excerpt."""
FILE = "largest_clusters.json"
ELSEWHERE = "(not in this corpus)"


class Copy(Section):
    """One document of a cluster."""

    id: str
    source: str
    text: str
    """An excerpt."""


class Cluster(Section):
    """The documents that gave way to one that stays."""

    kept: Copy
    exact: int
    near: int
    """Documents dropped: with the very text, and with one that resembles it."""
    by_source: dict[str, int]
    """Documents dropped, by their source."""
    least_alike: Copy
    similarity: float
    """Estimated Jaccard similarity of the two texts shown."""


class ClusterSamples:
    """The largest clusters, of each the document kept and the least alike dropped."""

    def __init__(self, index: Index, dropped: Duplicates) -> None:
        self._index, self._dropped = index, dropped
        self._members = {kept: np.flatnonzero(dropped.kept == kept) for kept in self._largest()}
        self._least = {kept: self._least_alike(members) for kept, members in self._members.items()}

    def _largest(self) -> list[int]:
        """Positions of the documents in whose place most go; of as many, those with the smallest ids."""
        kept, sizes = np.unique(self._dropped.kept, return_counts=True)
        large = sizes >= np.sort(sizes)[-CLUSTERS:][:1]
        ids = self._index.ids.take(kept[large])
        ordered = sorted(zip((-sizes[large]).tolist(), ids, kept[large].tolist(), strict=True))
        return [position for _, _, position in ordered[:CLUSTERS]]

    def _least_alike(self, members: Numbers) -> int:
        """Of some dropped documents the one least alike, by its place among all dropped ones."""
        similarity = self._dropped.similarity[members]
        least = members[similarity == similarity.min()]
        ids = self._index.ids.take(self._dropped.documents[least])
        return min(zip(ids, least.tolist(), strict=True))[1]

    def clusters(self, cache: Path) -> tuple[Cluster, ...]:
        """The largest clusters, largest first; excerpts begin a little before the first difference.

        Args:
            cache: a directory of entries: texts that an earlier run showed, too, are found there.
        """
        shown = {*self._least, *self._dropped.documents[list(self._least.values())].tolist()}
        groups = [group for groups in self._index.row_groups.values() for group in groups]
        texts = _texts_at(groups, sorted(position for position in shown if position < self._index.own), cache)
        return tuple(self._cluster(kept, members, texts) for kept, members in self._members.items())

    def _cluster(self, kept: int, members: Numbers, texts: Mapping[int, str]) -> Cluster:
        place = self._least[kept]
        least = int(self._dropped.documents[place])
        ours, theirs = (texts.get(position, ELSEWHERE) for position in (kept, least))
        start = max(0, first_difference(ours, theirs) - CONTEXT) if ours != theirs else 0
        exact = int((self._dropped.rules[members] < NEAR).sum())
        sources = self._index.sources.take(self._dropped.documents[members])
        return Cluster(
            kept=self._copy(kept, ours, start),
            exact=exact,
            near=members.size - exact,
            by_source=dict(sorted(Counter(sources).items())),
            least_alike=self._copy(least, theirs, start),
            similarity=float(self._dropped.similarity[place]),
        )

    def _copy(self, position: int, text: str, start: int) -> Copy:
        excerpt = text if text == ELSEWHERE else text[start : start + EXCERPT]
        return Copy(id=self._index.ids[position], source=self._index.sources[position], text=excerpt)

    def write(self, out: Path, cache: Path) -> None:
        """Write them as `largest_clusters.json`."""
        clusters = [each.model_dump() for each in self.clusters(cache)]
        (out / FILE).write_bytes(orjson.dumps(clusters, option=orjson.OPT_INDENT_2))


def _texts_at(groups: Sequence[RowGroup], positions: Sequence[int], cache: Path) -> dict[int, str]:
    """The texts of some documents by position, kept one by one: a row group holds megabytes of others."""
    ends = np.cumsum([group.rows for group in groups])
    found: dict[int, str] = {}
    for position in positions:
        number = int(np.searchsorted(ends, position, side="right"))
        group = groups[number]
        place = position - int(ends[number]) + group.rows
        entry = entry_of(cache, f"text {group.layout} {group.content} {place}")
        kept = load(entry)
        if kept is None:
            [(_, row)] = rows_of(Unit((group,)), [place], ["text"])
            found[position] = row["text"]
            save(entry, row["text"].encode())
        else:
            found[position] = kept.tobytes().decode()
    return found


def read_clusters(corpus: Path) -> tuple[Cluster, ...]:
    """The largest clusters of a corpus; raises DataError when the file is missing or damaged."""
    path = corpus / FILE
    try:
        return TypeAdapter(tuple[Cluster, ...]).validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot read the largest clusters: {error}") from error
