"""Our causal program beside transformers' Trainer on one GPU: a Llama of 1.1B weights, bf16, sequences of 2,048 and 4,096.

    python benchmarks/train_gpu.py [--quick] [--tiny] [--json FILE]

One command, no network: the weights are random and so is the data. All train on the same packed batches of documents of
1,000 tokens, one after the other, in processes of their own, and are timed between the end of the warm-up and the last step,
with the device waited for at both. Ours is the whole causal program with what it chooses for this machine; the Trainer runs
with sdpa and fused AdamW, once compiled and, where liger-kernel is installed, once with its kernels: the better one is the
peer. It lets documents see each other, so that its mask is the cheaper kind. MFU is FLOPs per token (the formula is printed)
times tokens per second over the dense bf16 peak; of a device whose peak is unknown none is given. `estimated_gigabytes` is
what the preflight foretells of ours, `ours_gigabytes` what was allocated at most.

`--tiny` runs the same code with a tiny model, on the CPU where there is no GPU: it shows that the script works and measures
nothing. This benchmark has not been run on a GPU yet.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from train_cpu import make_inputs

BILLION = {"hidden_size": 2048, "layers": 22, "heads": 32, "kv_heads": 4, "intermediate_size": 5632, "max_positions": 4096}
TINY = {"hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate_size": 128, "max_positions": 128}
VOCABULARY = 32_000
TOKENS_PER_PASS = 16_384
WARM = 5
DATA_TOKENS = 20_000_000


def settings(sequence: int, tiny: bool, steps: int) -> dict[str, Any]:
    """Architecture and training of all programs."""
    batch = 2 if tiny else TOKENS_PER_PASS // sequence
    training = {
        "steps": steps,
        "global_batch": batch,
        "micro_batch": batch,
        "sequence_length": sequence,
        "optimization": {"learning_rate": 1e-4},
        "precision": "bf16",
        "zero_stage": 1,
        "processes": 1,
        "log_every": 10,
        "checkpoint_every": 1_000_000,
    }
    architecture = (TINY if tiny else BILLION) | {"tie_embeddings": False}
    return {"kind": "pretrain", "training": training, "architecture": architecture}


class Stopwatch:
    """Tokens per second between the end of the warm-up and the last step, and the most memory that was allocated."""

    def __init__(self, config: dict[str, Any]) -> None:
        training = config["training"]
        self._steps, self._done = training["steps"], 0
        self._tokens = training["global_batch"] * training["sequence_length"]
        self._began = self._ended = 0.0

    def step_ends(self) -> None:
        """A step has been handed to the device. Only two of them wait for it."""
        self._done += 1
        if self._done == WARM:
            self._began = self._now()
        if self._done == self._steps:
            self._ended = self._now()

    def result(self) -> dict[str, float]:
        """What was measured."""
        import torch

        rate = self._tokens * (self._steps - WARM) / (self._ended - self._began)
        return {"rate": rate} | ({"bytes": torch.cuda.max_memory_allocated()} if torch.cuda.is_available() else {})

    def _now(self) -> float:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


def ours(home: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The causal program, and what it said of itself at the start."""
    from lifecycle.jobs import TrainingJob
    from lifecycle.training import causal, loop
    from lifecycle.training.journal import FILE, follow

    watch = Stopwatch(config)
    step = loop.train_step

    def timed(*arguments: Any) -> Any:
        result = step(*arguments)
        watch.step_ends()
        return result

    loop.train_step = timed  # pyright: ignore[reportPrivateImportUsage]
    causal.main(
        TrainingJob(
            stage="base_model",
            fingerprint="0" * 32,
            program="lifecycle.training.causal",
            config=config,
            inputs={"memmap": str(home / "memmap"), "tokenizer": str(home / "tokenizer")},
            output=str(home / "out"),
            run_dir=str(home / "run"),
        )
    )
    said = [entry["text"] for entry in follow(home / "run" / FILE, 0)[0] if entry["kind"] == "message"]
    return watch.result() | {"said": said[0]}


def trainer_compiled(home: Path, config: dict[str, Any]) -> dict[str, Any]:
    """transformers' Trainer with torch.compile."""
    return _trainer(home, config, torch_compile=bool(_gpu()))


def trainer_liger(home: Path, config: dict[str, Any]) -> dict[str, Any]:
    """transformers' Trainer with Liger's kernels, its fused loss among them."""
    return _trainer(home, config, use_liger_kernel=True)


