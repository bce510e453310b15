"""Where a model's card is kept: beside its run in the store, in its MLflow run, and cut to size with its version.

The artifact itself is never touched: what is said of a model changes after it was published, and its digest must not.
"""

import logging
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from lifecycle.artifacts import Artifact, Store
from lifecycle.digests import digest_json
from lifecycle.evaluation.card_sections import evaluation_table, limitations
from lifecycle.evaluation.figures import read_report
from lifecycle.files import write_atomically
from lifecycle.provenance import sources_used, stage_facts
from lifecycle.stages import evaluation_of, model_of
from lifecycle.tracking.cards import About, Made, Measured, fitting, judgement, model_card
from lifecycle.tracking.connection import connect
from lifecycle.tracking.models import find_made_version, registered_name
from lifecycle.tracking.runs import catch_up

logger = logging.getLogger(__name__)

CARD = "model_card.md"


def card_path(store: Store, fingerprint: str, recipe_name: str) -> Path:
    """Where the whole card of a model lies; recipes that share a model say different things of it."""
    return store.run_directory(fingerprint) / "cards" / f"{recipe_name}.md"


def current_card(store: Store, artifact: Artifact, about: About) -> str:
    """The card as it is by now; one of a model that was not evaluated yet is written here."""
    path = card_path(store, artifact.fingerprint, about.recipe)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if artifact.digest not in text:  # never written, or of a model that was made again with other bytes
        text = _card(store, artifact, about, None)
        write_atomically(path, text)
    return text


def update_cards(tracking_uri: str, store: Store, about: About, report: Artifact) -> None:
    """Write the cards of every model that `report` measured, with its figures; those that say so already stay.

    A registry that does not answer is a warning: the next materialization of the report catches up.
    """
    figures = read_report(report.path)
    stale = []
    for name in figures["models"]:
        model = store.input_artifact(store.input_artifact(report, evaluation_of(name)), model_of(name))
        measured = Measured(evaluation_table(figures, name), limitations(figures, name), report.digest)
        text = _card(store, model, about, measured)
        path = card_path(store, model.fingerprint, about.recipe)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, text)
        receipt = path.with_suffix(".recorded")
        if not receipt.exists() or receipt.read_text(encoding="utf-8") != _proof(text, tracking_uri):
            stale.append((model, text, receipt))
    if not stale:
        return
    try:
        catch_up(tracking_uri, store.root)
        client = connect(tracking_uri)
        for model, text, receipt in stale:
            version = find_made_version(client, registered_name(about.recipe, model.stage), model.fingerprint, model.digest)
            if version is not None:
                _record(client, version, text)
                write_atomically(receipt, _proof(text, tracking_uri))
    except Exception as error:
        logger.warning("model cards are in %s, not in MLflow at %s yet: %s", store.root / ".runs", tracking_uri, error)


def _card(store: Store, model: Artifact, about: About, measured: Measured | None) -> str:
    made = Made(stage_facts(store, model), sources_used(store, model))
    return model_card(model.manifest(), about, made, measured)


def _record(client: MlflowClient, version: ModelVersion, text: str) -> None:
    described = text + judgement(version.description or "")
    client.update_model_version(version.name, str(version.version), fitting(described))
    if version.run_id:
        client.log_text(version.run_id, text, CARD)


def _proof(text: str, tracking_uri: str) -> str:
    return digest_json([text, tracking_uri])
