"""Our causal program beside transformers' Trainer on one GPU: a Llama of 1.1B weights, bf16, sequences of 2,048 and 4,096.

    python benchmarks/train_gpu.py [--quick] [--tiny] [--json FILE]

One command, no network: the weights are random and so is the data. Both train on the same packed batches, one after the
other, in processes of their own; the Trainer with sdpa, fused AdamW and, where liger-kernel is installed, its kernels. It
lets documents see each other, so that its attention is the cheaper kind. MFU is FLOPs per token (the formula is printed)
times tokens per second over the dense bf16 peak; of a device whose peak is unknown none is given. `--tiny` runs the same
code with a tiny model, on the CPU where there is no GPU: it shows that the script works and measures nothing.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
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
    """Architecture and training of both programs."""
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
        "log_every": 1,
        "checkpoint_every": 1_000_000,
        "compile": not tiny,
    }
    architecture = (TINY if tiny else BILLION) | {"tie_embeddings": False}
    return {"kind": "pretrain", "training": training, "architecture": architecture}


def ours(home: Path, config: dict[str, Any]) -> list[float]:
    """Tokens per second of each step of the causal program, from its own journal."""
    from lifecycle.jobs import TrainingJob
    from lifecycle.training.causal import main
    from lifecycle.training.journal import read_metrics

    job = TrainingJob(
        stage="base_model",
        fingerprint="0" * 32,
        program="lifecycle.training.causal",
        config=config,
        inputs={"memmap": str(home / "memmap"), "tokenizer": str(home / "tokenizer")},
        output=str(home / "out"),
        run_dir=str(home / "run"),
    )
    main(job)
    return [entry["tokens_per_second"] for entry in read_metrics(home / "run") if "tokens_per_second" in entry]


def trainer(home: Path, config: dict[str, Any]) -> list[float]:
    """The same of transformers' Trainer."""
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
    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            marks.append(time.perf_counter())

    arguments = TrainingArguments(
        output_dir=str(home / "trainer"),
        max_steps=training["steps"],
        per_device_train_batch_size=training["micro_batch"],
        learning_rate=1e-4,
        optim="adamw_torch_fused",
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        use_liger_kernel=with_liger(),
        torch_compile=training["compile"],
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[Clock()]).train()  # pyright: ignore[reportArgumentType]
    tokens = training["global_batch"] * training["sequence_length"]
    return [tokens / (after - before) for before, after in pairwise(marks)]


def with_liger() -> bool:
    """Whether Liger's kernels can be used."""
    import torch

    return torch.cuda.is_available() and importlib.util.find_spec("liger_kernel") is not None


PARTS = {part.__name__: part for part in (ours, trainer)}


def run(part: str, home: Path, config: dict[str, Any]) -> float:
    """One program in a process of its own; its mean tokens per second after the first steps."""
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
    rates = json.loads(done.stdout.splitlines()[-1])[WARM:]
    return len(rates) / sum(1 / rate for rate in rates)


def measure(tiny: bool, steps: int) -> list[dict[str, Any]]:
    """The rows of the table."""
    import torch

    from lifecycle.recipe.training import Architecture, CausalTraining
    from lifecycle.training.estimate import new_shape
    from lifecycle.training.throughput import flops_per_token, peak_flops

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="train-benchmark-") as place:
        make_inputs(Path(place), 1_000_000 if tiny else DATA_TOKENS, VOCABULARY)
        for sequence in (64,) if tiny else (2048, 4096):
            config = settings(sequence, tiny, steps)
            us, them = (run(part, Path(place), config) for part in PARTS)
            training = CausalTraining.model_validate(config["training"])
            shape = new_shape(Architecture.model_validate(config["architecture"]), VOCABULARY, training)
            peak, work = peak_flops(device), flops_per_token(shape, sequence)
            row = {
                "work": f"sequence {sequence}",
                "ours": round(us, 1),
                "peer": round(them, 1),
                "ratio": round(us / them, 3),
            }
            row |= {"ours_mfu": us * work / peak, "peer_mfu": them * work / peak} if peak else {}
            rows.append(row | {"parameters": shape.parameters, "device": device or "cpu", "liger": with_liger()})
    return rows


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
    import torch

    from lifecycle.training.throughput import FORMULA

    if not arguments.tiny and not torch.cuda.is_available():
        sys.exit("this benchmark needs a GPU, and torch sees none; --tiny tries the script on the CPU")
    rows = measure(arguments.tiny, WARM + (5 if arguments.quick else 40))
    print("| work | ours, tokens/s | MFU | Trainer, tokens/s | MFU | ratio |\n|---|---|---|---|---|---|")
    for row in rows:
        shares = [f"{row[name]:.1%}" if name in row else "unknown peak" for name in ("ours_mfu", "peer_mfu")]
        print(f"| {row['work']} | {row['ours']:,.0f} | {shares[0]} | {row['peer']:,.0f} | {shares[1]} | {row['ratio']}× |")
    print(f"{rows[0]['parameters']:,} parameters on {rows[0]['device']}, Liger {rows[0]['liger']}; {FORMULA}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
