"""A run's way into its checkpoints and out of them."""

from typing import Any

from torch import distributed

from lifecycle.errors import CorruptArtifactError
from lifecycle.training.background import BackgroundWriter
from lifecycle.training.checkpoints import FINAL, CheckpointManifest, Progress, read_manifest
from lifecycle.training.distributed import rank
from lifecycle.training.ownership import own_launcher
from lifecycle.training.restore import TAG, load
from lifecycle.training.run import Run


def shared_token() -> str:
    """The token of rank 0's launcher, by which all ranks name what they write together; every rank must call it."""
    owner = own_launcher()
    found = [owner.token if owner else ""]
    distributed.broadcast_object_list(found, src=0)
    return found[0]


def save(run: Run, progress: Progress, kinds: tuple[str, ...] = ("step",)) -> None:
    """Begin to write a checkpoint under the names `<kind>_N`; every rank must call it.

    When this returns, the state is copied and may change. `finish` waits until it is a checkpoint.
    """
    finish(run)
    if rank() == 0:
        run.checkpoints.prepare(progress.step)
    distributed.barrier()
    directory = str(run.checkpoints.temporary(progress.step))
    run.engine.save_checkpoint(directory, tag=TAG, save_latest=False, exclude_frozen_parameters=True)
    names = tuple(f"{kind}_{progress.step}" for kind in kinds)
    writer: BackgroundWriter = run.engine.checkpoint_engine
    writer.publish(lambda: run.checkpoints.commit(progress, run.identity, run.layout, names))


def finish(run: Run) -> None:
    """Wait until the checkpoint being written, if there is one, is published; every rank must call it.

    Raises:
        OSError, ConnectionError: a rank could not write its part; what was there before is still there.
    """
    writer: BackgroundWriter = run.engine.checkpoint_engine
    writer.wait()


def resume(run: Run) -> Progress:
    """Load the newest whole checkpoint, if there is one; every rank must call it.

    Raises:
        ConfigurationError: it belongs to another job.
        CorruptArtifactError: the engine cannot read it although its hashes fit.
    """
    found: list[Any] = [None, None]
    if rank() == 0:
        name, manifest, said = run.checkpoints.newest(run.identity)
        progress = manifest.progress if manifest else Progress()
        assert run.journal is not None
        for text in said:
            run.journal.message(text)
        run.journal.resume(progress.step)
        if manifest:
            changed = "" if manifest.layout == run.layout else f" (written by {manifest.layout}, converted)"
            run.journal.message(f"continuing after step {progress.step} of {run.training.steps}{changed}")
        found = [name, manifest]
    distributed.broadcast_object_list(found, src=0)
    name, manifest = found
    if manifest is None:
        return Progress()
    load(run.engine, run.checkpoints.path(name), manifest.layout, run.layout)
    return manifest.progress


def choose(run: Run, progress: Progress) -> None:
    """Bring the weights to export into the engine, and name their checkpoint `final`; every rank must call it.

    Raises:
        CorruptArtifactError: the best checkpoint is missing or damaged.
    """
    wanted = run.training.validation
    best = wanted is not None and wanted.choose == "best" and progress.best_step != progress.step
    name = f"best_{progress.best_step}" if best else f"step_{progress.step}"
    found: list[Any] = [None]
    if rank() == 0:
        try:
            found = [read_manifest(run.checkpoints.path(name))]
            run.checkpoints.link(name, FINAL)
        except CorruptArtifactError as error:
            found = [error]
    distributed.broadcast_object_list(found, src=0)
    if isinstance(found[0], CorruptArtifactError):
        raise found[0]
    if best:
        manifest: CheckpointManifest = found[0]
        load(run.engine, run.checkpoints.path(name), manifest.layout, run.layout)
        if run.journal:
            run.journal.message(f"exporting the best weights, those after step {progress.best_step}")
