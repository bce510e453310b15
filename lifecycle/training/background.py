"""Checkpoints that are written while training goes on.

What must stand still is copied to host memory between two steps; a thread then serializes it, flushes it to the disk, hashes
it and publishes it. DeepSpeed's own decoupled writer does not serve: it needs asynchronous I/O kernels that are compiled at
start, and ends every checkpoint at the next step, whether that takes time or not.
"""

import logging
import os
from collections.abc import Callable
from threading import Thread
from types import TracebackType
from typing import Any

import torch
from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine
from torch import distributed
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

logger = logging.getLogger(__name__)


class BackgroundWriter(TorchCheckpointEngine):
    """DeepSpeed's checkpoint engine: `save` only copies, and what `publish` starts writes. One checkpoint at a time.

    The host's copies are kept and used again for the next checkpoint: each rank needs once more the host memory of its
    share of a checkpoint. The ranks' threads agree through a process group of their own, because that of the steps is in
    use meanwhile.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._stager = DefaultStager(
            StagingOptions(
                use_pinned_memory=torch.cuda.is_available(),
                use_shared_memory=False,
                use_async_staging=False,
                use_non_blocking_copy=False,
            )
        )
        self._copies: list[tuple[Any, str]] = []
        self._group: Any = distributed.new_group(backend="gloo")
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def save(self, state_dict: Any, path: str) -> None:
        """Copy `state_dict` to host memory, to be written to `path` once `publish` is called; tensors may change then."""
        self._copies.append((self._stager.stage(state_dict), path))

    def publish(self, publish: Callable[[], None]) -> None:
        """Write what was saved in a thread and, once every rank has, call `publish` on rank 0; every rank must call it."""
        self._thread = Thread(target=self._write, args=(publish,), name="checkpoint", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until the last checkpoint is published; every rank must call it.

        Raises:
            OSError, …: what kept this rank from writing its part.
            ConnectionError: another rank could not write its part.
        """
        if self._thread:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error:
            raise error

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Whatever ends the steps, the checkpoint being written is finished first; a second error is only reported."""
        try:
            self.wait()
        except Exception:
            if error is None or not isinstance(error, Exception):
                raise
            logger.exception("the last checkpoint could not be written")

    def _write(self, publish: Callable[[], None]) -> None:
        try:
            self._agree(self._write_files)
            self._agree(publish if distributed.get_rank() == 0 else lambda: None)
        except BaseException as error:  # carried to the thread of the steps, which raises it in `wait`
            self._error = error
        finally:
            self._copies.clear()

    def _write_files(self) -> None:
        for state, path in self._copies:
            with open(path, "wb") as file:
                torch.save(state, file, _use_new_zipfile_serialization=self.zipfile_serialization)
                file.flush()
                os.fsync(file.fileno())

    def _agree(self, act: Callable[[], None]) -> None:
        """Do `act` on every rank, and raise on all of them when one could not."""
        error: Exception | None = None
        try:
            act()
        except Exception as raised:
            error = raised
        problems: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(problems, repr(error) if error else None, group=self._group)
        if error:
            raise error
        for number, problem in enumerate(problems):
            if problem:
                raise ConnectionError(f"rank {number} could not write its part of the checkpoint: {problem}")
