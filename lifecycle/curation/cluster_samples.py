"""The largest groups of near-duplicates, for a person to look at."""

from collections import Counter
from collections.abc import Mapping

from lifecycle.curation.duplicates import Duplicate
from lifecycle.curation.index import Index

CLUSTERS = 8
EXCERPT_CHARACTERS = 90


class ClusterSamples:
    """Collects the texts of the largest clusters while the documents pass: the one kept and the least alike dropped."""

    def __init__(self, index: Index, dropped: Mapping[int, Duplicate]) -> None:
        near = {position: each for position, each in dropped.items() if each.rule.startswith("near_duplicate")}
        sizes = Counter(each.kept for each in near.values())
        largest = sorted(sizes.items(), key=lambda item: (-item[1], index.ids[item[0]]))[:CLUSTERS]
        least: dict[int, int] = {}
        for position, each in near.items():
            other = least.setdefault(each.kept, position)
            if (each.similarity, index.ids[position]) < (near[other].similarity, index.ids[other]):
                least[each.kept] = position
        self._rows = [(kept, size, least[kept], near[least[kept]].similarity) for kept, size in largest]
        self._wanted = {position for kept, _, example, _ in self._rows for position in (kept, example)}
        self._texts: dict[int, str] = {}
        self._index = index

    def see(self, position: int, text: str) -> None:
        """A document passes."""
        if position in self._wanted:
            self._texts[position] = " ".join(text[: EXCERPT_CHARACTERS * 2].split())[:EXCERPT_CHARACTERS]

    def table(self) -> str:
        """Markdown, one row a cluster: copies dropped, the kept document, and the dropped one that is least like it."""
        lines = ["| dropped | kept | kept begins | least alike | begins |", "|---|---|---|---|---|"]
        for kept, size, example, similarity in self._rows:
            source, identifier = self._index.sources[kept], self._index.ids[kept]
            ours, theirs = (_cell(self._texts.get(position, "(not in this corpus)")) for position in (kept, example))
            lines.append(f"| {size} | {source} `{identifier}` | {ours} | {similarity:.2f} | {theirs} |")
        return "\n".join(lines) if self._rows else "no near-duplicates"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`").replace("<", "&lt;")
