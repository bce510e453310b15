"""The artifact store as a Dagster resource, and the IO manager that passes references between assets."""

from pathlib import Path
from typing import Any, get_origin

import dagster as dg

from lifecycle.artifacts import Artifact, Store
from lifecycle.errors import CorruptArtifactError
from lifecycle.files import write_atomically

References = Artifact | dict[str, Artifact]


class StoreResource(dg.ConfigurableResource, use_attribute_docstrings=True):
    """Where artifacts live."""

    root: str
    """Directory of the artifact store; what it holds already is reused."""

    def open(self) -> Store:
        """The store itself."""
        return Store(self.root)


class ArtifactIOManager(dg.ConfigurableIOManager, use_attribute_docstrings=True):
    """Hands over artifact references (a few hundred bytes), never data.

    The reference of each asset and partition is a small JSON file under `<store>/.refs/`, replaced atomically.
    """

    root: str
    """Directory of the artifact store, the same as that of the resource `store`."""

    def handle_output(self, context: dg.OutputContext, obj: Artifact) -> None:
        """Remember which artifact this asset (and partition) now is."""
        path = reference_path(
            Path(self.root), context.asset_key, context.asset_partition_key if context.has_asset_partitions else None
        )
        write_atomically(path, obj.model_dump_json())

    def load_input(self, context: dg.InputContext) -> References:
        """The reference of the upstream asset, or one per partition where the parameter is a dictionary of them."""
        root = Path(self.root)
        if not context.has_asset_partitions:
            return read_reference(root, context.asset_key, None)
        if get_origin(context.dagster_type.typing_type) is dict:
            return {key: read_reference(root, context.asset_key, key) for key in context.asset_partition_keys}
        return read_reference(root, context.asset_key, context.asset_partition_key)


def reference_path(root: Path, key: dg.AssetKey, partition: str | None) -> Path:
    """Where the reference of an asset (and partition) is kept."""
    recipe, stage = key.path
    return Store(root).reference_path(recipe, stage, partition)


def read_reference(root: Path, key: dg.AssetKey, partition: str | None) -> Artifact:
    """The artifact that this asset was last materialized as.

    Raises:
        CorruptArtifactError: it was never materialized, or its reference or artifact is damaged or gone.
    """
    path = reference_path(root, key, partition)
    name = key.to_user_string() + (f" of source {partition}" if partition else "")
    try:
        artifact = Artifact.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CorruptArtifactError(
            f"{name} has never been materialized here ({path} is absent): materialize it first"
        ) from None
    except ValueError as error:
        raise CorruptArtifactError(f"{path}: damaged reference; materialize {name} again") from error
    try:
        found = Store(root).find(artifact.stage, artifact.fingerprint)
    except CorruptArtifactError as error:
        raise CorruptArtifactError(f"{error}. Materialize {name} again before anything that depends on it.") from error
    if found is None:
        raise CorruptArtifactError(f"{name}: {artifact.uri} is gone from the store; materialize {name} again")
    return found.artifact


def metadata_size(value: Any) -> str:
    """A number of bytes as people write it."""
    size = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
