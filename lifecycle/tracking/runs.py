"""Records each materialization in MLflow, once, and never at the price of the run: what fails now is caught up later."""

import logging
import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from lifecycle.artifacts import Published, Store
from lifecycle.errors import CorruptArtifactError
from lifecycle.locks import StoreLock
from lifecycle.recipe.base import Section
from lifecycle.stages import INSTRUCTION_EMBEDDINGS, INSTRUCTION_SCORES, QUALITY_MODEL, SELECTED_INSTRUCTIONS, STAGES
from lifecycle.tracking.environment import environment_tags

logger = logging.getLogger(__name__)

RECEIPT = "tracking.json"
SQLITE = "sqlite:///"
SHOWN_CHARACTERS = 200
_OPTIONAL = (INSTRUCTION_SCORES, INSTRUCTION_EMBEDDINGS, SELECTED_INSTRUCTIONS)
_STAGE_ORDER = {stage.name: index for index, stage in enumerate((QUALITY_MODEL, *STAGES, *_OPTIONAL))}


class Receipt(Section):
    """Proof that one materialization of an artifact is in MLflow, for one recipe."""

    tracking_uri: str
    run_id: str
    digest: str
    created_at: str
    database: int | None
    """Inode of a SQLite database: one that was deleted and made anew has not seen the run."""


class Receipts(Section):
    """`<run_dir>/tracking.json`: receipts by recipe, because recipes that agree up to a stage share its artifact."""

    by_recipe: dict[str, Receipt] = Field(default_factory=dict)


class PendingRecord(Section):
    """A materialization that MLflow has not seen yet, with the tags of the moment when it happened."""

    stage: str
    fingerprint: str
    asset: str
    recipe: str
    tags: dict[str, str]
    created_at: str
    recipe_text: str = ""


def record(
    tracking_uri: str,
    published: Published,
    *,
    asset: str,
    recipe_name: str,
    tags: Mapping[str, str],
    store_root: Path,
    recipe_text: str = "",
) -> str | None:
    """Make sure that this materialization is an MLflow run, and return the run's id.

    A receipt in the run directory makes the second call cost a file read, without importing mlflow. When MLflow cannot
    be reached or refuses, the record is queued under `<store>/.tracking/pending/`, a warning is logged and None is
    returned; the next record that succeeds writes the queued ones first.

    Args:
        asset: the Dagster asset, used as the run's name together with the tag `lifecycle.partition`.
        recipe_name: the experiment, and the prefix of registered models.
        tags: added to what the artifact's manifest and this machine give.
        recipe_text: the recipe's file as it was, kept as `recipe.yaml` of the run.
    """
    receipt = read_receipt(published, recipe_name, tracking_uri)
    if receipt:
        return receipt.run_id
    entry = PendingRecord(
        stage=published.artifact.stage,
        fingerprint=published.artifact.fingerprint,
        asset=asset,
        recipe=recipe_name,
        tags=environment_tags() | dict(tags),
        created_at=published.manifest.created_at,
        recipe_text=recipe_text,
    )
    path = _queue(store_root) / f"{recipe_name}-{entry.stage}-{entry.fingerprint}.json"
    _write(path, entry)
    catch_up(tracking_uri, store_root)
    receipt = read_receipt(published, recipe_name, tracking_uri)
    return receipt.run_id if receipt else None


def catch_up(tracking_uri: str, store_root: Path) -> int:
    """Write queued records to MLflow, oldest first, and return how many remain. A failure is a warning, never an error."""
    if not pending(store_root):
        return 0
    with StoreLock(store_root / ".locks" / "tracking.lock"):
        waiting = pending(store_root)
        try:
            from lifecycle.tracking.connection import connect

            client = connect(tracking_uri)
        except Exception as error:
            _warn("cannot reach MLflow", tracking_uri, error, len(waiting))
            return len(waiting)
        for path, entry in waiting:
            try:
                _settle(client, tracking_uri, Store(store_root), path, entry)
            except Exception as error:
                _warn(f"cannot record {entry.asset} ({entry.fingerprint})", tracking_uri, error, len(pending(store_root)))
                if not _answers(client):
                    break
    return len(pending(store_root))


