"""Gate outcomes on record: tags of a model version, read again by whoever promotes or uses the version."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

GATE_TAG = "lifecycle.gate."
COUNT_TAG = "lifecycle.gates"
REPORT_TAG = "lifecycle.eval_report"
"""Fingerprint of the report that the outcomes were decided on."""


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

    @property
    def said(self) -> str:
        """The outcome in one sentence."""
        ...

    def model_dump(self) -> dict[str, Any]:
        """All fields as plain data."""
        ...


def write_gates(client: MlflowClient, version: ModelVersion, gates: Sequence[GateOutcome], report: str) -> None:
    """Replace the version's gate tags by these: a gate that the recipe no longer has must not decide.

    Args:
        report: fingerprint of the `eval_report` that they were decided on.
    """
    number = str(version.version)
    for key in version.tags:
        if key.startswith(GATE_TAG):
            client.delete_model_version_tag(version.name, number, key)
    client.set_model_version_tag(version.name, number, REPORT_TAG, report)
    client.set_model_version_tag(version.name, number, COUNT_TAG, str(len(gates)))
    for index, gate in enumerate(gates):
        value = json.dumps(gate.model_dump(), ensure_ascii=False, sort_keys=True)
        client.set_model_version_tag(version.name, number, f"{GATE_TAG}{index}", value)


def read_gates(client: MlflowClient, name: str, number: str) -> list[dict[str, Any]]:
    """The outcomes on record, in the order of the recipe."""
    return [json.loads(value) for _, value in _gate_tags(client.get_model_version(name, number).tags)]


def objections(tags: dict[str, str]) -> list[str]:
    """Why a version with these tags must not be promoted; empty when it may.

    Outcomes that are missing count as a gate that failed: a version is never better for what was not measured.
    """
    found = [json.loads(value) for _, value in _gate_tags(tags)]
    expected = int(tags.get(COUNT_TAG, len(found)))
    if not found or len(found) != expected:
        return [f"{len(found)} gate outcome(s) are on record where {expected or 'at least one'} were expected"]
    return [f"gate failed: {_said(gate)}" for gate in found if gate["blocking"] and not gate["passed"]]


def outdated(tags: dict[str, str], champion: str | None) -> list[str]:
    """Gates against the champion that were decided with another version than `champion` (`NAME/VERSION`): they are void."""
    found = [json.loads(value) for _, value in _gate_tags(tags)]
    against = [gate for gate in found if gate.get("against_champion") and gate["champion"] != champion]
    return [
        f"the gate {gate['name']} was decided against {gate['champion'] or 'no champion'}, and the champion is "
        f"{champion or 'none'} now; materialize champion again to decide it anew"
        for gate in against
    ]


def _said(gate: dict[str, Any]) -> str:
    """Outcomes of old records have no sentence."""
    return gate.get("said") or f"{gate.get('model', '')} {gate['metric']} is {gate['value']:.4g}".strip()


def _gate_tags(tags: dict[str, str]) -> list[tuple[str, str]]:
    numbered = [(key, value) for key, value in tags.items() if key.startswith(GATE_TAG)]
    return sorted(numbered, key=lambda item: int(item[0].removeprefix(GATE_TAG)))
