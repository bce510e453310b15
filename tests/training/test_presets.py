"""The engine presets: each is accepted by the recipe and by DeepSpeed, and brings nothing that the recipe decides."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deepspeed.runtime.config import DeepSpeedConfig
from pydantic import ValidationError

from lifecycle.recipe.base import identity
from lifecycle.recipe.training import CausalTraining
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.batches import PackedDocuments
from lifecycle.training.engine import engine_config, start_engine
from lifecycle.training.model import build_model
from tests.training import tiny

PRESETS = Path(__file__).parents[2] / "deploy" / "deepspeed"
NAMES = ("multi-node", "zero-0", "zero-1", "zero-2", "zero-2-offload", "zero-3", "zero-3-offload")


def training(**settings: Any) -> CausalTraining:
    known = {"steps": 1, "global_batch": 8, "sequence_length": 8, "optimization": {"learning_rate": 1e-3}, "processes": 1}
    return CausalTraining.model_validate({**known, "precision": "fp32", **settings})


@pytest.fixture(scope="module")
def seen() -> dict[str, list[float]]:
    """The losses of the first preset."""
    return {}


def test_there_are_no_others() -> None:
    assert tuple(sorted(path.stem for path in PRESETS.glob("*.json"))) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_preset_reaches_the_engine(name: str) -> None:
    path = PRESETS / f"{name}.json"
    content = json.loads(path.read_text())
    stage = content["zero_optimization"]["stage"]
    plain = training(zero_stage=stage)
    with_preset = training(zero_stage=stage, deepspeed=str(path))
    assert identity(with_preset) == identity(plain), "how state is spread changes no result"
    config = engine_config(with_preset)
    assert config["train_batch_size"] == 8
    parsed = DeepSpeedConfig(config)
    assert parsed.zero_config.stage == stage
    found = parsed.zero_config.model_dump(by_alias=True, mode="json")
    for key, value in content["zero_optimization"].items():
        if isinstance(value, dict):
            assert found[key] | value == found[key], key
        else:
            assert found[key] == value, key


@pytest.mark.parametrize("name", NAMES)
def test_a_real_engine_trains_with_the_preset(
    device: torch.device, memmap: Path, tokenizer: Path, seen: dict[str, list[float]], name: str
) -> None:
    """Offload included, and all with the same losses. One process: what is spread over ranks, and hpZ's groups of 8, is only
    set up, not exercised."""
    path = PRESETS / f"{name}.json"
    stage = json.loads(path.read_text())["zero_optimization"]["stage"]
    settings = training(zero_stage=stage, deepspeed=str(path), micro_batch=8, sequence_length=64)
    engine = start_engine(build_model(tiny.ARCHITECTURE, tiny.VOCAB, torch.float32, 0, tokenizer), settings, device)
    batch = PackedDocuments(TokenMemmap(memmap), 64, "pretrain").batch(np.arange(8))
    weight, losses = batch.weights.sum(), []
    for _ in range(2):
        loss = engine(batch.ids, batch.positions, batch.segments, batch.labels, batch.weights) / weight
        engine.backward(loss)
        engine.step()
        losses.append(float(loss))
    assert losses[1] < losses[0]
    assert losses == pytest.approx(seen.setdefault("losses", losses), rel=1e-4)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"scheduler": {"type": "WarmupLR"}}, "scheduler must not be set"),
        ({"optimizer": {}, "fp16": {"enabled": True}}, "fp16, optimizer must not be set"),
        ({"zero_optimization": {"stage": 3}}, "stage is 3 there and zero_stage 1 here"),
    ],
)
def test_preset_that_decides_more_is_refused(tmp_path: Path, content: dict[str, Any], match: str) -> None:
    """A preset with a scheduler block slid the learning rate to 0 while the loss looked plausible."""
    path = tmp_path / "preset.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValidationError, match=match):
        training(deepspeed=str(path))
    with pytest.raises(ValidationError, match="not a JSON file"):
        training(deepspeed=str(tmp_path / "absent.json"))
