"""The sampling program: a killed run goes on, and what it kept is used for nothing else."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lifecycle.preferences.judge import PROMPT_SCHEMA

from lifecycle.jobs import TrainingJob
from lifecycle.preferences.sample import main


def sampling_job(root: Path, model: Path, prompts: int = 10, **changes: object) -> TrainingJob:
    (root / "prompts").mkdir(parents=True, exist_ok=True)
    rows = [{"id": f"p{i}", "prompt": [{"role": "user", "content": "what " * (i % 4 + 1) + str(i)}]} for i in range(prompts)]
    pq.write_table(pa.Table.from_pylist(rows, schema=PROMPT_SCHEMA), root / "prompts" / "prompts.parquet")
    config = {"candidates": 2, "temperature": 1.0, "max_new_tokens": 6, "seed": 1, "batch": 8, "chunk": 4}
    return TrainingJob(
        stage="preference_pairs",
        fingerprint="a" * 32,
        program="lifecycle.preferences.sample",
        config={**config, **changes},
        inputs={"model": str(model), "prompts": str(root / "prompts")},
        output=str(root / "out"),
        run_dir=str(root / "run"),
    )


def candidates(job: TrainingJob) -> list[dict]:
    return pq.read_table(Path(job.output) / "candidates.parquet").to_pylist()


def chunks(job: TrainingJob) -> list[Path]:
    return sorted(Path(job.run_dir).glob("chunks/*/*.parquet"))


def test_every_prompt_gets_its_answers_in_order(tmp_path: Path, model_directory: Path):
    job = sampling_job(tmp_path, model_directory)
    main(job)
    assert [(row["id"], row["candidate"]) for row in candidates(job)] == [(f"p{i}", c) for i in range(10) for c in range(2)]


def test_a_killed_run_reuses_its_finished_chunks(tmp_path: Path, model_directory: Path):
    """One chunk is missing and one half-written, as SIGKILL leaves them: only what is missing is sampled again."""
    job = sampling_job(tmp_path, model_directory)
    main(job)
    whole = candidates(job)
    kept = chunks(job)
    assert len(kept) == 3
    before = kept[0].stat().st_mtime_ns
    kept[1].unlink()
    kept[1].with_suffix(".tmp").write_bytes(b"PAR1 half")
    main(job)
    assert candidates(job) == whole
    assert kept[0].stat().st_mtime_ns == before


@pytest.mark.parametrize(("changes", "same"), [({"seed": 2}, False), ({"batch": 2}, True), ({"chunk": 3}, True)])
def test_chunks_serve_only_the_same_settings(tmp_path: Path, model_directory: Path, changes, same):
    """A cache keyed too loosely would hand out the answers of another seed; batch and chunk size change nothing."""
    first = sampling_job(tmp_path, model_directory)
    main(first)
    answers = candidates(first)
    again = sampling_job(tmp_path, model_directory, **changes)
    main(again)
    assert (candidates(again) == answers) is same
