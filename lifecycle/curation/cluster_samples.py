"""The largest groups of duplicates, for a person to look at."""

from collections import Counter
from pathlib import Path

import numpy as np
import orjson
from pydantic import TypeAdapter

from lifecycle.curation.banding import Numbers
from lifecycle.curation.duplicates import NEAR, Duplicates
from lifecycle.curation.index import Index
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
    """Collects the texts of the largest clusters while the documents pass: the one kept and the least alike dropped."""

    def __init__(self, index: Index, dropped: Duplicates) -> None:
        self._index, self._dropped = index, dropped
        self._members = {kept: np.flatnonzero(dropped.kept == kept) for kept in self._largest()}
        self._least = {kept: self._least_alike(members) for kept, members in self._members.items()}
        self._texts: dict[int, str] = {}

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

    def wanted(self) -> list[int]:
        """Positions of the documents whose texts are to be shown."""
        return sorted({*self._least, *self._dropped.documents[list(self._least.values())].tolist()})

    def see(self, position: int, text: str) -> None:
        """The text of one of them."""
        self._texts[position] = text

    def clusters(self) -> tuple[Cluster, ...]:
        """The largest clusters, largest first; excerpts begin a little before the first difference."""
        return tuple(self._cluster(kept, members) for kept, members in self._members.items())

    def _cluster(self, kept: int, members: Numbers) -> Cluster:
        place = self._least[kept]
        least = int(self._dropped.documents[place])
        ours, theirs = (self._texts.get(position, ELSEWHERE) for position in (kept, least))
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

    def write(self, out: Path) -> None:
        """Write them as `largest_clusters.json`."""
        (out / FILE).write_bytes(orjson.dumps([each.model_dump() for each in self.clusters()], option=orjson.OPT_INDENT_2))


def read_clusters(corpus: Path) -> tuple[Cluster, ...]:
    """The largest clusters of a corpus; raises DataError when the file is missing or damaged."""
    path = corpus / FILE
    try:
        return TypeAdapter(tuple[Cluster, ...]).validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot read the largest clusters: {error}") from error
