"""The sampling program: a killed run goes on, a prompt that is added costs itself, and answers serve nothing else."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.digests import digest_json
from lifecycle.errors import CorruptArtifactError
from lifecycle.instructions.conversations import Conversation, Message
from lifecycle.jobs import ModelFolder, TrainingJob
from lifecycle.preferences import sample
from lifecycle.preferences.kept import KeptRows
from lifecycle.preferences.sample import main, read_candidates
from lifecycle.preferences.sampling import Programs, ask
from lifecycle.recipe.preferences import PreferencesConfig

CONFIG = {"temperatures": [1.0, 0.5], "max_new_tokens": 6, "seed": 1, "batch": 8, "chunk": 4}


def sampling_job(root: Path, model: Path, prompts: int = 10, kept: str = "kept", **changes: object) -> TrainingJob:
    (root / "prompts").mkdir(parents=True, exist_ok=True)
    asked = [[{"role": "user", "content": "what " * (i % 4 + 1) + str(i)}] for i in range(prompts)]
    rows = [{"key": digest_json(prompt), "prompt": prompt} for prompt in asked]
    pq.write_table(pa.Table.from_pylist(rows, schema=sample.PROMPTS_SCHEMA), root / "prompts" / sample.PROMPTS)
    return TrainingJob(
        stage="preference_pairs",
        fingerprint="a" * 32,
        program="lifecycle.preferences.sample",
        config={**CONFIG, **changes},
        inputs={"model": str(model), "prompts": str(root / "prompts"), "kept": str(root / kept)},
        output=str(root / "out"),
        run_dir=str(root / "run"),
    )


def candidates(job: TrainingJob) -> list[dict]:
    keys = pq.read_table(Path(job.inputs["prompts"]) / sample.PROMPTS)["key"].to_pylist()
    return read_candidates(keys, Path(job.inputs["kept"]))


def files(job: TrainingJob) -> list[Path]:
    return sorted(Path(job.inputs["kept"]).glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)


def result(job: TrainingJob) -> dict[str, Any]:
    return json.loads((Path(job.run_dir) / "result.json").read_text())


def test_a_prompt_that_is_added_costs_itself(tmp_path: Path, model_directory: Path) -> None:
    """Answers were once drawn by a prompt's number among all: one more prompt changed those of all behind it."""
    fewer = sampling_job(tmp_path, model_directory, prompts=9)
    main(fewer)
    before = candidates(fewer)
    job = sampling_job(tmp_path, model_directory)
    main(job)
    assert candidates(job)[:18] == before
    assert [row["candidate"] for row in candidates(job)] == [0, 1] * 10
    assert result(job)["kept"] == 9
    assert result(job)["tokens_per_second_per_process"] > 0
    assert pq.read_table(files(job)[-1]).num_rows == 2


def test_what_is_lost_or_damaged_is_answered_again_and_the_same(tmp_path: Path, model_directory: Path) -> None:
    job = sampling_job(tmp_path, model_directory)
    main(job)
    whole, kept = candidates(job), files(job)
    assert len(kept) == 3
    kept[0].unlink()
    kept[1].write_bytes(kept[1].read_bytes()[:100])
    (Path(job.inputs["kept"]) / ".half.tmp").write_bytes(b"PAR1 half")
    main(job)
    assert candidates(job) == whole
    assert result(job)["kept"] == 2


def test_a_killed_program_goes_on_where_it_was(tmp_path: Path, model_directory: Path) -> None:
    """SIGKILL after the first kept chunk; the same command then gives the bytes of a run that nobody disturbed."""
    quiet = sampling_job(tmp_path / "quiet", model_directory, prompts=24, chunk=2)
    main(quiet)
    job = sampling_job(tmp_path / "killed", model_directory, prompts=24, chunk=2)
    command = [sys.executable, "-m", job.program, str(job.write())]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while not files(job) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = sum(pq.read_table(path).num_rows for path in files(job))
    assert done
    main(job)
    assert candidates(job) == candidates(quiet)
    assert result(job)["kept"] == done // 2


