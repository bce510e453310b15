"""The evaluation program: every figure of one model.

Run it through `lifecycle.training.launch`. Inputs: `model`, `heldout`; for a model made from preferences also
`reference` (the SFT model) and `pairs`. Config: `{"name": …, "evaluation": EvaluationConfig}`. Writes `results.json`,
`samples.parquet` (lm-eval's) and `answers.parquet` (greedy answers to the win-rate prompts) to the output.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from lifecycle.jobs import TrainingJob
from lifecycle.recipe.evaluation import EvaluationConfig
from lifecycle.training.journal import Journal


def main(job: TrainingJob) -> None:
    """Evaluate the model, offline."""
    # Read by the Hugging Face libraries when they are imported; the cache must not outlive or be shared between runs.
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_DATASETS_CACHE=str(Path(job.run_dir) / "datasets"))
    from lifecycle.evaluation.harness import run_tasks
    from lifecycle.evaluation.results import ANSWERS, SAMPLES, Results
    from lifecycle.pretrained import load_for_inference

    config = EvaluationConfig.model_validate(job.config["evaluation"])
    started = time.monotonic()
    output, run_dir, heldout = Path(job.output), Path(job.run_dir), Path(job.inputs["heldout"])
    output.mkdir(parents=True, exist_ok=True)
    journal = Journal(run_dir)
    model, tokenizer = load_for_inference(Path(job.inputs["model"]))
    journal.message(f"{job.config['name']}: lm-eval runs {', '.join(config.tasks)}")
    tasks, samples, missing = run_tasks(model, tokenizer, heldout, config, run_dir)
    tasks_seconds = time.monotonic() - started
    journal.message(f"{job.config['name']}: lm-eval took {tasks_seconds:.1f} s; greedy answers follow")
    answers, summary = _answer(model, tokenizer, heldout / "items" / "win_rate.jsonl", config)
    preferences = None
    if "reference" in job.inputs:
        reference, _ = load_for_inference(Path(job.inputs["reference"]))
        preferences = _rewards(model, reference, tokenizer, Path(job.inputs["pairs"]), config)
    results = Results(
        model=job.config["name"],
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        tasks=tasks,
        missing=missing,
        answers=summary,
        preferences=preferences,
    )
    results.write(output)
    _write(samples, output / SAMPLES)
    if answers:
        _write(answers, output / ANSWERS)
    facts = {"seconds_lm_eval": round(tasks_seconds, 3), "seconds": round(time.monotonic() - started, 3)}
    (run_dir / "result.json").write_bytes(orjson.dumps(facts))


def _answer(model: Any, tokenizer: Any, path: Path, config: EvaluationConfig) -> tuple[list[dict[str, Any]], Any]:
    """Greedy answers to the win-rate prompts with their reference scores; none where the held-out text gave no prompts."""
    from lifecycle.evaluation.items import read_items
    from lifecycle.evaluation.results import AnswerSummary
    from lifecycle.evaluation.statistics import mean_interval
    from lifecycle.preferences.generate import generate_answers
    from lifecycle.preferences.render import as_messages
    from lifecycle.preferences.score import reference_score

    if not path.exists():
        return [], None
    items = read_items(path)
    drawn = generate_answers(
        model,
        tokenizer,
        [as_messages(item.prompt) for item in items],
        max_new_tokens=config.max_new_tokens,
        batch=4 * config.batch,
    )
    rows = [
        {
            "id": item.id,
            "task": item.task,
            "prompt": item.prompt,
            "reference": item.target or "",
            "answer": answer.text,
            "tokens": answer.tokens,
            "finished": answer.finished,
            "score": reference_score(answer.text, item.target or "", finished=answer.finished),
        }
        for item, (answer,) in zip(items, drawn, strict=True)
    ]
    scores = [row["score"] for row in rows]
    summary = AnswerSummary(
        n=len(rows),
        score=sum(scores) / len(rows),
        interval=mean_interval(scores),
        finished=sum(row["finished"] for row in rows) / len(rows),
        mean_tokens=sum(row["tokens"] for row in rows) / len(rows),
    )
    return rows, summary


def _rewards(model: Any, reference: Any, tokenizer: Any, pairs: Path, config: EvaluationConfig) -> Any:
    """Reward accuracy, beside its controls, on the pairs that DPO never saw; those longer than the context are left out."""
    from lifecycle.evaluation.controls import length_only, shuffled
    from lifecycle.preferences.logps import answer_logps, preferred
    from lifecycle.preferences.table import HELDOUT, TRAIN
    from lifecycle.training.preference_data import read_pairs

    rendered = read_pairs(pairs / HELDOUT, tokenizer, config.context)
    chosen, rejected = (
        answer_logps(model, rows, pad_token_id=tokenizer.pad_token_id, batch=config.batch)
        - answer_logps(reference, rows, pad_token_id=tokenizer.pad_token_id, batch=config.batch)
        for rows in (rendered.side("chosen"), rendered.side("rejected"))
    )
    margins = chosen - rejected
    trained_on = read_pairs(pairs / TRAIN, tokenizer, config.context).lengths()
    controls = {
        "shuffled": shuffled(margins.numpy(), config.seed),
        "length_only": length_only(trained_on, rendered.lengths()),
    }
    return preferred(margins).model_copy(update={"too_long": rendered.too_long, **controls})


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")


if __name__ == "__main__":
    main(TrainingJob.read(sys.argv[1]))
