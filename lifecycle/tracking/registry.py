"""The model registry: which versions exist, and which of them is the champion."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from lifecycle.errors import LifecycleError
from lifecycle.locks import StoreLock
from lifecycle.recipe.base import Section
from lifecycle.tracking.cards import judged
from lifecycle.tracking.connection import connect
from lifecycle.tracking.models import find_made_version
from lifecycle.tracking.runs import catch_up

CHAMPION = "champion"
PREVIOUS = "previous"
GATE_TAG = "lifecycle.gate."


class GateOutcome(Protocol):
    """One gate, measured: a pydantic model with these fields, and whatever else explains the outcome."""

    @property
    def passed(self) -> bool:
        """Whether the condition holds."""
        ...

    @property
    def blocking(self) -> bool:
        """Whether promotion depends on it."""
        ...

    def model_dump(self) -> dict[str, Any]:
        """All fields as plain data."""
        ...


class RegisteredVersion(Section):
    """One version of a registered model, and the artifact that it is."""

    name: str
    version: str
    fingerprint: str
    digest: str
    uri: str
    aliases: tuple[str, ...]


class Promotion(Section):
    """What `promote` decided. `champion` is `NAME/VERSION` as it stands afterwards, None when there is none."""

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
    gates: Sequence[GateOutcome],
    *,
    store_root: Path,
) -> Promotion:
    """Let the alias `champion` point to the version that is exactly this artifact, if all its blocking gates passed.

    The outcomes are written to the version as tags `lifecycle.gate.<n>` and read back: what is decided on is what
    anybody can look up afterwards. The champion until now gets the alias `previous`. A refusal leaves everything as it
    is and says why.

    A registry that does not answer is a refusal too: tracking never ends a run whose artifacts are all there.
    """
    try:
        catch_up(tracking_uri, store_root)
        client = connect(tracking_uri)
    except LifecycleError as error:
        return Promotion(moved=False, reason=f"refused: {error}; materialize champion again when it does")
    with StoreLock(store_root / ".locks" / f"registry-{model_name}.lock"):
        version = find_made_version(client, model_name, fingerprint, digest)
        if version is None:
            reason = (
                f"refused: no version of {model_name} has fingerprint {fingerprint} and digest {digest}; record it first"
            )
            return _outcome(client, model_name, False, reason)
        number = str(version.version)
        _write_gates(client, version, gates)
        objections = _objections(_read_gates(client, model_name, number), len(gates))
        if objections:
            return _outcome(client, model_name, False, f"refused {model_name}/{number}: {'; '.join(objections)}", number)
        before = _aliases(client, model_name).get(CHAMPION)
        if before == number:
            return _outcome(
                client, model_name, False, f"{model_name}/{number} is the champion already; its gates hold", number
            )
        if before is not None:
            client.set_registered_model_alias(model_name, PREVIOUS, before)
        client.set_registered_model_alias(model_name, CHAMPION, number)
        instead = f" instead of version {before}" if before else ""
        reason = f"{model_name}/{number} is the champion now{instead}; all its gates hold"
        return _outcome(client, model_name, True, reason, number)


def find_version(tracking_uri: str, reference: str) -> RegisteredVersion:
    """The version that `NAME`, `NAME@alias` or `NAME/version` names; `NAME` alone is the newest one.

    Raises:
        LifecycleError: there is no such model, alias or version; the message lists those that exist.
    """
    client = connect(tracking_uri, create=False)
    name, alias, number = _parse(reference.removeprefix("models:/"))
    versions = {str(version.version): version for version in client.search_model_versions(f"name = '{name}'")}
    if not versions:
        known = sorted(model.name for model in client.search_registered_models())
        raise LifecycleError(f"no registered model {name!r} at {tracking_uri}; there are: {', '.join(known) or 'none yet'}")
    aliases = _aliases(client, name)
    if alias is not None:
        if alias not in aliases:
            known = ", ".join(sorted(aliases)) or "none yet"
            raise LifecycleError(f"{name} has no alias {alias!r}; its aliases are: {known}")
        number = aliases[alias]
    elif number is None:
        number = max(versions, key=int)
    if number not in versions:
        raise LifecycleError(f"{name} has no version {number!r}; its versions are: {', '.join(sorted(versions, key=int))}")
    return _described(versions[number], aliases)


def _parse(reference: str) -> tuple[str, str | None, str | None]:
    if "@" in reference:
        name, _, alias = reference.partition("@")
        return name, alias, None
    name, _, number = reference.partition("/")
    return name, None, number or None


def _described(version: ModelVersion, aliases: Mapping[str, str]) -> RegisteredVersion:
    number = str(version.version)
    tags = version.tags
    if "lifecycle.digest" not in tags:
        raise LifecycleError(f"{version.name}/{number} was not registered by this project: it carries no lifecycle tags")
    return RegisteredVersion(
        name=version.name,
        version=number,
        fingerprint=tags["lifecycle.fingerprint"],
        digest=tags["lifecycle.digest"],
        uri=tags["lifecycle.uri"],
        aliases=tuple(sorted(alias for alias, of in aliases.items() if of == number)),
    )


def _aliases(client: MlflowClient, name: str) -> dict[str, str]:
    """Version number by alias; empty when the model does not exist."""
    try:
        return {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}


def _write_gates(client: MlflowClient, version: ModelVersion, gates: Sequence[GateOutcome]) -> None:
    """Replace the version's gate tags by these: a gate that the recipe no longer has must not decide."""
    number = str(version.version)
    for key in version.tags:
        if key.startswith(GATE_TAG):
            client.delete_model_version_tag(version.name, number, key)
    for index, gate in enumerate(gates):
        value = json.dumps(gate.model_dump(), ensure_ascii=False, sort_keys=True)
        client.set_model_version_tag(version.name, number, f"{GATE_TAG}{index}", value)


def _read_gates(client: MlflowClient, name: str, number: str) -> list[dict[str, Any]]:
    tags = client.get_model_version(name, number).tags
    return [json.loads(value) for key, value in sorted(tags.items()) if key.startswith(GATE_TAG)]


def _objections(gates: Sequence[dict[str, Any]], expected: int) -> list[str]:
    """Why the version with these gate outcomes must not be promoted; empty when it may."""
    if not gates or len(gates) != expected:
        return [f"{len(gates)} gate outcome(s) are on record where {expected or 'at least one'} were expected"]
    failed = [gate for gate in gates if gate["blocking"] and not gate["passed"]]
    return [
        "gate failed: " + ", ".join(f"{key} {value}" for key, value in gate.items() if value is not None) for gate in failed
    ]


def _outcome(client: MlflowClient, name: str, moved: bool, reason: str, judged_version: str | None = None) -> Promotion:
    """What was decided; it is also written to the description of the version that was judged."""
    if judged_version is not None:
        card = client.get_model_version(name, judged_version).description or ""
        text = judged(card, _read_gates(client, name, judged_version), reason)
        client.update_model_version(name, judged_version, text)
    aliases = _aliases(client, name)
    number, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS)
    digest = client.get_model_version(name, number).tags.get("lifecycle.digest") if number else None
    return Promotion(
        moved=moved,
        reason=reason,
        champion=f"{name}/{number}" if number else None,
        champion_digest=digest,
        previous=f"{name}/{previous}" if previous else None,
    )