def _trainer(home: Path, config: dict[str, Any], **options: Any) -> dict[str, Any]:
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from lifecycle.recipe.training import Architecture
    from lifecycle.tokens.memmap import TokenMemmap
    from lifecycle.training.batches import BLOCK, PackedDocuments, SampleOrder
    from lifecycle.training.model import build_model

    training = config["training"]
    architecture = Architecture.model_validate(config["architecture"])
    model = build_model(architecture, VOCABULARY, torch.float32, 0, home / "tokenizer")
    data = PackedDocuments(TokenMemmap(home / "memmap"), training["sequence_length"], "pretrain")
    order = SampleOrder(data.sequences, training["global_batch"], 0, BLOCK)
    batches = [data.batch(order.global_step(step)) for step in range(training["steps"])]
    rows = [{"input_ids": ids, "labels": ids} for batch in batches for ids in batch.ids]
    watch = Stopwatch(config)

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            watch.step_ends()

    arguments = TrainingArguments(
        output_dir=str(home / "trainer"),
        max_steps=training["steps"],
        per_device_train_batch_size=training["micro_batch"],
        learning_rate=1e-4,
        optim="adamw_torch_fused",
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **options,
    )
    Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[Clock()]).train()  # pyright: ignore[reportArgumentType]
    return watch.result()


PARTS = {part.__name__: part for part in (ours, trainer_compiled, trainer_liger)}


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def run(part: str, home: Path, config: dict[str, Any]) -> dict[str, Any]:
    """One program in a process of its own."""
    work = home / f"{part}-{config['training']['sequence_length']}"
    work.mkdir()
    for name in ("memmap", "tokenizer"):
        (work / name).symlink_to(home / name)
    (work / "config.json").write_text(json.dumps(config), encoding="utf-8")
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    command = [sys.executable, __file__, "--part", part, "--home", str(work)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **alone})
    if done.returncode:
        sys.exit(f"{part} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(tiny: bool, steps: int) -> list[dict[str, Any]]:
    """One row for each program and sequence length."""
    device = _gpu()
    names = [name for name in PARTS if name != "trainer_liger" or (device and importlib.util.find_spec("liger_kernel"))]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="train-benchmark-") as place:
        make_inputs(Path(place), 1_000_000 if tiny else DATA_TOKENS, VOCABULARY)
        for sequence in (64,) if tiny else (2048, 4096):
            config = settings(sequence, tiny, steps)
            found = {name: run(name, Path(place), config) for name in names}
            rows.append({"work": f"sequence {sequence}", "device": device or "cpu"} | compare(found, config, device))
    return rows


def compare(found: dict[str, dict[str, Any]], config: dict[str, Any], device: str | None) -> dict[str, Any]:
    """Ours beside the faster of the Trainer's ways, with what is known of both."""
    from lifecycle.recipe.training import Architecture, CausalTraining
    from lifecycle.training.estimate import estimate, new_shape
    from lifecycle.training.throughput import flops_per_token, peak_flops

    training = CausalTraining.model_validate(config["training"])
    shape = new_shape(Architecture.model_validate(config["architecture"]), VOCABULARY, training)
    peer = max((name for name in found if name != "ours"), key=lambda name: found[name]["rate"])
    us, them = found["ours"], found[peer]
    row: dict[str, Any] = {
        "ours": round(us["rate"], 1),
        "peer": round(them["rate"], 1),
        "ratio": round(us["rate"] / them["rate"], 3),
        "peer_is": peer,
        "rates": {name: round(result["rate"], 1) for name, result in found.items()},
        "parameters": shape.parameters,
        "said": us["said"],
        "estimated_gigabytes": round(estimate(shape, training).memory.total / 1e9, 2),
    }
    peak, work = peak_flops(device), flops_per_token(shape, training.sequence_length)
    if peak:
        row |= {f"{name}_mfu": round(result["rate"] * work / peak, 4) for name, result in (("ours", us), ("peer", them))}
    if device:
        row |= {f"{name}_gigabytes": round(each["bytes"] / 1e9, 2) for name, each in (("ours", us), ("peer", them))}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the script itself; runs on the CPU too")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        config = json.loads((arguments.home / "config.json").read_text(encoding="utf-8"))
        print(json.dumps(PARTS[arguments.part](arguments.home, config)))
        return
    if not arguments.tiny and not _gpu():
        sys.exit("this benchmark needs a GPU, and torch sees none; --tiny tries the script on the CPU")
    from lifecycle.training.throughput import FORMULA

    rows = measure(arguments.tiny, WARM + (5 if arguments.quick else 40))
    print("| work | ours, tokens/s | MFU | Trainer, tokens/s | MFU | which | ratio |\n|---|---|---|---|---|---|---|")
    for row in rows:
        shares = [f"{row[name]:.1%}" if name in row else "unknown peak" for name in ("ours_mfu", "peer_mfu")]
        rates = f"{row['ours']:,.0f} | {shares[0]} | {row['peer']:,.0f} | {shares[1]}"
        print(f"| {row['work']} | {rates} | {row['peer_is']} | {row['ratio']}× |")
    for row in rows:
        print(f"{row['work']}: {row['said']}; estimated {row['estimated_gigabytes']} GB", end="")
        print(f", allocated {row['ours_gigabytes']} GB" if "ours_gigabytes" in row else "")
    print(f"{rows[0]['parameters']:,} parameters on {rows[0]['device']}; {FORMULA}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
