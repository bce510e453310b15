"""The alias `champion`: moved only to a version whose gates on record hold and whose files are whole."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mlflow import MlflowClient

from lifecycle.artifacts import Store
from lifecycle.errors import CorruptArtifactError, LifecycleError
from lifecycle.locks import StoreLock
from lifecycle.recipe.base import Section
from lifecycle.tracking.cards import fitting, judged
from lifecycle.tracking.connection import connect
from lifecycle.tracking.gate_tags import GateOutcome, outdated, read_gates, write_gates
from lifecycle.tracking.models import find_made_version
from lifecycle.tracking.registry import CHAMPION, PREVIOUS, RegisteredVersion, aliases_of, find_version, opponent
from lifecycle.tracking.runs import catch_up


class Promotion(Section):
    """What was decided. `champion` is `NAME/VERSION` as it stands afterwards, None when there is none."""

    moved: bool
    reason: str
    champion: str | None = None
    champion_digest: str | None = None
    previous: str | None = None


def promote(
    tracking_uri: str,
    model_name: str,
    fingerprint: str,
    digest: str,
    decide: Callable[[RegisteredVersion | None], Sequence[GateOutcome]],
    *,
    report: str,
    store_root: Path,
) -> Promotion:
    """Let the alias `champion` point to the version that is exactly this artifact, if all its blocking gates passed.

    The outcomes are written to the version as tags `lifecycle.gate.<n>` and read back: what is decided on is what
    anybody can look up afterwards. The champion until now gets the alias `previous`. A refusal leaves everything as it
    is and says why.

    Args:
        decide: gives the gates' outcomes beside the version that is the champion then; called under the store's lock.
        report: fingerprint of the `eval_report` that they are decided on.

    A registry that does not answer is a refusal too: tracking never ends a run whose artifacts are all there.
    """
    try:
        catch_up(tracking_uri, store_root)
        client = connect(tracking_uri)
    except LifecycleError as error:
        return Promotion(moved=False, reason=f"refused: {error}; materialize champion again when it does")
    with _only_one(store_root, model_name):
        version = find_made_version(client, model_name, fingerprint, digest)
        if version is None:
            reason = (
                f"refused: no version of {model_name} has fingerprint {fingerprint} and digest {digest}; record it first"
            )
            return _outcome(client, model_name, False, reason)
        number = str(version.version)
        write_gates(client, version, decide(opponent(tracking_uri, model_name, digest)), report)
        return _move(client, find_version(tracking_uri, f"{model_name}/{number}"))


def promote_version(tracking_uri: str, reference: str, store: Store) -> Promotion:
    """Make the version that `reference` names the champion, on the gate outcomes that are on record for it.

    A gate against the champion counts only if it was decided with the one that would be replaced.

    Raises:
        LifecycleError: the registry does not answer, or has no such version.
    """
    name = find_version(tracking_uri, reference).name
    client = connect(tracking_uri, create=False)
    with _only_one(store.root, name):
        version = find_version(tracking_uri, reference)
        champion = opponent(tracking_uri, name, version.digest)
        tags = client.get_model_version(name, version.version).tags
        against = [] if CHAMPION in version.aliases else outdated(tags, champion.label if champion else None)
        return _move(client, version, store, against)


def rollback(tracking_uri: str, model_name: str, store: Store) -> Promotion:
    """Make the version under `previous` the champion again; the champion until now becomes `previous`.

    Gates against the champion count as they were decided when that version became champion.

    Raises:
        LifecycleError: the registry does not answer, or the model has no previous champion.
    """
    find_version(tracking_uri, model_name)
    client = connect(tracking_uri, create=False)
    with _only_one(store.root, model_name):
        return _move(client, find_version(tracking_uri, f"{model_name}@{PREVIOUS}"), store)


def usable_version(tracking_uri: str, reference: str, store: Store, despite_gates: bool = False) -> RegisteredVersion:
    """The version that `reference` names, for somebody who is about to use it.

    Raises:
        LifecycleError: there is no such version, its gates on record do not hold, or its artifact is gone or damaged.
    """
    version = find_version(tracking_uri, reference)
    against = [*(() if despite_gates else version.objections), *_damages(version, store)]
    if against:
        allowed = "" if despite_gates or not version.objections else " (--despite-gates passes over its gates)"
        raise LifecycleError(f"{version.label} is not to be used: {'; '.join(against)}{allowed}")
    return version


def _only_one(store_root: Path, model_name: str) -> StoreLock:
    """MLflow's aliases know no compare-and-set: whoever moves one holds this and reads everything again."""
    return StoreLock(store_root / ".locks" / f"registry-{model_name}.lock")


def _move(
    client: MlflowClient, version: RegisteredVersion, store: Store | None = None, further: Sequence[str] = ()
) -> Promotion:
    """Point `champion` to `version` unless something speaks against it; the caller holds the lock."""
    against = [*version.objections, *further, *(_damages(version, store) if store else ())]
    if against:
        return _outcome(client, version.name, False, f"refused {version.label}: {'; '.join(against)}", version.version)
    before = aliases_of(client, version.name).get(CHAMPION)
    if before == version.version:
        reason = f"{version.label} is the champion already; its gates hold"
        return _outcome(client, version.name, False, reason, version.version)
    if before is not None:
        client.set_registered_model_alias(version.name, PREVIOUS, before)
    client.set_registered_model_alias(version.name, CHAMPION, version.version)
    instead = f" instead of version {before}" if before else ""
    reason = f"{version.label} is the champion now{instead}; all its blocking gates hold"
    return _outcome(client, version.name, True, reason, version.version)


def _damages(version: RegisteredVersion, store: Store) -> list[str]:
    """What is wrong with the artifact itself."""
    try:
        found = store.find(version.stage, version.fingerprint)
    except CorruptArtifactError as error:
        return [f"{error}; materialize it again"]
    if found is None:
        return [f"its artifact {version.stage}/{version.fingerprint} is not in {store.root}; materialize it again"]
    if found.artifact.digest != version.digest:
        return [f"{found.artifact.path} has digest {found.artifact.digest} and the version has {version.digest}"]
    return []


def _outcome(client: MlflowClient, name: str, moved: bool, reason: str, judged_version: str | None = None) -> Promotion:
    """What was decided; it is also written to the description of the version that was judged."""
    if judged_version is not None:
        card = client.get_model_version(name, judged_version).description or ""
        text = judged(card, read_gates(client, name, judged_version), reason)
        client.update_model_version(name, judged_version, fitting(text))
    aliases = aliases_of(client, name)
    number, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS)
    digest = client.get_model_version(name, number).tags.get("lifecycle.digest") if number else None
    return Promotion(
        moved=moved,
        reason=reason,
        champion=f"{name}/{number}" if number else None,
        champion_digest=digest,
        previous=f"{name}/{previous}" if previous else None,
    )