def test_processes_that_share_the_prompts_give_the_answers_of_one(
    tmp_path: Path, model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster every pod answers a portion; one that fails leaves its prompts unanswered, which must not go unseen."""
    alone, shared = sampling_job(tmp_path, model_directory), sampling_job(tmp_path, model_directory, kept="shared")
    main(alone)
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in ("2", "0"):
        monkeypatch.setenv("RANK", rank)
        main(shared)
    with pytest.raises(CorruptArtifactError, match="no answers to 3 prompts"):
        candidates(shared)
    monkeypatch.setenv("RANK", "1")
    main(shared)
    assert candidates(shared) == candidates(alone)


@pytest.mark.parametrize(("changes", "same"), [({"batch": 2}, True), ({"chunk": 3}, True), ({"seed": 2}, False)])
def test_batch_and_chunk_change_nothing(tmp_path: Path, model_directory: Path, changes: dict, same: bool) -> None:
    first, again = sampling_job(tmp_path, model_directory), sampling_job(tmp_path, model_directory, kept="other", **changes)
    main(first)
    answers = candidates(first)
    main(again)
    assert (candidates(again) == answers) is same


def test_every_model_and_setting_has_answers_of_its_own(tmp_path: Path) -> None:
    """A cache keyed too loosely would hand out the answers of another model, seed or temperature."""
    jobs: list[TrainingJob] = []

    def launch(job: TrainingJob) -> dict[str, Any]:
        jobs.append(job)
        rows = [
            {"key": row["key"], "candidate": number, "answer": job.inputs["model"], "tokens": 1, "finished": True}
            for row in pq.read_table(Path(job.inputs["prompts"]) / sample.PROMPTS).to_pylist()
            for number in range(len(job.config["temperatures"]))
        ]
        KeptRows(Path(job.inputs["kept"]), sample.SCHEMA).add(rows)
        return {}

    turns = (Message(role="user", content="What?"), Message(role="assistant", content="This."))
    one = Conversation(id="c", source="s", task="t", group="g", messages=turns, document_id="d")
    models = {"sft": ModelFolder(Path("/a"), "digest a"), "big": ModelFolder(Path("/b"), "digest b")}
    programs = Programs(launch, tmp_path / "run", "f" * 32, tmp_path / "cache")
    config = PreferencesConfig(candidates=3, temperatures=(0.7, 1.2))
    (asked,), _ = ask([one], models, config, programs)
    assert [(each.model, each.number, each.temperature) for each in asked.candidates] == [
        *(("sft", number, temperature) for number, temperature in enumerate((0.7, 1.2, 0.7))),
        *(("big", number, temperature) for number, temperature in enumerate((0.7, 1.2, 0.7))),
    ]
    assert {each.answer.text for each in asked.candidates if each.model == "big"} == {"/b"}
    for changes in ({"seed": 5}, {"max_new_tokens": 9}, {"temperatures": (1.0,)}, {"batch": 1}):
        ask([one], models, config.model_copy(update=changes), programs)
    kept = [job.inputs["kept"] for job in jobs]
    assert len(set(kept)) == 2 * 4, "batch alone does not count"
    assert len({job.fingerprint for job in jobs}) == 2, "launchers name jobs by their fingerprint"


def test_two_writers_keep_all_rows(tmp_path: Path) -> None:
    one, other = KeptRows(tmp_path, sample.SCHEMA), KeptRows(tmp_path, sample.SCHEMA)
    row = {"candidate": 0, "answer": "a", "tokens": 1, "finished": True}
    one.add([{"key": "x", **row}])
    other.add([{"key": "x", **row}, {"key": "y", **row}])
    assert {key: len(rows) for key, rows in one.read().items()} == {"x": 1, "y": 1}
