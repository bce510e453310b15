"""The way forward: which registered models a source, or one document, trained."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from lifecycle.errors import LifecycleError
from lifecycle.tracking.connection import connect
from lifecycle.tracking.lineage import LineageNode, Walk, each_once
from lifecycle.tracking.registry import RegisteredVersion, all_versions

TRAINED_ON = {
    "corpus": "train/documents-*.parquet",
    "instructions": "conversations.parquet",
    "selected_instructions": "conversations.parquet",
    "preference_pairs": "train.parquet",
    "raw_preferences": "labels.parquet",
}
"""Stages whose rows are trained on (in a later stage), and their files."""
READ = {"raw_corpora": "documents-*.parquet", "raw_instructions": "conversations.parquet", "raw_preferences": "*.parquet"}
"""Stages that read, of which not all is trained on, and their files."""
_ROUND = re.compile(r"_r\d+$")
IDENTIFIERS = ("id", "document_id", "group")
"""Columns that name a row, or the document that it was made from."""


@dataclass(frozen=True)
class Use:
    """One registered version, and the artifacts of its lineage through which the text came in."""

    version: RegisteredVersion
    through: tuple[str, ...]


@dataclass(frozen=True)
class Uses:
    """What was found; `unread` names artifacts that are no longer on disk, of which nothing can be said.

    `read` names what read the text where no model was trained on it.
    """

    found: tuple[Use, ...]
    unread: tuple[str, ...]
    read: tuple[str, ...] = ()


def used_by(tracking_uri: str, name: str) -> Uses:
    """The registered versions made from the source `name`, or from the document (conversation, pair) with this id.

    A source is looked up in the lineage of every version; a document in the rows of what these were trained on.

    Raises:
        LifecycleError: the registry does not answer, nothing was ever registered, or no version's life has a source or a row
            of this name: a slip of the pen must not look like a text that trained nothing.
    """
    trees = _Trees(tracking_uri)
    sources = {node.source for root in trees.roots.values() for node in each_once(root) if node.source}
    if name in sources:
        return _collect(trees, lambda node, _: node.source == name)
    rows = _Rows(name)
    trained = _collect(trees, rows.has)
    if trained.found:
        return trained
    seen = _collect(trees, lambda node, _: rows.was_read(node))
    read = tuple(dict.fromkeys(title for use in seen.found for title in use.through))
    unread = tuple(dict.fromkeys((*trained.unread, *seen.unread)))
    if not read and not unread:
        raise LifecycleError(
            f"{name!r} is no source of a registered model ({', '.join(sorted(sources))}), and no document, conversation or "
            "pair that one of them read has this id"
        )
    return Uses((), unread, read)


def _collect(trees: "_Trees", holds: Callable[[LineageNode, Collection[str]], bool | None]) -> Uses:
    found: list[Use] = []
    unread: dict[str, None] = {}
    for label, root in trees.roots.items():
        stages = {node.stage for node in each_once(root)}
        answers = {f"{_title(node)} {node.digest[:12]}": holds(node, stages) for node in each_once(root)}
        through = tuple(title for title, answer in answers.items() if answer)
        unread |= dict.fromkeys(title for title, answer in answers.items() if answer is None)
        if through:
            found.append(Use(trees.versions[label], through))
    return Uses(tuple(found), tuple(unread))


def _title(node: LineageNode) -> str:
    return f"{node.stage} of {node.source}" if node.source else node.stage


class _Trees:
    """The lineage of every registered version."""

    def __init__(self, tracking_uri: str) -> None:
        self.versions = {version.label: version for version in all_versions(tracking_uri)}
        if not self.versions:
            raise LifecycleError(f"no model is registered at {tracking_uri} yet")
        walk = Walk(connect(tracking_uri, create=False))
        self.roots = {
            label: walk.node(label, version.stage, version.fingerprint, version.digest)
            for label, version in self.versions.items()
        }


class _Rows:
    """Whether artifacts have a row of this id; each is read once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: dict[tuple[str, str], bool | None] = {}

    def has(self, node: LineageNode, stages: Collection[str]) -> bool | None:
        """Whether the row was trained on; None when the artifact is not there to be read.

        Args:
            stages: of the model's whole life: rows of one stage may be chosen from in another, or pass it by.
        """
        chosen_from = node.stage == "instructions" and "selected_instructions" in stages
        if chosen_from or (node.stage == "raw_preferences" and "kto_model" not in stages):
            return False
        pattern = TRAINED_ON.get(_ROUND.sub("", node.stage))  # a round has pairs, and may have conversations, of its own
        return self._look_once(node, pattern)

    def was_read(self, node: LineageNode) -> bool | None:
        """Whether the row was read, trained on or not; None when the artifact is not there to be read."""
        return self._look_once(node, READ.get(_ROUND.sub("", node.stage)))

    def _look_once(self, node: LineageNode, pattern: str | None) -> bool | None:
        if pattern is None:
            return False
        key = (node.key, pattern)
        if key not in self._known:
            self._known[key] = self._look(Path(node.details.get("uri", "")), pattern)
        return self._known[key]

    def _look(self, directory: Path, pattern: str) -> bool | None:
        files = sorted(directory.glob(pattern)) if directory.is_dir() else []
        return any(self._in_file(file) for file in files) if files else None

    def _in_file(self, path: Path) -> bool:
        columns = [name for name in IDENTIFIERS if name in pq.read_schema(path).names]
        return any(pq.read_table(path, columns=[name], filters=[(name, "=", self._name)]).num_rows for name in columns)
