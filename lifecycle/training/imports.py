"""Imports that do not load a compiler which nobody calls."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "TORCHDYNAMO_DISABLE"


@contextmanager
def uncompiled() -> Iterator[None]:
    """Functions of the modules imported in here stay as they are where they carry `torch.compile`.

    Decorating one loads the whole of TorchInductor, some 2 s of each rank's start. DeepSpeed's Muon does so, which no run
    has, and bitsandbytes' kernels for the CPU, which compute the same either way. What is compiled later still is.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
