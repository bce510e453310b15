"""Our training loop beside a bare torch loop and transformers' Trainer, and our loader beside what a step consumes. CPU.

    python benchmarks/train_cpu.py [--quick] [--json FILE]

All three train the same Llama (hidden 128, 4 layers, 4,096 entries, float32, eager) with AdamW on the same packed batches,
in processes of their own that take turns, one thread each; the best turn of each counts. The bare loop has forward,
backward, clipping and step with our loss on tensors that are ready: no loader, guards, journal or checkpoints. The Trainer
has its defaults but for logging and saving; it computes less, as its documents see each other. Rates leave the first steps
out. The loader reads a sparse memmap of 20 GB (1 GB with --quick) at random places; its memory is what its process holds
apart from the mapped file, whose pages the system takes back when it needs them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

SEQUENCE, BATCH, WARM = 256, 8, 3
VOCABULARY = 4096
AIMS = {"bare torch loop": 0.97, "transformers Trainer": 1.0, "loader over step": 50.0}


def make_inputs(home: Path, tokens: int, entries: int = VOCABULARY) -> None:
    """A tokenizer of so many entries and a sparse memmap of `tokens` zeros in documents of 1,000, with ids at the front."""
    import numpy as np
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    from lifecycle.tokens.memmap import MemmapDescription
    from lifecycle.tokens.tokenizer import tokenizer_digest

    vocabulary = {"<|endoftext|>": 0, "<|im_end|>": 1} | {f"t{number}": number for number in range(2, entries)}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="t2")),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    fast.chat_template = "{{ messages }}"
    fast.save_pretrained(str(home / "tokenizer"))
    data = home / "memmap"
    data.mkdir()
    with (data / "tokens.bin").open("wb") as file:
        file.write(np.random.default_rng(0).integers(2, entries, 1_000_000).astype("<u2").tobytes())
        file.truncate(tokens * 2)
    np.save(data / "documents.npy", np.append(np.arange(0, tokens, 1000), tokens).astype(np.int64))
    description = MemmapDescription(
        dtype="uint16",
        vocab_size=entries,
        tokenizer_digest=tokenizer_digest(home / "tokenizer"),
        template="none",
        eos_token_id=1,
        pad_token_id=0,
        tokens=tokens,
        documents=-(-tokens // 1000),
        loss_mask=False,
        trained_tokens=tokens,
    )
    (data / "memmap.json").write_text(description.model_dump_json(), encoding="utf-8")


def job_of(home: Path, steps: int) -> Any:
    """The job that all loops run."""
    from lifecycle.jobs import TrainingJob
    from lifecycle.recipe.training import Architecture

    training = {
        "steps": steps,
        "global_batch": BATCH,
        "sequence_length": SEQUENCE,
        "optimization": {"learning_rate": 1e-3},
        "precision": "fp32",
        "zero_stage": 0,
        "processes": 1,
        "micro_batch": BATCH,
        "log_every": 10,
        "checkpoint_every": 100_000,
    }
    return TrainingJob(
        stage="base_model",
        fingerprint="0" * 32,
        program="lifecycle.training.causal",
        config={"kind": "pretrain", "training": training, "architecture": Architecture().model_dump()},
        inputs={"memmap": str(home / "memmap"), "tokenizer": str(home / "tokenizer")},
        output=str(home / "out"),
        run_dir=str(home / "run"),
    )


def _model_and_batches(home: Path, steps: int) -> tuple[Any, list[Any]]:
    import torch

    from lifecycle.recipe.training import Architecture
    from lifecycle.tokens.memmap import TokenMemmap
    from lifecycle.training.batches import BLOCK, PackedDocuments, SampleOrder
    from lifecycle.training.model import build_model

    torch.set_num_threads(1)
    model = build_model(Architecture(), VOCABULARY, torch.float32, 0, home / "tokenizer")
    data = PackedDocuments(TokenMemmap(home / "memmap"), SEQUENCE, "pretrain")
    order = SampleOrder(data.sequences, BATCH, 0, BLOCK)
    return model, [data.batch(order.global_step(step)) for step in range(steps)]


def ours(home: Path, steps: int) -> dict[str, float]:
    """The loop of the causal program, inside the launcher's environment, timed by its own journal."""
    from lifecycle.training.causal import main
    from lifecycle.training.journal import read_metrics

    job = job_of(home, steps)
    main(job)
    metrics = [entry for entry in read_metrics(Path(job.run_dir)) if "tokens_per_second" in entry][1:]
    return {"rate": max(entry["tokens_per_second"] for entry in metrics), "mean": _mean(metrics)}


def _mean(metrics: list[dict[str, Any]]) -> float:
    return len(metrics) / sum(1 / entry["tokens_per_second"] for entry in metrics)


