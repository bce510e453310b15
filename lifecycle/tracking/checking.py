"""Whether what a lineage names is still there, byte for byte."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lifecycle.digests import digest_file
from lifecycle.errors import CorruptArtifactError
from lifecycle.manifest import MANIFEST, read_manifest
from lifecycle.references import SNAPSHOT
from lifecycle.tracking.lineage import LineageNode, each_once

State = Literal["whole", "changed", "gone", "not recorded", "not kept"]


@dataclass(frozen=True)
class Checked:
    """One artifact of a lineage as it is found on disk."""

    node: LineageNode
    state: State
    detail: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing speaks against it; the raw bytes of a source are not the store's to keep."""
        return self.state in ("whole", "not kept")


def check(
    root: LineageNode, show: Callable[[Iterable[LineageNode]], Iterable[LineageNode]] = lambda nodes: nodes
) -> list[Checked]:
    """Hash every file of every artifact that `root` was made from, itself included; no remembered hash is believed.

    Args:
        show: wraps the artifacts on their way, e.g. into a progress bar.
    """
    return [_check(node) for node in show(list(each_once(root)))]


def _check(node: LineageNode) -> Checked:
    if node.stage == SNAPSHOT:
        return Checked(node, "not kept", "raw bytes stay where they were read; what was read from them is in raw_*")
    if not node.recorded:
        return Checked(node, "not recorded", "no run in MLflow made this digest")
    directory = Path(node.details["uri"])
    if not directory.is_dir():
        return Checked(node, "gone", str(directory))
    try:
        manifest = read_manifest(directory)
    except CorruptArtifactError as error:
        return Checked(node, "changed", str(error))
    if manifest.digest != node.digest:
        return Checked(node, "changed", f"{directory} holds digest {manifest.digest} now")
    listed = {entry.path: entry.sha256 for entry in manifest.files}
    wrong = next(_differences(directory, listed), None)
    return Checked(node, "changed", wrong) if wrong else Checked(node, "whole", str(directory))


def _differences(directory: Path, listed: dict[str, str]) -> Iterator[str]:
    present = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir()} - {MANIFEST}
    for name in sorted(present ^ set(listed)):
        yield f"{directory / name} {'is missing' if name in listed else 'is not in the manifest'}"
    for name in sorted(present & set(listed)):
        if digest_file(directory / name) != listed[name]:
            yield f"{directory / name} does not match the manifest's SHA-256"
