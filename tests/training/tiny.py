"""A tiny tokenizer, memmaps and jobs, made in a second, for the tests of this room."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from lifecycle.jobs import TrainingJob
from lifecycle.recipe.training import Architecture
from lifecycle.tokens.memmap import MemmapFormat, MemmapWriter
from lifecycle.tokens.tokenizer import tokenizer_digest

VOCAB = 320
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}\n{% endfor %}"
)
ARCHITECTURE = Architecture(hidden_size=32, layers=2, heads=2, kv_heads=1, intermediate_size=64, max_positions=128)


def make_tokenizer(directory: Path) -> Path:
    """A byte-level BPE of 320 entries, saved as the tokens room saves one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    words = [f"{a}{b}{c} " for a in "abcdefgh" for b in "aeiou" for c in "lmnrst"]
    tokenizer.train_from_iterator(["".join(words)] * 3, trainer)
    assert tokenizer.get_vocab_size() == VOCAB
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(str(directory))
    return directory


def make_memmap(
    directory: Path,
    tokenizer: Path,
    documents: int = 120,
    masked: bool = False,
    zero: range = range(0),
    vocab: int = VOCAB,
    seed: int = 7,
    tasks: tuple[str, ...] = (),
) -> Path:
    """Documents of 5 to 39 tokens that count upwards (learnable); those in `zero` have an empty loss mask.

    With tasks they take turns; the second task counts by two, and so on.
    """
    random = np.random.default_rng(seed)
    lengths = random.integers(5, 40, documents)
    known = MemmapFormat(
        dtype="uint16",
        vocab_size=vocab,
        tokenizer_digest=tokenizer_digest(tokenizer),
        template="chatml",
        eos_token_id=2,
        pad_token_id=0,
    )
    with MemmapWriter(directory, known, masked=masked, tasks=tasks) as writer:
        for number, length in enumerate(lengths):
            task = number % max(1, len(tasks))
            ids = ((task + 1) * np.arange(length) + random.integers(3, vocab)) % (vocab - 3) + 3
            ids[-1] = 0
            mask = None
            if masked:
                mask = np.zeros(length, dtype=np.uint8)
                if number not in zero:
                    mask[length // 2 :] = 1
            labels = {"task": np.array([task])} if tasks else {}
            writer.append(ids, np.array([length]), mask, **labels)
    return directory


def make_job(
    home: Path, inputs: dict[str, Path], kind: str = "pretrain", architecture: bool = True, **training: Any
) -> TrainingJob:
    """A causal job under `home` with small settings, changed by `training`."""
    settings: dict[str, Any] = {
        "steps": 8,
        "global_batch": 4,
        "sequence_length": 64,
        "optimization": {"learning_rate": 1e-2, "warmup_steps": 2},
        "processes": 1,
        "micro_batch": 2,
        "checkpoint_every": 3,
        "log_every": 1,
    } | training
    (home / "out").mkdir(parents=True, exist_ok=True)
    return TrainingJob(
        stage="base_model",
        fingerprint="f" * 32,
        program="lifecycle.training.causal",
        config={"kind": kind, "training": settings, "architecture": ARCHITECTURE.model_dump() if architecture else None},
        inputs={name: str(path) for name, path in inputs.items()},
        output=str(home / "out"),
        run_dir=str(home / "run"),
        processes=settings["processes"],
    )


def launch(job: TrainingJob, **variables: str) -> subprocess.Popen[str]:
    """Start the launcher on a job, one thread per rank, with more `variables` in its environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "lifecycle.training.launch", str(job.write())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )
