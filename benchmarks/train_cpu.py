"""Our training loop beside a bare torch loop and transformers' Trainer, and our loader beside what a step consumes. CPU.

    python benchmarks/train_cpu.py [--quick] [--json FILE]

All train the same Llama (hidden 128, 4 layers, 4,096 entries) on the same packed batches with AdamW and clipping, eager, one
thread each, in processes of their own. They take turns of some steps, in an order that is turned round each time, while the
others stand still: what else the machine does then falls on all alike. A ratio is the median of the turns' ratios; rates
are medians too. Everything between two steps counts: ours includes the loader, guards, journal and schedule.

The bare loop has our mask, our loss, our parameter groups and tensors that are ready; in bf16 it keeps float32 master
weights of its own, as ours does through ZeRO-1. The Trainer has its defaults but for logging, saving and the optimizer; it
computes less, as its documents see each other, and in bf16 it runs under autocast. The loader reads a sparse memmap of
20 GB (1 GB with --quick) as a training would, in ten stretches from its first step to its last; its memory is what its
process holds apart from the mapped file, whose pages the system takes back when it needs them. --quick leaves bf16 out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

SEQUENCE, BATCH = 256, 8
PLACES = 10
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


def job_of(home: Path, steps: int, precision: str) -> Any:
    """The job that all loops run."""
    from lifecycle.jobs import TrainingJob
    from lifecycle.recipe.training import Architecture

    training = {
        "steps": steps,
        "global_batch": BATCH,
        "sequence_length": SEQUENCE,
        "optimization": {"learning_rate": 1e-3},
        "precision": precision,
        "zero_stage": 1 if precision == "bf16" else 0,
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


class Turns:
    """A program's side of taking turns: it calls `step` before each of its steps, and stands still when it is not its turn.

    Nothing is left to be done after the last turn: the process ends there.
    """

    def __init__(self, file: int, length: int, turns: int) -> None:
        self._results, self._length, self._turns = os.fdopen(file, "w"), length, turns
        self._steps = 0
        self._began = (0.0, 0.0)

    @property
    def steps(self) -> int:
        """All that there are, and one that is begun only to end the last turn."""
        return self._length * self._turns + 1

    def step(self) -> None:
        """A step begins."""
        if self._steps % self._length == 0:
            if self._steps:
                spent = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
                self._results.write(json.dumps(spent) + "\n")
                self._results.flush()
            if self._steps == self._length * self._turns:
                os._exit(0)
            sys.stdin.readline()
            self._began = time.perf_counter(), time.process_time()
        self._steps += 1


def _model_and_batches(home: Path, steps: int) -> tuple[Any, Iterable[Any]]:
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


def ours(home: Path, turns: Turns, precision: str) -> None:
    """The causal program, whole, inside the launcher's environment."""
    from lifecycle.training import causal, loop

    step = loop.train_step

    def taking_turns(*arguments: Any) -> Any:
        turns.step()
        return step(*arguments)

    loop.train_step = taking_turns  # pyright: ignore[reportPrivateImportUsage]
    causal.main(job_of(home, turns.steps, precision))


