"""Metrics in MLflow while a stage runs: the journal is written first and by the program, the rest happens here, beside it.

The run that is shown meanwhile is the one that `writing.write_run` completes when the artifact is published. What MLflow
misses while it does not answer is sent when it does, at the latest with the record of the materialization.
"""

import logging
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lifecycle.training.journal import FILE, follow

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
RETRY_SECONDS = 15.0
SHOWN_CHARACTERS = 200


@contextmanager
def following(
    tracking_uri: str, run_dir: Path, *, asset: str, recipe_name: str, tags: Mapping[str, str], poll: float = POLL_SECONDS
) -> Iterator[None]:
    """Send what is written to the journal in `run_dir` inside this block to MLflow, from a thread of its own.

    Nothing is sent, and mlflow is not imported, before the first metric. A server that does not answer is a warning.

    Args:
        asset: the Dagster asset, the run's name.
        recipe_name: the experiment.
        tags: the run's tags; `lifecycle.fingerprint` and `lifecycle.recipe` find it again.
    """
    live = _LiveRun(tracking_uri, run_dir, asset, recipe_name, tags)
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(poll):
            live.poll()

    thread = threading.Thread(target=work, name="metrics to MLflow", daemon=True)
    thread.start()
    failed = True
    try:
        yield
        failed = False
    finally:
        ended.set()
        thread.join()
        live.close(failed)


class _LiveRun:
    """The MLflow run of a stage that is being made."""

    def __init__(self, tracking_uri: str, run_dir: Path, asset: str, recipe_name: str, tags: Mapping[str, str]) -> None:
        self._uri = tracking_uri
        self._run_dir = run_dir
        self._asset = asset
        self._recipe = recipe_name
        self._tags = tags
        path = run_dir / FILE
        self._offset = path.stat().st_size if path.exists() else 0
        self._client: Any = None
        self._run_id: str | None = None
        self._not_before = 0.0

    def poll(self, last: bool = False) -> None:
        """Send what is new; after a failure, not again for a while unless it is the `last` time."""
        if time.monotonic() < self._not_before and not last:
            return
        try:
            self._send()
        except Exception as error:
            self._run_id = None
            if not self._not_before:
                text = textwrap.shorten(str(error), SHOWN_CHARACTERS)
                logger.warning("no metrics to MLflow at %s for now: %s. The run goes on; they follow.", self._uri, text)
            self._not_before = time.monotonic() + RETRY_SECONDS
        else:
            self._not_before = 0.0

    def close(self, failed: bool) -> None:
        """Send the rest; a run whose stage failed is shown as failed until the stage is tried again."""
        self.poll(last=True)
        if failed and self._run_id is not None:
            try:
                self._client.set_terminated(self._run_id, status="FAILED")
            except Exception as error:
                logger.debug("the run %s stays open in MLflow: %s", self._run_id, error)

    def _send(self) -> None:
        entries, offset = follow(self._run_dir / FILE, self._offset)
        if any(entry["kind"] == "resume" for entry in entries):
            self._run_id = None  # what the attempt before said beyond its checkpoint no longer counts
        fresh = [entry for entry in entries if entry["kind"] == "metrics"]
        if fresh:
            from lifecycle.tracking.connection import connect
            from lifecycle.tracking.writing import log_journal, open_run

            self._client = self._client or connect(self._uri)
            if self._run_id is None:
                self._run_id = open_run(self._client, self._run_dir, self._asset, self._recipe, self._tags)
            else:
                log_journal(self._client, self._run_id, fresh)
        self._offset = offset
