"""Pipes messages through a file on the shared store: the job appends, supervisors read on where the last one stopped."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import PipesMessageReader
from dagster._core.pipes.context import PipesMessageHandler
from dagster_pipes import PipesDefaultMessageWriter, PipesParams

from lifecycle.files import write_atomically

MESSAGES = "messages.jsonl"
OFFSET = "messages.offset"
POLL_SECONDS = 0.2


class StoreMessageReader(PipesMessageReader):
    """Reads `<folder>/messages.jsonl` from the offset in `<folder>/messages.offset`.

    The offset moves after each message that Dagster has taken: the next supervisor misses none, and repeats at most the one
    during which this one was killed. Pods that the cluster replaced open and close the same file several times; Dagster is
    told of one opening and one end.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stop = threading.Event()
        self._closed: dict[str, Any] | None = None
        self._opened = False

    @contextmanager
    def read_messages(self, handler: PipesMessageHandler) -> Iterator[PipesParams]:
        """Read in a thread; what was written until the end of the session is still read."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / MESSAGES
        path.touch()
        thread = threading.Thread(target=self._run, args=(handler, path), name="pipes messages", daemon=True)
        thread.start()
        try:
            yield {
                PipesDefaultMessageWriter.FILE_PATH_KEY: str(path),
                PipesDefaultMessageWriter.INCLUDE_STDIO_IN_MESSAGES_KEY: False,
            }
        finally:
            self._stop.set()
            thread.join()

    def _run(self, handler: PipesMessageHandler, path: Path) -> None:
        try:
            if self._offset() > 0:
                self._reopen(handler, path)
            last = False
            while not last:
                last = self._stop.wait(POLL_SECONDS)
                self._read(handler, path)
            if self._closed:
                handler.handle_message(self._closed)  # pyright: ignore[reportArgumentType]
        except BaseException as error:
            told: Any = (type(error), error, error.__traceback__)
            handler.report_pipes_framework_exception("the reader of Pipes messages", told)
            raise

    def _reopen(self, handler: PipesMessageHandler, path: Path) -> None:
        """A session that begins in the middle has not seen the opening that Dagster waits for."""
        with path.open("rb") as file:
            self._pass_on(handler, json.loads(file.readline()))

    def _read(self, handler: PipesMessageHandler, path: Path) -> None:
        offset = self._offset()
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._pass_on(handler, json.loads(line))
                offset += len(line)
                write_atomically(self._folder / OFFSET, str(offset))

    def _pass_on(self, handler: PipesMessageHandler, message: dict[str, Any]) -> None:
        if message["method"] == "closed":
            self._closed = message
        elif message["method"] != "opened" or not self._opened:
            self._opened = True
            handler.handle_message(message)  # pyright: ignore[reportArgumentType]

    def _offset(self) -> int:
        try:
            return int((self._folder / OFFSET).read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0

    def no_messages_debug_text(self) -> str:
        """Where messages were looked for."""
        return f"Messages were read from {self._folder / MESSAGES}."
