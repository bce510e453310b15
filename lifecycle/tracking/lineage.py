"""The way back from a registered model to the bytes of its sources, walked through MLflow alone."""

from collections.abc import Iterator

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Run
from pydantic import Field

from lifecycle.recipe.base import Section
from lifecycle.references import SNAPSHOT
from lifecycle.tracking.connection import connect
from lifecycle.tracking.models import find_run
from lifecycle.tracking.registry import find_version


class LineageNode(Section):
    """One artifact (or the raw bytes of a source) and what it was made from."""

    stage: str
    fingerprint: str
    digest: str
    name: str
    """What the consumer calls it; for the root, `MODEL/VERSION`."""
    source: str | None = None
    """Name of the raw source, where the node belongs to one."""
    details: dict[str, str] = Field(default_factory=dict)
    """Run, address, code version, licence: what MLflow knows of it."""
    recorded: bool = True
    """False when no run in MLflow made this digest: the way back ends here without reaching raw bytes."""
    inputs: tuple["LineageNode", ...] = ()

    @property
    def key(self) -> str:
        """The same for the same content, wherever in the graph it is met."""
        return f"{self.stage}:{self.fingerprint}:{self.digest}"


def each_once(node: LineageNode, seen: set[str] | None = None) -> Iterator[LineageNode]:
    """The node and all that it was made from, consumers first; what is reached on several ways comes once."""
    seen = set() if seen is None else seen
    if node.key in seen:
        return
    seen.add(node.key)
    yield node
    for item in node.inputs:
        yield from each_once(item, seen)


def lineage(tracking_uri: str, reference: str) -> LineageNode:
    """Everything that `reference` (`NAME`, `NAME@alias` or `NAME/version`) was made from, down to the raw sources.

    Each step goes from a run's dataset inputs to the runs that made these digests. An artifact that several others
    were made from is walked once; its node then occurs several times in the tree.

    Raises:
        LifecycleError: the registry does not answer, or has no such version.
    """
    version = find_version(tracking_uri, reference)
    walk = Walk(connect(tracking_uri, create=False))
    node = walk.node(f"{version.name}/{version.version}", "", version.fingerprint, version.digest)
    aliases = {"aliases": ", ".join(version.aliases)} if version.aliases else {}
    return node.model_copy(update={"details": node.details | {"uri": version.uri} | aliases})


class Walk:
    """One walk; remembers what it has seen, because most of the graph is reached on several ways."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self._seen: dict[tuple[str, str], LineageNode] = {}

    def node(self, name: str, stage: str, fingerprint: str, digest: str) -> LineageNode:
        known = self._seen.get((fingerprint, digest))
        if known is None:
            known = self._look_up(name, stage, fingerprint, digest)
            self._seen[fingerprint, digest] = known
        return known.model_copy(update={"name": name})

    def _look_up(self, name: str, stage: str, fingerprint: str, digest: str) -> LineageNode:
        run = find_run(self._client, fingerprint, digest)
        if run is None:
            return LineageNode(stage=stage or "unknown", fingerprint=fingerprint, digest=digest, name=name, recorded=False)
        tags = run.data.tags
        return LineageNode(
            stage=tags["lifecycle.stage"],
            fingerprint=fingerprint,
            digest=digest,
            name=name,
            source=tags.get("lifecycle.partition"),
            details=_details(run),
            inputs=tuple(self._input(item, run) for item in (run.inputs.dataset_inputs if run.inputs else ())),
        )

    def _input(self, item: DatasetInput, consumer: Run) -> LineageNode:
        tags = {tag.key: tag.value for tag in item.tags}
        stage, digest = tags["lifecycle.stage"], tags["lifecycle.digest"]
        if stage != SNAPSHOT:
            return self.node(item.dataset.name, stage, tags["lifecycle.fingerprint"], digest)
        return LineageNode(
            stage=SNAPSHOT,
            fingerprint=digest,
            digest=digest,
            name=item.dataset.name,
            source=_raw_source(item.dataset.name, consumer),
            details=_licence(item.dataset.name, consumer),
        )


def _details(run: Run) -> dict[str, str]:
    tags = run.data.tags
    wanted = ("uri", "code_version", "created_at", "git_commit", "git_dirty", "image", "hardware", "dagster_run_id")
    found = {key: tags[f"lifecycle.{key}"] for key in wanted if f"lifecycle.{key}" in tags}
    return {"run_id": run.info.run_id} | found


def _raw_source(name: str, consumer: Run) -> str | None:
    """`snapshot/<name>` names the source itself; plain `snapshot` is the consuming run's only one."""
    _, _, own = name.partition("/")
    return own or consumer.data.params.get("name") or consumer.data.tags.get("lifecycle.partition")


def _licence(name: str, consumer: Run) -> dict[str, str]:
    """What the recipe said of a raw source, read from the parameters of the run that consumed it."""
    params = consumer.data.params
    prefix = ""
    _, _, own = name.partition("/")
    if own:
        named = [key for key, value in params.items() if value == own and key.rsplit(".", 1)[-1] == "name"]
        if not named:
            return {}
        prefix = named[0].removesuffix("name")
    return {
        key: params[prefix + key] for key in ("kind", "path", "packages", "language", "licence") if prefix + key in params
    }
