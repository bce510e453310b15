"""Making a registered model again from what MLflow knows of it, and comparing the bytes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.exceptions import MlflowException

from lifecycle.artifacts import Artifact, Store
from lifecycle.corpora.snapshot import snapshot
from lifecycle.errors import DataError, LifecycleError
from lifecycle.plan.lines import label
from lifecycle.plan.walk import raw_bytes
from lifecycle.recipe.recipe import Recipe, parse_recipe
from lifecycle.references import SNAPSHOT
from lifecycle.stages import stage_of
from lifecycle.tracking.connection import connect
from lifecycle.tracking.environment import environment_tags
from lifecycle.tracking.lineage import LineageNode, each_once, lineage
from lifecycle.tracking.registry import find_version
from lifecycle.tracking.writing import RECIPE


@dataclass(frozen=True)
class Recorded:
    """A registered model as MLflow has it: the recipe's file, and all that it was made from."""

    root: LineageNode
    recipe_text: str
    recipe: Recipe
    commit: str | None
    """Of the code that made it."""
    dirty: bool
    """Whether that code had changes that no commit holds."""
    packages: Mapping[str, str]

    def nodes(self) -> Iterator[LineageNode]:
        """The artifacts of its life, raw bytes apart, each behind what it was made from."""
        return (node for node in _inputs_first(self.root, set()) if node.stage != SNAPSHOT)


@dataclass(frozen=True)
class Compared:
    """One artifact as it was, and as it came out this time."""

    name: str
    before: str
    after: str | None

    @property
    def same(self) -> bool:
        """Whether both have the same bytes."""
        return self.before == self.after


def recorded(tracking_uri: str, reference: str) -> Recorded:
    """What MLflow knows of the version that `reference` names.

    Raises:
        LifecycleError: there is no such version, it was recorded without its recipe, or a part of its life is missing.
    """
    version, root = find_version(tracking_uri, reference), lineage(tracking_uri, reference)
    if missing := [node.name for node in each_once(root) if not node.recorded]:
        raise LifecycleError(f"{version.label}: no run in MLflow made {', '.join(missing)}, so its life is not known whole")
    client = connect(tracking_uri, create=False)
    run = client.get_run(root.details["run_id"])
    try:
        with TemporaryDirectory() as place:
            text = Path(client.download_artifacts(run.info.run_id, RECIPE, place)).read_text(encoding="utf-8")
    except (MlflowException, OSError) as error:
        raise LifecycleError(f"{version.label} was recorded without its recipe ({RECIPE} of its run): {error}") from error
    tags = run.data.tags
    packages = (each.partition("=") for each in tags.get("lifecycle.packages", "").split())
    return Recorded(
        root=root,
        recipe_text=text,
        recipe=parse_recipe(text, f"{version.label}'s {RECIPE}"),
        commit=tags.get("lifecycle.git_commit"),
        dirty=tags.get("lifecycle.git_dirty") == "true",
        packages={name: number for name, _, number in packages},
    )


def other_code(made: Recorded) -> list[str]:
    """The stages whose code gives other bytes now than the code that made the model did."""
    found = []
    for node in made.nodes():
        stage, before = stage_of(made.recipe, node.stage), node.details.get("code_version", "unknown")
        now = stage.code_version if stage else "none"
        if before != now:
            found.append(f"{label(node.stage, node.source)}: code version {before}, here {now}")
    return found


def other_inputs(made: Recorded) -> list[str]:
    """The raw files that are gone, or have other bytes than those that the model was made from."""
    found = []
    for node in made.nodes():
        stage = stage_of(made.recipe, node.stage)
        before = {item.name.removeprefix(f"{SNAPSHOT}/"): item.digest for item in node.inputs if item.stage == SNAPSHOT}
        files = raw_bytes(made.recipe, stage, node.source) if stage and before else {}
        for name, source in files.items():
            what = node.source or name
            try:
                now = snapshot(source).digest
            except DataError as error:
                found.append(str(error))
                continue
            if now != before.get(name):
                found.append(f"{what}: its bytes are {now[:12]}, the model was made from {before.get(name, 'none')[:12]}")
    return found


def other_packages(made: Recorded) -> list[str]:
    """Packages of another version; most changes of these do not show in the bytes, some do."""
    now = environment_tags()["lifecycle.packages"].split()
    here = {name: number for name, _, number in (each.partition("=") for each in now)}
    changed = [name for name, number in made.packages.items() if here.get(name) != number]
    return [f"{name} {made.packages[name]}, here {here.get(name, 'not installed')}" for name in changed]


def compare(made: Recorded, store: Store) -> list[Compared]:
    """Each artifact beside the one that was made in `store`, in the order in which they were made."""
    return [
        Compared(label(node.stage, node.source), node.digest, _digest(store, made.recipe, node.stage, node.source))
        for node in made.nodes()
    ]


def _inputs_first(node: LineageNode, seen: set[str]) -> Iterator[LineageNode]:
    if node.key not in seen:
        seen.add(node.key)
        for item in node.inputs:
            yield from _inputs_first(item, seen)
        yield node


def _digest(store: Store, recipe: Recipe, stage: str, source: str | None) -> str | None:
    reference = store.reference_path(recipe.name, stage, source)
    if not reference.exists():
        return None
    return Artifact.model_validate_json(reference.read_text(encoding="utf-8")).digest