def pending(store_root: Path) -> list[tuple[Path, PendingRecord]]:
    """Queued records, oldest materialization first."""
    entries = []
    for path in _queue(store_root).glob("*.json"):
        try:
            entries.append((path, PendingRecord.model_validate_json(path.read_text(encoding="utf-8"))))
        except FileNotFoundError:
            continue
        except ValidationError as error:
            aside = path.with_suffix(".damaged")
            os.replace(path, aside)
            logger.warning("a queued tracking record is damaged and was set aside as %s: %s", aside, error)
    return sorted(entries, key=_order)


def read_receipt(published: Published, recipe_name: str, tracking_uri: str) -> Receipt | None:
    """The receipt of exactly this materialization at this tracking server, or None."""
    receipt = _receipts(published.run_dir).by_recipe.get(recipe_name)
    manifest = published.manifest
    expected = (tracking_uri, manifest.digest, manifest.created_at, _database(tracking_uri))
    if receipt and (receipt.tracking_uri, receipt.digest, receipt.created_at, receipt.database) == expected:
        return receipt
    return None


def _settle(client: Any, tracking_uri: str, store: Store, path: Path, entry: PendingRecord) -> None:
    from lifecycle.tracking.writing import write_run

    try:
        published = store.find(entry.stage, entry.fingerprint)
    except CorruptArtifactError as error:
        logger.warning("%s; its MLflow record is dropped, the artifact will be made and recorded again", error)
        published = None
    if published is not None and read_receipt(published, entry.recipe, tracking_uri) is None:
        run_id = write_run(
            client,
            published,
            asset=entry.asset,
            recipe_name=entry.recipe,
            tags=entry.tags,
            recipe_text=entry.recipe_text,
        )
        receipt = Receipt(
            tracking_uri=tracking_uri,
            run_id=run_id,
            digest=published.manifest.digest,
            created_at=published.manifest.created_at,
            database=_database(tracking_uri),
        )
        receipts = _receipts(published.run_dir).by_recipe | {entry.recipe: receipt}
        _write(published.run_dir / RECEIPT, Receipts(by_recipe=receipts))
    path.unlink(missing_ok=True)


def _answers(client: Any) -> bool:
    """Whether one bad record was the problem, or the whole server, for which the others need not wait."""
    try:
        client.search_experiments(max_results=1)
    except Exception as error:
        logger.debug("MLflow stopped to answer: %s", error)
        return False
    return True


def _receipts(run_dir: Path) -> Receipts:
    try:
        return Receipts.model_validate_json((run_dir / RECEIPT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Receipts()
    except ValidationError as error:
        logger.warning("%s is damaged; the materialization is looked up in MLflow again: %s", run_dir / RECEIPT, error)
        return Receipts()


def _order(item: tuple[Path, PendingRecord]) -> tuple[str, int]:
    """Parents before children: a model's run is linked to its parent's only when that is there."""
    return item[1].created_at, _STAGE_ORDER.get(item[1].stage, len(_STAGE_ORDER))


def _database(tracking_uri: str) -> int | None:
    path = Path(tracking_uri.removeprefix(SQLITE))
    return path.stat().st_ino if tracking_uri.startswith(SQLITE) and path.exists() else None


def _queue(store_root: Path) -> Path:
    return store_root / ".tracking" / "pending"


def _write(path: Path, value: Section) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(value.model_dump_json(indent=1), encoding="utf-8")
    os.replace(temporary, path)


def _warn(what: str, tracking_uri: str, error: Exception, waiting: int) -> None:
    logger.warning(
        "%s at %s: %s: %s. The run goes on; %d record(s) wait and are written by the next one that succeeds.",
        what,
        tracking_uri,
        type(error).__name__,
        textwrap.shorten(str(error), SHOWN_CHARACTERS),
        waiting,
    )
    logger.debug("details", exc_info=error)
