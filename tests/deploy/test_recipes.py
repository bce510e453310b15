"""The recipes for real sizes: `plan --preflight` takes them, they fit, and the page says what it says."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.training.memory import ALLOCATOR, device_bytes

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "deploy" / "recipes"
PAGE = ROOT / "docs" / "real-sizes.md"
MFU = 0.4


@dataclass(frozen=True)
class Size:
    """A recipe, the device that it is for, and the published shape of a model that it may start from."""

    recipe: str
    device: str
    start: dict[str, Any] | None = None


def qwen(width: int, layers: int, heads: tuple[int, int], intermediate: int, vocabulary: int, tied: bool) -> dict[str, Any]:
    """The configuration of a Qwen2.5 model, as its own `config.json` has it; heads of queries, and of keys and values."""
    return {
        "model_type": "qwen2",
        "architectures": ["Qwen2ForCausalLM"],
        "max_position_embeddings": 32768,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "intermediate_size": intermediate,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
    }


SIZES = [
    Size("pretrain-1b", "H100"),
    Size("continue-7b", "H200", qwen(3584, 28, (28, 4), 18944, 152064, False)),
    Size("lora-3b", "H100", qwen(2048, 36, (16, 2), 11008, 151936, True)),
    Size("multi-node-32b", "H200", qwen(5120, 64, (40, 8), 27648, 152064, False)),
]
TOO_LARGE = {("multi-node-32b", "dpo_model")}
"""What no device holds, and the page and the recipe say so."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that the recipes name, with a file in each: a plan hashes them and reads none."""
    root = tmp_path_factory.mktemp("data")
    for name in ("web/a.parquet", "books/a.jsonl", "code/a.jsonl", "domain/a.jsonl", "sft/a.jsonl", "pref/a.jsonl"):
        path = root / name
        path.parent.mkdir()
        path.write_bytes(b"{}\n")
    return root


def preflight(size: Size, data: Path, tokenizer: Path, folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command says, as JSON."""
    patch.chdir(ROOT)  # the engine's presets are named from the project's root
    patch.setenv("LIFECYCLE_DATA", str(data))
    if size.start:
        start = folder / "start"
        start.mkdir()
        (start / "config.json").write_text(json.dumps(size.start), encoding="utf-8")
        save_file({"nothing": np.zeros(1, dtype=np.float32)}, str(start / "model.safetensors"))
        for path in tokenizer.iterdir():
            (start / path.name).write_bytes(path.read_bytes())
        patch.setenv("BASE_MODEL", str(start))
    recipe = str(RECIPES / f"{size.recipe}.yaml")
    words = ["plan", "--recipe", recipe, "--home", str(folder), "--json", "--preflight", "--device", size.device]
    done = CliRunner().invoke(app, [*words, "--mfu", str(MFU)])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["preflight"]


def row(size: Size, stage: str, found: dict[str, Any]) -> str:
    """A line of the page's table."""
    trained, held = found["shape"]["trainable"], found["shape"]["parameters"]
    parameters = f"{held / 1e9:.2f} B" + (f", {trained / 1e6:.0f} M trained" if trained != held else "")
    memory = f"{found['memory_total'] * ALLOCATOR / 1e9:.0f} GB"
    disk = f"{found['checkpoints'] / 1e9:,.0f} GB"
    time = f"{found['seconds'] / 3600:,.1f} h, {found['gpu_hours']:,.0f} GPU-hours" if found["seconds"] else "by the pairs"
    return f"| `{size.recipe}` | {stage} | {size.device} | {parameters} | {memory} | {disk} | {time} |"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.recipe)
def test_it_is_accepted_and_fits_and_the_page_says_so(
    size: Size, data: Path, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe that a cluster refuses after a week in its queue has helped nobody."""
    found = preflight(size, data, tokenizer, tmp_path, monkeypatch)
    room = device_bytes(size.device)
    assert room is not None
    stages = {stage: each for stage, each in found.items() if stage.endswith("_model")}
    assert {"sft_model", "dpo_model"} <= set(stages)
    page = PAGE.read_text(encoding="utf-8")
    for stage, each in stages.items():
        fits = ALLOCATOR * each["memory_total"] <= room
        assert fits != ((size.recipe, stage) in TOO_LARGE), (stage, each["memory_total"] / 1e9)
        assert row(size, stage, each) in page
