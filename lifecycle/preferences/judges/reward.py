"""The reward-model judge, and the program that runs the model.

Run the program through `lifecycle.training.launch`. Inputs: `model` (a sequence classifier with one output), `answers` (a
directory with `answers.parquet`: key, prompt as a message list, answer) and `kept` (rewards of this model, by key); config:
`RewardConfig`. Writes `rewards.parquet` (key, reward: null where prompt and answer are too long) to the output.
"""

import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.digests import digest_json
from lifecycle.jobs import TrainingJob
from lifecycle.preferences.asked import Asked, Judgement, Scores
from lifecycle.preferences.kept import KEY, KeptRows
from lifecycle.preferences.table import PROMPT
from lifecycle.recipe.base import Section
from lifecycle.recipe.preferences import RewardJudge

ANSWERS, REWARDS = "answers.parquet", "rewards.parquet"
ANSWERS_SCHEMA = pa.schema([(KEY, pa.string()), ("prompt", PROMPT), ("answer", pa.string())])
SCHEMA = pa.schema([(KEY, pa.string()), ("reward", pa.float64())])
CHUNK = 512

Rewarding = Callable[[list[dict[str, Any]]], dict[str, float | None]]
"""Rewards by key, of rows of `ANSWERS_SCHEMA`."""


class RewardConfig(Section):
    """How the model reads; `batch` does not change its rewards beyond rounding."""

    max_length: int
    batch: int


def judge_by_reward(asked: Sequence[Asked], config: RewardJudge, rewarding: Rewarding) -> Judgement:
    """The probability that an answer beats another candidate, by Bradley and Terry (1952): the mean of sigmoid(r - r').

    An answer that is too long, or whose reward is not finite, has no score, and is no opponent.
    """
    rows = {}
    for one in asked:
        prompt = [{"role": message.role, "content": message.content} for message in one.prompt]
        for each in one.candidates:
            rows[_key(prompt, each.answer.text)] = {"prompt": prompt, "answer": each.answer.text}
    rewards = rewarding([{KEY: key, **row} for key, row in rows.items()])
    scores: Scores = []
    missing = 0
    for one in asked:
        prompt = [{"role": message.role, "content": message.content} for message in one.prompt]
        given = [rewards[_key(prompt, each.answer.text)] for each in one.candidates]
        missing += given.count(None)
        scores.append(win_probabilities(given))
    known = [reward for reward in rewards.values() if reward is not None]
    mean = sum(known) / len(known) if known else None
    return Judgement("reward_model", config.weight, scores, {"no_verdict": missing, "mean_reward": mean})


def win_probabilities(rewards: Sequence[float | None]) -> list[float | None]:
    """Of each answer against the others of one prompt; None for one without a reward, and for a single one."""
    scores: list[float | None] = []
    for place, reward in enumerate(rewards):
        others = [other for number, other in enumerate(rewards) if other is not None and number != place]
        if reward is None or not others:
            scores.append(None)
            continue
        scores.append(sum(0.5 * (1 + math.tanh((reward - other) / 2)) for other in others) / len(others))
    return scores


def _key(prompt: list[dict[str, str]], answer: str) -> str:
    return digest_json([prompt, answer])


def main(job: TrainingJob) -> None:
    """Score the answers and write `rewards.parquet` and `result.json` (answers, kept ones, seconds)."""
    from lifecycle.preferences.rewards import load_reward_model, rewards_of
    from lifecycle.training.journal import Journal

    config = RewardConfig.model_validate(job.config)
    rows = pq.read_table(Path(job.inputs["answers"]) / ANSWERS).to_pylist()
    kept = KeptRows(Path(job.inputs["kept"]), SCHEMA)
    known = kept.read()
    missing = [row for row in rows if row[KEY] not in known]
    journal, started = Journal(Path(job.run_dir)), time.monotonic()
    journal.message(f"{len(missing)} of {len(rows)} answers are still to be scored")
    if missing:
        model, tokenizer = load_reward_model(Path(job.inputs["model"]))
        missing.sort(key=lambda row: (len(row["answer"]) + sum(len(each["content"]) for each in row["prompt"]), row[KEY]))
        for begin in range(0, len(missing), CHUNK):
            chunk = missing[begin : begin + CHUNK]
            given = rewards_of(model, tokenizer, chunk, config.max_length, config.batch)
            kept.add([{KEY: row[KEY], "reward": reward} for row, reward in zip(chunk, given, strict=True)])
            journal.message(f"{begin + len(chunk)} of {len(missing)} answers scored")
    known = kept.read()
    output = Path(job.output)
    output.mkdir(parents=True, exist_ok=True)
    scored = [known[row[KEY]][0] for row in rows]
    pq.write_table(pa.Table.from_pylist(scored, schema=SCHEMA), output / REWARDS, compression="zstd")
    facts = {"rows": len(rows), "kept": len(rows) - len(missing), "seconds": round(time.monotonic() - started, 3)}
    (Path(job.run_dir) / "result.json").write_bytes(orjson.dumps(facts))


if __name__ == "__main__":
    main(TrainingJob.read(sys.argv[1]))
