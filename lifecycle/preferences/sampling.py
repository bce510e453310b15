"""Prompts to several models through the sampling program, and answers to the reward model's, by the one launcher."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.digests import digest_json
from lifecycle.instructions.conversations import Conversation
from lifecycle.jobs import ModelFolder, TrainingJob
from lifecycle.preferences import sample
from lifecycle.preferences.asked import Asked, Candidate
from lifecycle.preferences.judges import reward
from lifecycle.preferences.kept import KEY
from lifecycle.preferences.table import Answer
from lifecycle.recipe.preferences import PreferencesConfig, RewardJudge

VERSION = 1
"""Raised when the same model, prompt and settings give other answers or rewards."""
STAGE = "preference_pairs"


def folders(config: PreferencesConfig, digests: Mapping[str, str]) -> dict[str, ModelFolder]:
    """The models that the recipe names by a path, by their names; the reward model is `reward_model`.

    Args:
        digests: of their content, by the names of `config.files_read()`.
    """
    found = {}
    for each in config.files_read():
        path = Path(os.path.expanduser(os.path.expandvars(each.path)))
        found[each.name.rsplit(".", 1)[-1]] = ModelFolder(path, digests[each.name])
    return found


@dataclass(frozen=True)
class Programs:
    """Where and how the programs of one stage run."""

    launch: Callable[[TrainingJob], dict[str, Any]]
    run_dir: Path
    fingerprint: str
    cache: Path
    """What models answered, by their digests; it serves every recipe and every run."""

    def kept(self, kind: str, by: Any) -> Path:
        """Where the results of one kind lie that `by` decides, the rows themselves apart."""
        return self.cache / kind / digest_json([VERSION, by])[:32]

    def run(
        self,
        name: str,
        program: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, Path],
        kept: Path,
        processes: int = 1,
    ) -> tuple[Path, dict[str, Any]]:
        """Run one program; returns the directory of its output and its figures.

        Args:
            name: of the program's own directories; each has a fingerprint of its own, which launchers name jobs by.
        """
        directory = self.run_dir / name
        kept.mkdir(parents=True, exist_ok=True)
        job = TrainingJob(
            stage=STAGE,
            fingerprint=digest_json([self.fingerprint, name])[:32],
            program=program,
            config=dict(settings),
            inputs={**{key: str(path) for key, path in inputs.items()}, "kept": str(kept)},
            output=str(directory / "output"),
            run_dir=str(directory),
            processes=processes,
        )
        return Path(job.output), self.launch(job)


def ask(
    conversations: Sequence[Conversation], models: Mapping[str, ModelFolder], config: PreferencesConfig, programs: Programs
) -> tuple[list[Asked], dict[str, Any]]:
    """Every conversation's question with the answers of all models, and the figures of the sampling by model."""
    if not conversations:
        return [], {}
    prompts = {each.id: each.chat()[:-1] for each in conversations}
    keys = {id: digest_json(prompt) for id, prompt in prompts.items()}
    temperatures = config.candidate_temperatures()
    settings = {
        "temperatures": list(temperatures),
        "max_new_tokens": config.max_new_tokens,
        "seed": config.seed,
        "engine": config.engine,
    }
    answers: dict[str, list[Candidate]] = {key: [] for key in keys.values()}
    figures: dict[str, Any] = {}
    for name, model in models.items():
        directory = programs.run_dir / f"sampling_{name}" / "prompts"
        directory.mkdir(parents=True, exist_ok=True)
        rows = [{KEY: key, "prompt": prompts[id]} for id, key in keys.items()]
        pq.write_table(pa.Table.from_pylist(rows, schema=sample.PROMPTS_SCHEMA), directory / sample.PROMPTS)
        kept = programs.kept("sampling", {"model": model.digest, **settings})
        _, figures[name] = programs.run(
            f"sampling_{name}",
            "lifecycle.preferences.sample",
            settings | {"batch": config.batch},
            {"model": model.path, "prompts": directory},
            kept,
            config.processes,
        )
        for row in sample.read_candidates(list(answers), kept):
            answer = Answer(row["answer"], row["tokens"], row["finished"])
            number = row["candidate"]
            answers[row[KEY]].append(Candidate(name, number, temperatures[number], answer))
    return [_asked(each, tuple(answers[keys[each.id]])) for each in conversations], figures


def rewarding(config: RewardJudge, model: ModelFolder, programs: Programs) -> reward.Rewarding:
    """The reward model of a judge, as a function of answers."""

    def rewards(rows: list[dict[str, Any]]) -> dict[str, float | None]:
        directory = programs.run_dir / "reward" / "answers"
        directory.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=reward.ANSWERS_SCHEMA), directory / reward.ANSWERS)
        output, _ = programs.run(
            "reward",
            "lifecycle.preferences.judges.reward",
            {"max_length": config.max_length, "batch": config.batch},
            {"model": model.path, "answers": directory},
            programs.kept("reward", {"model": model.digest, "max_length": config.max_length}),
        )
        return {row[KEY]: row["reward"] for row in pq.read_table(output / reward.REWARDS).to_pylist()}

    return rewards


def _asked(conversation: Conversation, candidates: tuple[Candidate, ...]) -> Asked:
    return Asked(
        id=conversation.id,
        prompt=conversation.messages[:-1],
        reference=conversation.messages[-1].content,
        task=conversation.task,
        language=conversation.language or "en",
        candidates=candidates,
    )
