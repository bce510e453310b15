"""The sampling program: several answers per prompt from one model.

Run it through `lifecycle.training.launch`. Inputs: `model` and `prompts` (a directory with `prompts.parquet`:
id, prompt as a message list); config: `SamplingConfig`. Writes `candidates.parquet` (id, candidate, answer, tokens,
finished) to the output, ordered as the prompts are. Finished chunks are kept under `run_dir`, so a killed run goes on
where it was; a chunk is used again only for the same job, settings and prompts.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.digests import digest_file, digest_json
from lifecycle.jobs import TrainingJob
from lifecycle.preferences.generate import generate_answers
from lifecycle.pretrained import load_for_inference
from lifecycle.recipe.base import Section
from lifecycle.training.journal import Journal

CANDIDATES = "candidates.parquet"
PROMPTS = "prompts.parquet"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("candidate", pa.int32()),
        ("answer", pa.string()),
        ("tokens", pa.int32()),
        ("finished", pa.bool_()),
    ]
)


class SamplingConfig(Section):
    """How answers are drawn; `batch` and `chunk` (prompts per kept file) do not change them."""

    candidates: int
    temperature: float
    max_new_tokens: int
    seed: int
    batch: int
    chunk: int = 128


def main(job: TrainingJob) -> None:
    """Draw the answers and write `candidates.parquet` and `result.json` (prompts, answers, tokens per second)."""
    config = SamplingConfig.model_validate(job.config)
    prompts_file = Path(job.inputs["prompts"]) / PROMPTS
    prompts = pq.read_table(prompts_file).to_pylist()
    settings = config.model_dump(exclude={"batch"})
    key = digest_json({"job": job.fingerprint, "settings": settings, "prompts": digest_file(prompts_file)})[:16]
    directory = Path(job.run_dir) / "chunks" / key
    directory.mkdir(parents=True, exist_ok=True)
    begins = range(0, len(prompts), config.chunk)
    missing = [begin for begin in begins if not _chunk(directory, begin).exists()]
    journal = Journal(Path(job.run_dir))
    journal.message(f"{len(missing)} of {len(begins)} chunks of {config.chunk} prompts are still to be sampled")
    started = time.monotonic()
    tokens = _sample(missing, prompts, config, Path(job.inputs["model"]), directory, journal) if missing else 0
    seconds = time.monotonic() - started
    output = Path(job.output)
    output.mkdir(parents=True, exist_ok=True)
    parts = [pq.read_table(_chunk(directory, begin)) for begin in begins]
    table = pa.concat_tables(parts) if parts else SCHEMA.empty_table()
    pq.write_table(table, output / CANDIDATES, compression="zstd")
    result = {"rows": table.num_rows, "prompts": len(prompts), "seconds": round(seconds, 3)}
    if tokens:
        result["tokens_per_second"] = round(tokens / seconds, 1)
    (Path(job.run_dir) / "result.json").write_bytes(orjson.dumps(result))


def _sample(
    begins: list[int],
    prompts: list[dict[str, Any]],
    config: SamplingConfig,
    model_directory: Path,
    directory: Path,
    journal: Journal,
) -> int:
    """Sample the chunks that begin at `begins`; returns the number of tokens generated."""
    model, tokenizer = load_for_inference(model_directory)
    tokens, started = 0, time.monotonic()
    for begin in begins:
        chunk = prompts[begin : begin + config.chunk]
        answers = generate_answers(
            model,
            tokenizer,
            [row["prompt"] for row in chunk],
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            candidates=config.candidates,
            batch=config.batch,
            seed=config.seed,
            keys=range(begin, begin + len(chunk)),
        )
        rows = [
            {
                "id": row["id"],
                "candidate": number,
                "answer": answer.text,
                "tokens": answer.tokens,
                "finished": answer.finished,
            }
            for row, drawn in zip(chunk, answers, strict=True)
            for number, answer in enumerate(drawn)
        ]
        temporary = directory / f"{begin:08d}.tmp"
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), temporary)
        os.replace(temporary, _chunk(directory, begin))
        tokens += sum(answer.tokens for drawn in answers for answer in drawn)
        rate = tokens / (time.monotonic() - started)
        journal.message(f"{begin + len(chunk)} of {len(prompts)} prompts sampled, {rate:,.0f} tokens/s")
    return tokens


def _chunk(directory: Path, begin: int) -> Path:
    return directory / f"{begin:08d}.parquet"


if __name__ == "__main__":
    main(TrainingJob.read(sys.argv[1]))
