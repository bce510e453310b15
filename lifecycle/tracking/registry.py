"""The model registry: which versions exist, and which aliases point to them."""

from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from lifecycle.artifacts import Artifact
from lifecycle.errors import LifecycleError
from lifecycle.recipe.base import Section
from lifecycle.tracking.connection import connect
from lifecycle.tracking.gate_tags import REPORT_TAG, objections

CHAMPION = "champion"
PREVIOUS = "previous"


class RegisteredVersion(Section):
    """One version of a registered model, and the artifact that it is."""

    name: str
    version: str
    fingerprint: str
    digest: str
    uri: str
    stage: str
    recipe: str
    aliases: tuple[str, ...]
    objections: tuple[str, ...]
    """Why its gates on record do not let it be used; empty when they hold."""
    report: str | None = None
    """Fingerprint of the `eval_report` that it was judged by; None before it was."""

    @property
    def label(self) -> str:
        """`NAME/VERSION`."""
        return f"{self.name}/{self.version}"

    @property
    def artifact(self) -> Artifact:
        """The artifact that it is, where it was when it was registered."""
        return Artifact(stage=self.stage, fingerprint=self.fingerprint, digest=self.digest, uri=self.uri)


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
    aliases = aliases_of(client, name)
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


def opponent(tracking_uri: str, name: str, digest: str) -> RegisteredVersion | None:
    """What a model of this digest is measured against: the champion, or the previous one where the model is the champion.

    Raises:
        LifecycleError: the registry does not answer.
    """
    aliases = aliases_of(connect(tracking_uri), name)
    for alias in (CHAMPION, PREVIOUS):
        if alias in aliases:
            version = find_version(tracking_uri, f"{name}@{alias}")
            if version.digest != digest:
                return version
    return None


def all_versions(tracking_uri: str) -> list[RegisteredVersion]:
    """Every version of every model that this project registered, by name and number; none where nothing was recorded yet.

    Raises:
        LifecycleError: the registry does not answer.
    """
    client = connect(tracking_uri)
    found: list[RegisteredVersion] = []
    for model in client.search_registered_models():
        aliases = aliases_of(client, model.name)
        versions = client.search_model_versions(f"name = '{model.name}'")
        found += [_described(version, aliases) for version in versions if "lifecycle.digest" in version.tags]
    return sorted(found, key=lambda version: (version.name, int(version.version)))


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
        stage=tags["lifecycle.stage"],
        recipe=tags["lifecycle.recipe"],
        aliases=tuple(sorted(alias for alias, of in aliases.items() if of == number)),
        objections=tuple(objections(tags)),
        report=tags.get(REPORT_TAG),
    )


def aliases_of(client: MlflowClient, name: str) -> dict[str, str]:
    """Version number by alias; empty when the model does not exist."""
    try:
        return {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
