"""The sampling program: several answers per prompt from one model.

Run it through `lifecycle.training.launch`. Inputs: `model`, `prompts` (a directory with `prompts.parquet`: key, prompt as
a message list) and `kept` (answers of this model with these settings, by prompt); config: `SamplingConfig`. Each process
answers its portion of the prompts and keeps the answers chunk by chunk, where `read_candidates` finds those of all: a killed
run goes on where it was, and a prompt that is added costs itself.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.errors import CorruptArtifactError
from lifecycle.jobs import TrainingJob
from lifecycle.portions import Portion
from lifecycle.preferences.generate import generate_answers, prompt_ids
from lifecycle.preferences.kept import KEY, KeptRows
from lifecycle.preferences.table import PROMPT, Answer
from lifecycle.pretrained import load_for_inference, load_tokenizer
from lifecycle.recipe.base import Section
from lifecycle.training.journal import Journal

PROMPTS = "prompts.parquet"
PROMPTS_SCHEMA = pa.schema([(KEY, pa.string()), ("prompt", PROMPT)])
SCHEMA = pa.schema(
    [
        (KEY, pa.string()),
        ("candidate", pa.int32()),
        ("answer", pa.string()),
        ("tokens", pa.int32()),
        ("finished", pa.bool_()),
    ]
)
Answering = Callable[[Sequence[Any], Sequence[int]], list[list[Answer]]]
"""Answers to prompts (message lists), whose keys decide their noise."""


class SamplingConfig(Section):
    """How answers are drawn; `batch` and `chunk` (prompts per kept file) do not change them."""

    temperatures: tuple[float, ...]
    max_new_tokens: int
    seed: int
    engine: Literal["transformers", "vllm"] = "transformers"
    batch: int
    chunk: int = 128


def main(job: TrainingJob) -> None:
    """Draw this process's answers; the first process writes `result.json` (prompts, kept ones, its tokens per second)."""
    portion = Portion.own()
    config = SamplingConfig.model_validate(job.config)
    prompts = {row[KEY]: row["prompt"] for row in pq.read_table(Path(job.inputs["prompts"]) / PROMPTS).to_pylist()}
    kept = KeptRows(Path(job.inputs["kept"]), SCHEMA)
    known = kept.read()
    missing = [key for key in portion.of(list(prompts)) if key not in known]
    journal = Journal(Path(job.run_dir)) if portion.rank == 0 else None
    if journal:
        unanswered = sum(key not in known for key in prompts)
        journal.message(f"{unanswered} of {len(prompts)} prompts are still to be answered, by {portion.world} process(es)")
    started = time.monotonic()
    tokens = _sample(missing, prompts, config, Path(job.inputs["model"]), kept, journal) if missing else 0
    seconds = time.monotonic() - started
    if portion.rank == 0:
        result = {"prompts": len(prompts), "kept": sum(key in known for key in prompts), "seconds": round(seconds, 3)}
        if tokens:
            result["tokens_per_second_per_process"] = round(tokens / seconds, 1)
        (Path(job.run_dir) / "result.json").write_bytes(orjson.dumps(result))


def read_candidates(keys: Sequence[str], kept: Path) -> list[dict[str, Any]]:
    """The answers to the prompts of these keys (key, candidate, answer, tokens, finished), in their order.

    Raises:
        CorruptArtifactError: one was not answered, or its answers are damaged.
    """
    known = KeptRows(kept, SCHEMA).read()
    lost = [key for key in keys if key not in known]
    if lost:
        raise CorruptArtifactError(f"{kept}: no answers to {len(lost)} prompts, {lost[0]} among them; materialize again")
    return [row for key in keys for row in known[key]]


def _sample(
    keys: list[str], prompts: dict[str, Any], config: SamplingConfig, model: Path, kept: KeptRows, journal: Journal | None
) -> int:
    """Answer the prompts of `keys`; returns the number of tokens generated."""
    answering = _engine(config, model)
    # Prompts of a length side by side; the order does not depend on which of them were answered by an earlier run.
    order = sorted(keys, key=lambda key: (sum(len(message["content"]) for message in prompts[key]), key))
    tokens, started = 0, time.monotonic()
    for begin in range(0, len(order), config.chunk):
        chunk = order[begin : begin + config.chunk]
        drawn = answering([prompts[key] for key in chunk], [int(key[:16], 16) for key in chunk])
        rows = [
            {KEY: key, "candidate": number, "answer": each.text, "tokens": each.tokens, "finished": each.finished}
            for key, answers in zip(chunk, drawn, strict=True)
            for number, each in enumerate(answers)
        ]
        kept.add(rows)
        tokens += sum(row["tokens"] for row in rows)
        if journal:
            rate = tokens / (time.monotonic() - started)
            journal.message(f"{begin + len(chunk)} of {len(order)} prompts answered here, {rate:,.0f} tokens/s")
    return tokens


def _engine(config: SamplingConfig, directory: Path) -> Answering:
    """One interface over both engines."""
    settings = {"temperatures": config.temperatures, "max_new_tokens": config.max_new_tokens, "seed": config.seed}
    if config.engine == "vllm":
        from transformers import AutoConfig

        from lifecycle.preferences import vllm_engine

        tokenizer, engine = load_tokenizer(directory), vllm_engine.load(directory)
        shape = AutoConfig.from_pretrained(str(directory), local_files_only=True)

        def by_vllm(prompts: Sequence[Any], keys: Sequence[int]) -> list[list[Answer]]:
            ids = prompt_ids(shape, tokenizer, prompts, config.max_new_tokens)
            return vllm_engine.answers(engine, tokenizer, ids, keys, **settings)

        return by_vllm
    model, tokenizer = load_for_inference(directory)
    return lambda prompts, keys: generate_answers(model, tokenizer, prompts, keys=keys, batch=config.batch, **settings)


if __name__ == "__main__":
    main(TrainingJob.read(sys.argv[1]))
