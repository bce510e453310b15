"""The evaluation program: one process measures its portion of everything that one model is asked.

Run it through `lifecycle.training.launch`. Inputs: `model`, `heldout`; for a model made from preferences also
`reference` (the SFT model) and `pairs`. Config: `ProgramConfig`. Each process writes its share
(`lifecycle.evaluation.shares`) into the run directory; the stage puts them together.
"""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from lifecycle.evaluation.shares import AnswerRow, PairMargins, Share, is_measured
from lifecycle.jobs import TrainingJob
from lifecycle.portions import Portion
from lifecycle.recipe.base import Section
from lifecycle.recipe.evaluation import EvaluationConfig
from lifecycle.training.journal import Journal

logger = logging.getLogger(__name__)


class ProgramConfig(Section):
    """What the stage tells the program."""

    evaluation: EvaluationConfig
    chat: bool
    """Whether items are put through the chat template where neither recipe nor task file says."""
    digest: str
    """Of the model."""
    kept: str | None = None
    """Directory of results that are kept between runs (`Store.results`)."""


def main(job: TrainingJob) -> None:
    """Measure this process's portion, offline; one that was measured before stays as it is."""
    portion, run_dir = Portion.own(), Path(job.run_dir)
    started = time.monotonic()
    journal = Journal(run_dir) if portion.rank == 0 else None
    facts: dict[str, Any] = {}
    if not is_measured(run_dir, portion):
        facts = _measure(job, portion, run_dir / "evaluation" / f"rank_{portion.rank}", journal)
    if portion.rank == 0:
        facts["seconds"] = round(time.monotonic() - started, 3)
        (run_dir / "result.json").write_bytes(orjson.dumps(facts))


def _measure(job: TrainingJob, portion: Portion, folder: Path, journal: Journal | None) -> dict[str, Any]:
    """Write the share, and say how long lm-eval took. `folder` is this process's own."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read by the Hugging Face libraries when they are imported
    from lifecycle.evaluation.harness import measure_tasks
    from lifecycle.evaluation.said import answer_asked
    from lifecycle.pretrained import load_for_inference

    program = ProgramConfig.model_validate(job.config)
    config = program.evaluation
    heldout, started = Path(job.inputs["heldout"]), time.monotonic()
    model, tokenizer = load_for_inference(Path(job.inputs["model"]))
    of = f" (portion 1 of {portion.world})" if portion.world > 1 else ""
    if journal:
        journal.message(f"{job.stage}: lm-eval runs {', '.join(each.task for each in config.tasks)}{of}")
    tasks, missing = measure_tasks(
        model,
        tokenizer,
        heldout,
        config,
        folder / "tasks",
        portion,
        chat=program.chat,
        digest=program.digest,
        kept=Path(program.kept) if program.kept else None,
        say=journal.message if journal else logger.info,
    )
    tasks_seconds = time.monotonic() - started
    if journal:
        journal.message(f"{job.stage}: lm-eval took {tasks_seconds:.1f} s; greedy answers follow")
    answers = _answer(model, tokenizer, heldout / "items" / "win_rate.jsonl", config, portion)
    pairs = None
    if "reference" in job.inputs:
        reference, _ = load_for_inference(Path(job.inputs["reference"]))
        pairs = _margins(model, reference, tokenizer, Path(job.inputs["pairs"]), config, portion)
    share = Share(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        tasks=tuple(tasks),
        missing=missing,
        answers=tuple(answers),
        pairs=pairs,
        said=answer_asked(model, tokenizer, Path(job.run_dir), config, portion),
    )
    share.write(Path(job.run_dir), portion)
    return {"seconds_lm_eval": round(tasks_seconds, 3)}


def _answer(model: Any, tokenizer: Any, path: Path, config: EvaluationConfig, portion: Portion) -> list[AnswerRow]:
    """Greedy answers to the win-rate prompts with their reference scores; none where the held-out text gave no prompts."""
    from lifecycle.evaluation.items import read_items
    from lifecycle.preferences.generate import generate_answers
    from lifecycle.preferences.render import as_messages
    from lifecycle.preferences.score import reference_score

    if not path.exists():
        return []
    items = portion.of(read_items(path))
    drawn = generate_answers(
        model,
        tokenizer,
        [as_messages(item.prompt) for item in items],
        max_new_tokens=config.max_new_tokens,
        batch=4 * config.batch,
    )
    return [
        AnswerRow(
            id=item.id,
            task=item.task,
            prompt=item.prompt,
            reference=item.target or "",
            answer=answer.text,
            tokens=answer.tokens,
            finished=answer.finished,
            score=reference_score(answer.text, item.target or "", finished=answer.finished),
        )
        for item, (answer,) in zip(items, drawn, strict=True)
    ]


def _margins(
    model: Any, reference: Any, tokenizer: Any, pairs: Path, config: EvaluationConfig, portion: Portion
) -> PairMargins:
    """Of the pairs that DPO never saw; those longer than the context are counted and left out."""
    from lifecycle.evaluation.controls import length_only
    from lifecycle.preferences.logps import answer_logps
    from lifecycle.preferences.table import HELDOUT, TRAIN
    from lifecycle.training.preference_data import read_pairs

    rendered = read_pairs(pairs / HELDOUT, tokenizer, config.context)
    chosen, rejected = (
        answer_logps(model, rows, pad_token_id=tokenizer.pad_token_id, batch=config.batch)
        - answer_logps(reference, rows, pad_token_id=tokenizer.pad_token_id, batch=config.batch)
        for rows in (portion.of(rendered.side("chosen")), portion.of(rendered.side("rejected")))
    )
    trained_on = read_pairs(pairs / TRAIN, tokenizer, config.context).lengths()
    return PairMargins(
        margins=tuple((chosen - rejected).tolist()),
        sources=tuple(portion.of(rendered.sources)),
        too_long=rendered.too_long,
        length_only=length_only(trained_on, rendered.lengths()),
    )


if __name__ == "__main__":
    main(TrainingJob.read(sys.argv[1]))