def bare(home: Path, turns: Turns, precision: str) -> None:
    """Forward, backward, clip, step."""
    import torch

    from lifecycle.training.loss import WeightedLoss
    from lifecycle.training.model import parameter_groups

    model, batches = _model_and_batches(home, turns.steps)
    weights = list(model.parameters())
    masters = weights
    if precision == "bf16":
        masters = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        model.bfloat16()
        for name, buffer in model.named_buffers():  # rotary frequencies stay in float32, as in ours
            buffer.data = buffers[name]
    module = WeightedLoss(model).train()
    optimizer = torch.optim.AdamW(
        parameter_groups(torch.nn.ParameterList(masters), 0.1), lr=1e-3, betas=(0.9, 0.95), fused=True
    )
    for batch in batches:
        turns.step()
        loss = module(batch.ids, batch.positions, batch.segments, batch.labels, batch.weights) / batch.weights.sum()
        loss.backward()
        if precision == "bf16":
            for master, weight in zip(masters, weights, strict=True):
                master.grad, weight.grad = weight.grad.float(), None
        torch.nn.utils.clip_grad_norm_(masters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if precision == "bf16":
            with torch.no_grad():
                torch._foreach_copy_(weights, masters)


def trainer(home: Path, turns: Turns, precision: str) -> None:
    """transformers' Trainer with its own loop, loader and optimizer, on the same sequences."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    model, batches = _model_and_batches(home, turns.steps)
    rows = [{"input_ids": ids, "labels": ids} for batch in batches for ids in batch.ids]

    class TakingTurns(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            turns.step()

    arguments = TrainingArguments(
        output_dir=str(home / "trainer"),
        max_steps=turns.steps,
        per_device_train_batch_size=BATCH,
        learning_rate=1e-3,
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        use_cpu=True,
        bf16=precision == "bf16",
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[TakingTurns()]).train()  # pyright: ignore


def loader(home: Path, batches: int) -> dict[str, float]:
    """Batches of steps all over the whole file, and the memory that it takes to read them."""
    from lifecycle.tokens.memmap import TokenMemmap
    from lifecycle.training.batches import BLOCK, PackedDocuments, SampleOrder

    before = _held()
    data = PackedDocuments(TokenMemmap(home / "memmap"), SEQUENCE, "pretrain")
    order = SampleOrder(data.sequences, BATCH, 0, BLOCK)
    last = data.sequences // BATCH - batches // PLACES
    steps = [last * place // (PLACES - 1) + step for place in range(PLACES) for step in range(batches // PLACES)]
    data.batch(order.global_step(steps[0]))
    early, began = _held(), time.perf_counter()
    for step in steps:
        data.batch(order.global_step(step))
    seconds = time.perf_counter() - began
    return {
        "rate": len(steps) * BATCH * SEQUENCE / seconds,
        "opening_megabytes": (early - before) / 1e6,
        "reading_megabytes": (_held() - early) / 1e6,
    }


def _held() -> int:
    """Bytes of this process that are not pages of a file (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


PARTS = {part.__name__: part for part in (ours, bare, trainer)}


@dataclass(frozen=True)
class Shares:
    """What each program spent in each turn: seconds on the clock, and seconds of the processor."""

    clock: dict[str, list[float]]
    processor: dict[str, list[float]]

    def rate(self, part: str, tokens: int) -> float:
        """Tokens per second of the middle turn."""
        return tokens / median(self.clock[part])

    def ratio(self, part: str, peer: str, of: str = "clock") -> float:
        """How much faster `part` is than `peer`: the median over the turns."""
        spent: dict[str, list[float]] = getattr(self, of)
        return median(theirs / own for own, theirs in zip(spent[part], spent[peer], strict=True))


def take_turns(home: Path, precision: str, length: int, turns: int) -> Shares:
    """Run all programs side by side, one at a time; the first turn, which warms up, does not count."""
    names = list(PARTS)
    clock: dict[str, list[float]] = {name: [] for name in names}
    processor: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        running = {}
        for name in names:
            results, file = os.pipe()
            process = stack.enter_context(_start(name, home, precision, file, length, turns))
            stack.callback(process.kill)
            os.close(file)
            running[name] = process, stack.enter_context(os.fdopen(results))
        for turn in range(turns):
            for name in names if turn % 2 else reversed(names):
                process, results = running[name]
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
                line = results.readline()
                if not line:
                    sys.exit(f"{name} failed:\n{(home / f'{name}-{precision}' / 'stderr').read_text()[-3000:]}")
                if turn:
                    seconds, busy = json.loads(line)
                    clock[name].append(seconds)
                    processor[name].append(busy)
    return Shares(clock, processor)


def _start(name: str, home: Path, precision: str, file: int, length: int, turns: int) -> "subprocess.Popen[str]":
    work = home / f"{name}-{precision}"
    work.mkdir()
    for shared in ("memmap", "tokenizer"):
        (work / shared).symlink_to(home / shared)
    command = [sys.executable, __file__, "--part", name, "--home", str(work), "--precision", precision]
    command += ["--turns", f"{file},{length},{turns}"]
    with (work / "stderr").open("w") as errors:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            text=True,
            pass_fds=[file],
            env={**os.environ, **ALONE},
        )


ALONE = {
    "OMP_NUM_THREADS": "1",
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "0",
    "DS_ACCELERATOR": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "TOKENIZERS_PARALLELISM": "false",
}


def measure(quick: bool) -> list[dict[str, Any]]:
    """The rows of the table."""
    length, turns, tokens = (4, 4, 5 * 10**8) if quick else (8, 9, 10**10)
    per_turn = length * BATCH * SEQUENCE
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="train-benchmark-") as place:
        home = Path(place)
        make_inputs(home, tokens)
        for precision in ("fp32",) if quick else ("bf16", "fp32"):
            found = take_turns(home, precision, length, turns)
            for peer, name in (("bare", "bare torch loop"), ("trainer", "transformers Trainer")):
                row = {
                    "work": f"{name}, {precision}",
                    "ours": found.rate("ours", per_turn),
                    "peer": found.rate(peer, per_turn),
                    "ratio": found.ratio("ours", peer),
                }
                rows.append(row | {"ratio_of_processor_time": found.ratio("ours", peer, "processor"), "aim": AIMS[name]})
        reading = _apart("loader", home, 200 if quick else 2000)
        step = found.rate("ours", per_turn)
    row = {"work": "loader over step", "ours": reading["rate"], "peer": step, "ratio": reading["rate"] / step}
    rows.append(row | reading | {"aim": AIMS["loader over step"], "file_gigabytes": tokens * 2 / 1e9})
    return [{name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()} for row in rows]


def _apart(part: str, home: Path, count: int) -> dict[str, float]:
    """The loader in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--home", str(home), "--batches", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ALONE})
    if done.returncode:
        sys.exit(f"{part} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps, float32 alone and a smaller file: under a minute")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    for hidden in ("--part", "--precision", "--turns"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--batches", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part == "loader":
        print(json.dumps(loader(arguments.home, arguments.batches)))
        return
    if arguments.part:
        turns = Turns(*map(int, arguments.turns.split(",")))
        PARTS[arguments.part](arguments.home, turns, arguments.precision)
        return
    rows = measure(arguments.quick)
    print("| against | ours, tokens/s | theirs | ratio | of processor time | aim |\n|---|---|---|---|---|---|")
    for row in rows:
        busy = f"{row['ratio_of_processor_time']}×" if "ratio_of_processor_time" in row else ""
        print(f"| {row['work']} | {row['ours']:,.0f} | {row['peer']:,.0f} | {row['ratio']}× | {busy} | {row['aim']}× |")
    last = rows[-1]
    held = f"{last['opening_megabytes']} MB to open it, {last['reading_megabytes']} MB more after all reads"
    print(f"loader: {last['file_gigabytes']:.0f} GB file, {held}; load average {os.getloadavg()[0]:.1f} at the end")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