def bare(home: Path, steps: int) -> dict[str, float]:
    """Forward, backward, clip, step."""
    import torch

    from lifecycle.training.loss import WeightedLoss

    model, batches = _model_and_batches(home, steps)
    module = WeightedLoss(model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    began, times = time.perf_counter(), []
    for batch in batches:
        loss = module(batch.ids, batch.positions, batch.segments, batch.labels, batch.weights) / batch.weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        now = time.perf_counter()
        times.append(now - began)
        began = now
    return _rates(times)


def trainer(home: Path, steps: int) -> dict[str, float]:
    """transformers' Trainer with its own loop, loader and optimizer, on the same sequences."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    model, batches = _model_and_batches(home, steps)
    rows = [{"input_ids": ids, "labels": ids} for batch in batches for ids in batch.ids]
    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

    arguments = TrainingArguments(
        output_dir=str(home / "trainer"),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        learning_rate=1e-3,
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        use_cpu=True,
        bf16=False,
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[Clock()]).train()  # pyright: ignore
    return _rates([after - before for before, after in pairwise(marks)])


def loader(home: Path, steps: int) -> dict[str, float]:
    """Batches from random places of the whole file, and the memory that it takes to read them."""
    import numpy as np

    from lifecycle.tokens.memmap import TokenMemmap
    from lifecycle.training.batches import PackedDocuments

    data = PackedDocuments(TokenMemmap(home / "memmap"), SEQUENCE, "pretrain")
    random = np.random.default_rng(1)
    places = [random.integers(0, data.sequences, BATCH) for _ in range(steps * 20)]
    data.batch(places[0])
    early, began = _held(), time.perf_counter()
    for each in places:
        data.batch(each)
    seconds = time.perf_counter() - began
    return {
        "rate": len(places) * BATCH * SEQUENCE / seconds,
        "grew_megabytes": (_held() - early) / 1e6,
        "megabytes": _held() / 1e6,
    }


def _held() -> int:
    """Bytes of this process that are not pages of a file (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def _rates(times: list[float]) -> dict[str, float]:
    """Best ten steps in a row, as our journal reports, and the mean."""
    kept = times[WARM:]
    windows = [sum(kept[at : at + 10]) / len(kept[at : at + 10]) for at in range(0, max(1, len(kept) - 9), 10)]
    tokens = BATCH * SEQUENCE
    return {"rate": tokens / min(windows), "mean": tokens * len(kept) / sum(kept)}


PARTS = {part.__name__: part for part in (ours, bare, trainer, loader)}


def run(part: str, home: Path, steps: int) -> dict[str, float]:
    """One part in a process of its own."""
    settings = {"OMP_NUM_THREADS": "1", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    settings |= {"MASTER_PORT": "0", "DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}
    work = home / f"{part}-{time.time_ns()}"
    work.mkdir()
    for name in ("memmap", "tokenizer"):
        (work / name).symlink_to(home / name)
    command = [sys.executable, __file__, "--part", part, "--home", str(work), "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **settings})
    if done.returncode:
        sys.exit(f"{part} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(quick: bool) -> list[dict[str, Any]]:
    """The rows of the table."""
    steps, turns, tokens = (33, 1, 5 * 10**8) if quick else (103, 3, 10**10)
    with tempfile.TemporaryDirectory(prefix="train-benchmark-") as place:
        home = Path(place)
        make_inputs(home, tokens)
        found: dict[str, list[dict[str, float]]] = {"ours": [], "bare": [], "trainer": []}
        for _ in range(turns):
            for part, results in found.items():
                results.append(run(part, home, steps))
        best = {part: max(result["rate"] for result in results) for part, results in found.items()}
        reading = run("loader", home, steps)
    compared = [
        ("bare torch loop", best["ours"], best["bare"]),
        ("transformers Trainer", best["ours"], best["trainer"]),
        ("loader over step", reading["rate"], best["ours"]),
    ]
    rows: list[dict[str, Any]] = []
    for work, us, them in compared:
        rows.append(
            {"work": work, "ours": round(us, 1), "peer": round(them, 1), "ratio": round(us / them, 3), "aim": AIMS[work]}
        )
    rows[-1] |= {key: round(reading[key], 1) for key in ("grew_megabytes", "megabytes")} | {
        "file_gigabytes": tokens * 2 / 1e9
    }
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps and a smaller file, about a minute")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(PARTS[arguments.part](arguments.home, arguments.steps)))
        return
    rows = measure(arguments.quick)
    print("| against | ours, tokens/s | theirs | ratio | aim |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['work']} | {row['ours']:,.0f} | {row['peer']:,.0f} | {row['ratio']}× | {row['aim']}× |")
    last = rows[-1]
    held = f"{last['megabytes']} MB held, {last['grew_megabytes']} MB more than at first"
    print(f"loader: {last['file_gigabytes']:.0f} GB file, {held}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
