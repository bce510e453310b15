"""One process of a job: `python -m lifecycle.training.rank PROGRAM job.json` runs PROGRAM's `main(job)`.

Whatever ends it badly is written to `<run_dir>/errors/rank_N.json` before the process exits with the code of its class,
so that the launcher can tell the rank that failed from those that merely lost it.
"""

import atexit
import faulthandler
import gc
import importlib
import json
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from lifecycle.jobs import TrainingJob
from lifecycle.training.exits import ExitClass, classify
from lifecycle.training.imports import uncompiled
from lifecycle.training.ownership import own_launcher
from lifecycle.training.parent import die_with_parent

ERRORS = "errors"


def main() -> None:
    """Run the program; the process exits with 0 or the code of an `ExitClass`."""
    die_with_parent(signal.SIGKILL)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # DeepSpeed imports MLflow for its autotuner, if it finds it: seconds of every start, for what no rank ever calls.
    sys.modules.setdefault("mlflow", None)  # pyright: ignore[reportArgumentType]
    program, path = sys.argv[1:]
    job = TrainingJob.read(path)
    try:
        gc.disable()  # of modules that come in nothing is ever freed: looking for it is a sixth of a rank's start
        with uncompiled():
            work = importlib.import_module(program).main
        gc.freeze()
        gc.enable()
        work(job)
    except BaseException as error:
        if not isinstance(error, SystemExit) or error.code:
            _fail(Path(job.run_dir), error)
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    _leave(0)


def _leave(code: int) -> None:
    """Exit at once, without taking the interpreter down.

    A regular exit may wait for threads of a process group that no longer answers. And C++ has aborted there what had done
    its work: a thread that asks for the interpreter then is ended, also where it may not be (gloo's, by all signs).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(run_dir: Path, error: BaseException) -> None:
    found = classify(error)
    traceback.print_exc()
    owner = own_launcher()
    if owner is None or owner.holds:
        _report(run_dir, found, error)
    _leave(found.code)


def _report(run_dir: Path, found: ExitClass, error: BaseException) -> None:
    report = {"class": found.value, "message": f"{type(error).__name__}: {error}", "time": time.time()}
    directory = run_dir / ERRORS
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".rank_{os.environ.get('RANK', '0')}"
    temporary.write_text(json.dumps(report), encoding="utf-8")
    os.replace(temporary, directory / f"rank_{os.environ.get('RANK', '0')}.json")


if __name__ == "__main__":
    main()
