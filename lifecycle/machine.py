"""What this machine has for the work, what is missing, what falls back to what, and how to mend it."""

import importlib.util
import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil
from rich.markup import escape
from rich.table import Table

from lifecycle.errors import LifecycleError

State = Literal["good", "slower", "missing"]
COLOURS: dict[State, str] = {"good": "green", "slower": "yellow", "missing": "red"}
SHARED_MEMORY, DISK, MEMORY = 1 << 30, 20 << 30, 8 << 30
"""Bytes below which a machine is told of: a container's default of 64 MB of shared memory ends NCCL and data loaders."""
FILES = 4096
"""Open files below which many shards and sockets at once fail."""
PACKAGES = {
    "flash-attn": ("flash_attn", "attention is torch's sdpa", "gpu"),
    "liger-kernel": ("liger_kernel", "norms, rotary and activations are transformers' own", "gpu"),
    "bitsandbytes": ("bitsandbytes", "no QLoRA", "gpu"),
    "vllm": ("vllm", "answers are sampled, and models served, by transformers", "vllm"),
    "ray": ("ray", "curation stays on one machine", "ray"),
}
"""Optional packages: their module, what happens without them, and the extra that brings them."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `missing` is what work fails without; `slower` has something in its place."""

    what: str
    state: State
    found: str
    advice: str = ""


def examine_machine(home: Path, tracking_uri: str) -> list[Finding]:
    """Look at everything that needs no cluster; nothing is changed, and `home` need not exist yet."""
    return [
        Finding("Python", "good" if sys.version_info >= (3, 11) else "missing", platform.python_version(), "3.11 or newer"),
        *_torch(),
        _deepspeed(),
        *(_package(name, *how) for name, how in PACKAGES.items()),
        _room(
            "memory", psutil.virtual_memory().total, MEMORY, "lower micro_batch and sequence_length, and curation workers"
        ),
        _shared_memory(Path("/dev/shm")),
        _room("disk", shutil.disk_usage(_existing(home)).free, DISK, "`lifecycle gc`, or --home on a larger disk"),
        open_files(),
        _tracking(tracking_uri),
        _dagster(home),
    ]


def render(findings: list[Finding]) -> Table:
    """As people read it; advice stands only where something is not good."""
    table = Table("what", "found", "what to do")
    for each in findings:
        colour = COLOURS[each.state]
        advice = "" if each.state == "good" else escape(each.advice)
        table.add_row(each.what, f"[{colour}]{escape(each.found)}[/]", advice)
    return table


def _torch() -> Iterator[Finding]:
    import torch

    yield Finding("torch", "good", torch.__version__)
    if not torch.cuda.is_available():
        built = "" if torch.version.cuda else "; this torch was built without CUDA"
        advice = "fine for the demo and for curation; models of use need a GPU and a CUDA build of torch"
        yield Finding("GPU", "slower", f"none: trainings run on {os.cpu_count()} processors in fp32{built}", advice)
        return
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        bf16 = properties.major >= 8
        found = f"{properties.name}, {properties.total_memory / 1e9:.0f} GB, bf16 {'yes' if bf16 else 'no'}"
        yield Finding(f"GPU {number}", "good" if bf16 else "slower", found, "train in fp32: fp16 is not supported")


def _deepspeed() -> Finding:
    """Its kernels are compiled when they are first used."""
    compiler = shutil.which("g++")
    version = metadata.version("deepspeed")
    if compiler is None:
        return Finding("DeepSpeed", "missing", f"{version}, and no g++ to compile its kernels", "apt-get install g++")
    return Finding("DeepSpeed", "good", f"{version}, kernels compiled by {compiler} when first used")


def _package(name: str, module: str, otherwise: str, extra: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        return Finding(name, "slower", f"not installed: {otherwise}", f"pip install 'lifecycle[{extra}]'")
    return Finding(name, "good", metadata.version(name))


def _room(what: str, found: int, wanted: int, advice: str) -> Finding:
    return Finding(what, "good" if found >= wanted else "slower", f"{found / 1e9:,.1f} GB", advice)


def _shared_memory(place: Path) -> Finding:
    if not place.is_dir():
        return Finding("shared memory", "missing", f"no {place}", "mount a tmpfs there")
    advice = "docker run --shm-size 8g, or a Memory emptyDir on /dev/shm in a pod (the cluster profile's shared_memory)"
    return _room("shared memory", shutil.disk_usage(place).total, SHARED_MEMORY, advice)


def open_files() -> Finding:
    """How many files a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Finding("open files", "good" if soft >= FILES else "slower", f"{soft:,} of {hard:,}", f"ulimit -n {FILES}")


def _tracking(uri: str) -> Finding:
    from lifecycle.tracking.connection import connect

    try:
        connect(uri, create=False)
    except LifecycleError as error:
        if "nothing has been recorded yet" in str(error):
            return Finding("MLflow", "good", f"{uri} is made by the first run")
        return Finding("MLflow", "missing", str(error), "start the server, or correct --tracking-uri; runs catch up later")
    return Finding("MLflow", "good", uri)


def _dagster(home: Path) -> Finding:
    """Where runs, schedules and the UI keep their state."""
    stated = os.environ.get("DAGSTER_HOME")
    place = Path(stated) if stated else home / "dagster"
    if not os.access(_existing(place), os.W_OK):
        return Finding("Dagster home", "missing", f"{place} cannot be written to", "--home, or DAGSTER_HOME, elsewhere")
    if stated and not (place / "dagster.yaml").is_file():
        advice = "copy deploy/dagster.yaml there: without it a daemon has no pools, and Dagster reports usage"
        return Finding("Dagster home", "slower", f"{place} ($DAGSTER_HOME) has no dagster.yaml", advice)
    return Finding("Dagster home", "good", str(place) if place.is_dir() else f"{place} is made by the first run")


def _existing(path: Path) -> Path:
    """The nearest directory above that exists."""
    return next(each for each in (path.resolve(), *path.resolve().parents) if each.is_dir())
