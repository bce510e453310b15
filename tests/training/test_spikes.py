"""A loss spike names its documents; where the recipe says so, the run goes on from its last checkpoint without the batch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.jobs import TrainingJob
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.batches import BLOCK, PackedDocuments, SampleOrder
from lifecycle.training.exits import ExitClass
from lifecycle.training.guards import ENOUGH_HISTORY, spike
from lifecycle.training.journal import FILE, read_metrics
from lifecycle.training.skipping import SkippedBatches
from tests.patience import PATIENCE
from tests.training import tiny
from tests.training.several import together

BAD_STEP, STEPS = 44, 52
"""0-based: the order's place of the batch that is made of noise."""


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    """Documents that count upwards, but for one batch of noise that comes late."""
    memmap = tiny.make_memmap(tmp_path_factory.mktemp("poisoned"), tokenizer, documents=900)
    order = SampleOrder(PackedDocuments(TokenMemmap(memmap), 64, "pretrain").sequences, 4, 0, BLOCK)
    assert order.sequences > 4 * STEPS, "no batch comes twice"
    tokens = np.fromfile(memmap / "tokens.bin", dtype="<u2")
    noise = np.random.default_rng(5)
    for sequence in order.global_step(BAD_STEP):
        tokens[sequence * 64 : (sequence + 1) * 64] = noise.integers(3, tiny.VOCAB, 64)
    tokens.tofile(memmap / "tokens.bin")
    return memmap


def spiking_job(home: Path, memmap: Path, tokenizer: Path, on_spike: str, **guards: Any) -> TrainingJob:
    return tiny.make_job(
        home,
        {"memmap": memmap, "tokenizer": tokenizer},
        steps=STEPS,
        checkpoint_every=10,
        precision="fp32",
        optimization={"learning_rate": 2e-2, "warmup_steps": 5, "schedule": "constant"},
        guards={"on_spike": on_spike, "spike_factor": 1.3, **guards},
    )


def finish(job: TrainingJob) -> tuple[int, str]:
    process = tiny.launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, poisoned: Path, tokenizer: Path) -> tuple[Path, int, str]:
    """The homes of a run that reports spikes and of one that stops, which one process does in this order; how that ended."""
    home = tmp_path_factory.mktemp("others")
    jobs = [spiking_job(home / name, poisoned, tokenizer, name) for name in ("report", "stop")]
    return home, *finish(together(jobs, home / "both"))


def test_a_spike_is_skipped_and_the_run_is_as_if_the_batch_did_not_exist(
    tmp_path: Path, poisoned: Path, tokenizer: Path, others: tuple[Path, int, str]
) -> None:
    code, output = finish(spiking_job(tmp_path / "skip", poisoned, tokenizer, "skip"))
    assert code == 0, output
    first = min(
        PackedDocuments(TokenMemmap(poisoned), 64, "pretrain").documents(
            SampleOrder(PackedDocuments(TokenMemmap(poisoned), 64, "pretrain").sequences, 4, 0, BLOCK).global_step(BAD_STEP)
        )
    )
    assert f"step {BAD_STEP + 1}: the loss" in output
    assert f"the batch holds the memmap's documents {first}, " in output
    assert "continuing after step 40 of 52" in output
    assert json.loads((tmp_path / "skip" / "run" / "skipped.json").read_text()) == [BAD_STEP]
    assert json.loads((tmp_path / "skip" / "run" / "result.json").read_text())["skipped_batches"] == 1

    report, _, output = others
    assert (report / "report" / "run" / "result.json").exists(), output
    assert f"step {BAD_STEP + 1}: the loss" in (report / "report" / "run" / FILE).read_text(encoding="utf-8")
    skipped, reported = (read_metrics(home / "run") for home in (tmp_path / "skip", report / "report"))
    before = slice(0, BAD_STEP)
    assert [e["loss"] for e in skipped[before]] == [e["loss"] for e in reported[before]]
    assert skipped[BAD_STEP]["loss"] < reported[BAD_STEP]["loss"] / 1.3
    assert len(skipped) == len(reported) == STEPS


def test_a_spike_ends_the_run_where_the_recipe_says_so(others: tuple[Path, int, str]) -> None:
    home, code, output = others
    assert code == ExitClass.NUMERICS.code, output
    assert read_metrics(home / "stop" / "run")[-1]["step"] == BAD_STEP


def test_a_spike_is_measured_against_the_median() -> None:
    before = [1.0] * (ENOUGH_HISTORY - 1) + [50.0]
    assert spike(9, 2.9, before, 3.0) is None
    assert "3.1 times the median" in (spike(9, 3.1, before, 3.0) or "")
    assert spike(9, 3.1, before[1:], 3.0) is None, "too little to compare with"


@given(st.sets(st.integers(0, 30)), st.integers(1, 60))
def test_skipping_leaves_out_those_places_and_no_others(places: set[int], steps: int) -> None:
    skipped = SkippedBatches(Path("absent"))
    skipped.places = tuple(sorted(places))
    used = [skipped.position(step) for step in range(steps)]
    assert used == [place for place in range(steps + len(places)) if place not in places][:steps]
