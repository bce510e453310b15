"""The largest groups of duplicates, for a person to look at."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import orjson
from pydantic import TypeAdapter

from lifecycle.curation.duplicates import Duplicate
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

    def __init__(self, index: Index, dropped: Mapping[int, Duplicate]) -> None:
        sizes = Counter(each.kept for each in dropped.values())
        largest = sorted(sizes, key=lambda kept: (-sizes[kept], index.ids[kept]))[:CLUSTERS]
        self._members: dict[int, list[int]] = {kept: [] for kept in largest}
        for position, each in dropped.items():
            if each.kept in self._members:
                self._members[each.kept].append(position)
        self._least = {
            kept: min(members, key=lambda position: (dropped[position].similarity, index.ids[position]))
            for kept, members in self._members.items()
        }
        self._texts: dict[int, str] = {}
        self._index, self._dropped = index, dropped

    def wanted(self) -> list[int]:
        """Positions of the documents whose texts are to be shown."""
        return sorted({*self._least, *self._least.values()})

    def see(self, position: int, text: str) -> None:
        """The text of one of them."""
        self._texts[position] = text

    def clusters(self) -> tuple[Cluster, ...]:
        """The largest clusters, largest first; excerpts begin a little before the first difference."""
        return tuple(self._cluster(kept, members) for kept, members in self._members.items())

    def _cluster(self, kept: int, members: list[int]) -> Cluster:
        least = self._least[kept]
        ours, theirs = (self._texts.get(position, ELSEWHERE) for position in (kept, least))
        start = max(0, first_difference(ours, theirs) - CONTEXT) if ours != theirs else 0
        exact = sum(self._dropped[position].rule.startswith("exact") for position in members)
        return Cluster(
            kept=self._copy(kept, ours, start),
            exact=exact,
            near=len(members) - exact,
            by_source=dict(sorted(Counter(self._index.sources[position] for position in members).items())),
            least_alike=self._copy(least, theirs, start),
            similarity=self._dropped[least].similarity,
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
