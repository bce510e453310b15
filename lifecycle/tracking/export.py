"""A registered model as a folder that can be given away: weights, tokenizer, card, licences, checksums."""

import os
import shutil
import uuid
from pathlib import Path

from lifecycle.artifacts import Store
from lifecycle.digests import digest_file
from lifecycle.errors import CorruptArtifactError, LifecycleError
from lifecycle.files import fsync
from lifecycle.manifest import Manifest, read_manifest
from lifecycle.references import SNAPSHOT
from lifecycle.tracking.card_records import card_path
from lifecycle.tracking.cards import judgement
from lifecycle.tracking.connection import connect
from lifecycle.tracking.lineage import LineageNode, each_once, lineage
from lifecycle.tracking.registry import RegisteredVersion, find_version

CARD = "README.md"
LICENCES = "LICENCES.md"
CHECKSUMS = "SHA256SUMS"


def export_model(tracking_uri: str, reference: str, target: Path, despite_gates: bool = False) -> RegisteredVersion:
    """Write the version that `reference` names to the new directory `target`, which appears whole or not at all.

    It is the Hugging Face folder of the artifact, every file hashed against its manifest on the way, with the model card
    (`README.md`), what the recipe said of every source's licence (`LICENCES.md`) and `SHA256SUMS`.

    Raises:
        LifecycleError: no such version, its gates on record do not hold, or `target` exists already.
        CorruptArtifactError: the artifact is gone, or is not what was registered.
    """
    version = find_version(tracking_uri, reference)
    if version.objections and not despite_gates:
        raise LifecycleError(
            f"{version.label} is not exported: {'; '.join(version.objections)} (--despite-gates exports it all the same)"
        )
    if target.exists():
        raise LifecycleError(f"{target} exists already; nothing is overwritten: name a directory that does not exist")
    source = Path(version.uri)
    manifest = read_manifest(source)
    if manifest.digest != version.digest:
        raise CorruptArtifactError(f"{source} holds digest {manifest.digest}, and {version.label} is {version.digest}")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        _copy(source, manifest, temporary)
        (temporary / CARD).write_text(_card(tracking_uri, version), encoding="utf-8")
        (temporary / LICENCES).write_text(_licences(lineage(tracking_uri, version.label)), encoding="utf-8")
        _write_checksums(temporary)
        for path in temporary.rglob("*"):
            fsync(path)
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return version


def _copy(source: Path, manifest: Manifest, target: Path) -> None:
    for entry in manifest.files:
        path = target / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / entry.path, path)
        if digest_file(path) != entry.sha256:
            raise CorruptArtifactError(f"{source / entry.path}: the content does not match the manifest's SHA-256")


def _card(tracking_uri: str, version: RegisteredVersion) -> str:
    """The whole card with the registry's judgement, under the head that model hubs read."""
    client = connect(tracking_uri, create=False)
    described = client.get_model_version(version.name, version.version).description or ""
    path = card_path(Store(Path(version.uri).parents[1]), version.fingerprint, version.recipe)
    text = path.read_text(encoding="utf-8") + judgement(described) if path.exists() else described
    warning = "".join(f"\n> **Not for use:** {objection}.\n" for objection in version.objections)
    head = "---\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n"
    return f"{head}\n# {version.label}\n{warning}\n{text}\n"


def _licences(root: LineageNode) -> str:
    rows = ["| source | read by | licence, as the recipe says |", "|---|---|---|"]
    consumers = [(item, node) for node in each_once(root) for item in node.inputs if item.stage == SNAPSHOT]
    for item, node in sorted(consumers, key=lambda pair: (pair[0].source or pair[0].name, pair[1].stage)):
        licence = item.details.get("licence", "not stated").replace("|", "\\|")
        rows.append(f"| {item.source or item.name} | {node.stage} | {licence} |")
    head = (
        "# Licences of what the model was made from\n\nNothing here was checked by a lawyer: it is what the recipe states.\n"
    )
    return head + "\n" + "\n".join(rows) + "\n"


def _write_checksums(directory: Path) -> None:
    """In the form that `sha256sum --check` reads."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    lines = [f"{digest_file(path)}  {path.relative_to(directory).as_posix()}\n" for path in paths]
    (directory / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
