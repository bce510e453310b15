"""Stage `instruction_scores`: scores of every kept conversation in one sidecar, each a column, none of them a decision."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lifecycle.endpoint.cache import FOLDER as PAID_ANSWERS
from lifecycle.endpoint.calls import Address
from lifecycle.endpoint.client import Endpoint
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Conversation, read_conversations
from lifecycle.instructions.judging import Grade, judge
from lifecycle.instructions.linear import linear_scores
from lifecycle.instructions.quality_plots import draw_scores, extremes
from lifecycle.jobs import ModelFolder, TrainingJob
from lifecycle.recipe.instruction_scores import InstructionScores, JudgeScores

FILE = "scores.parquet"
LOSSES = "losses.parquet"
"""What the scoring program writes."""
TEXTS = ("id", "source", "task", "language", "unscored")
COUNTS = ("question_characters", "answer_characters", "question_tokens", "answer_tokens", "turns")
SCORES = ("loss_answer", "loss_answer_alone", "difficulty", "perplexity")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in TEXTS]
    + [(name, pa.int64()) for name in COUNTS]
    + [(name, pa.float64()) for name in SCORES]
)
"""`unscored` is the reason why a row's scores are null: `too_long` for the model, or `no_answer_tokens`. `question_tokens`
are those of the rendered conversation that no answer is trained on, the template's own among them; `turns` questions with
an answer. `loss_answer` is in nats over the answers' tokens (all turns', special tokens left out) given all that stands
before them, `loss_answer_alone` over the same tokens with each answer by itself, `difficulty` the first over the second
(IFD, Li et al. 2023), `perplexity` the exponential of the first."""
OPTIONAL = {"judge": pa.float64(), "judge_missing": pa.string(), "linear": pa.float64()}
"""Columns behind these where the recipe asks for them; `judge_missing` is the reason why there is no grade."""


def build_instruction_scores(
    instructions: Path,
    tokenizer: Path,
    model: ModelFolder,
    config: InstructionScores,
    results: Path,
    out: Path,
    run_dir: Path,
    launch: Callable[[TrainingJob], dict[str, Any]],
) -> dict[str, Any]:
    """Write `scores.parquet`: a row for each conversation of `instructions`, in its order, with the columns of `SCHEMA`.

    Args:
        results: where scored units and a judge's answers are kept between runs.
        launch: runs the scoring program.

    Raises:
        DataError: a judge leaves too much without a grade, or labelled samples are too few.
        EndpointError: the judge cannot be reached.
        JobFailedError: the scoring program ended badly.
        RecipeError: a rubric is missing or damaged.
    """
    conversations = read_conversations(instructions)
    grades: tuple[list[Grade], dict[str, Any]] | None = None
    if config.judge:  # first: without an address nothing else needs to be computed
        grades = judge(conversations, config.judge, config.judge.read_rubric(), _endpoint(config.judge, results))
    inputs = {"instructions": str(instructions), "tokenizer": str(tokenizer), "model": str(model.path)}
    facts: dict[str, Any] = {"scoring": launch(_job(inputs, model, config, results, run_dir))}
    table = _table(conversations, pq.read_table(run_dir / "losses" / LOSSES))
    if grades:
        table = _with(table, "judge", [grade.value for grade in grades[0]])
        table = _with(table, "judge_missing", [grade.missing for grade in grades[0]])
        facts["judge"] = grades[1]
    if config.linear:
        scores, facts["linear"] = linear_scores(conversations, config.linear, out, run_dir)
        table = _with(table, "linear", [None if math.isnan(score) else score for score in scores])
    pq.write_table(table, out / FILE, compression="zstd")
    draw_scores(table, run_dir)
    return _facts(table) | facts | extremes(table, conversations)


def _job(inputs: dict[str, str], model: ModelFolder, config: InstructionScores, results: Path, run_dir: Path) -> TrainingJob:
    return TrainingJob(
        stage="instruction_scores",
        fingerprint=run_dir.name,
        program="lifecycle.instructions.score_program",
        config={
            "cache": str(results / "instruction_scores"),
            "model_digest": model.digest,
            "own_tokenizer": config.model is not None,
        },
        inputs=inputs,
        output=str(run_dir / "losses"),
        run_dir=str(run_dir),
    )


def _endpoint(config: JudgeScores, results: Path) -> Endpoint:
    return Endpoint(config.endpoint, Address.from_environment(), results / PAID_ANSWERS)


def _with(table: pa.Table, name: str, values: Sequence[object]) -> pa.Table:
    return table.append_column(name, pa.array(values, OPTIONAL[name]))


def read_instruction_scores(directory: Path) -> pa.Table:
    """The sidecar of an artifact of `instruction_scores`; raises DataError where there is none."""
    try:
        return pq.read_table(directory / FILE)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{directory / FILE}: not a readable sidecar: {error}; make instruction_scores again") from error


def difficulties(directory: Path) -> dict[str, float | None]:
    """The difficulty of every scored conversation by its id, None where it has none."""
    table = read_instruction_scores(directory)
    return dict(zip(table["id"].to_pylist(), table["difficulty"].to_pylist(), strict=True))


def _table(conversations: Sequence[Conversation], losses: pa.Table) -> pa.Table:
    ids = [conversation.id for conversation in conversations]
    if losses["id"].to_pylist() != ids:
        raise DataError("instruction_scores: the losses are not those of these conversations; delete the run's directory")
    given, alone = (losses[name].to_numpy() for name in ("loss_answer", "loss_answer_alone"))
    # An answer that the model is sure of without the question, to the last digit, is not made easier by any question.
    difficulty = np.divide(given, alone, out=np.ones_like(given), where=~(alone == 0))
    columns: dict[str, Any] = {
        **{name: [getattr(conversation, name) for conversation in conversations] for name in TEXTS[:-1]},
        "question_characters": [_characters(conversation, "user") for conversation in conversations],
        "answer_characters": [_characters(conversation, "assistant") for conversation in conversations],
        "turns": [sum(message.role == "assistant" for message in each.messages) for each in conversations],
        "difficulty": pa.array(difficulty, from_pandas=True),
        "perplexity": pa.array(np.exp(given), from_pandas=True),
    }
    columns |= {name: losses[name] for name in losses.column_names if name != "id"}
    return pa.Table.from_pydict(columns, schema=SCHEMA)


def _characters(conversation: Conversation, role: str) -> int:
    return sum(len(message.content) for message in conversation.messages if message.role == role)


def _facts(table: pa.Table) -> dict[str, Any]:
    difficulty = table["difficulty"].drop_null().to_numpy()
    quartiles = np.quantile(difficulty, (0.25, 0.5, 0.75)).round(4).tolist() if difficulty.size else []
    return {
        "rows": table.num_rows,
        "scored": int(difficulty.size),
        "languages": _by_language(table),
        "unscored": dict(sorted(Counter(reason for reason in table["unscored"].to_pylist() if reason).items())),
        "difficulty_quartiles": quartiles,
        "harder_with_question": int((difficulty > 1).sum()),
    }


def _by_language(table: pa.Table) -> dict[str, dict[str, float]]:
    """Conversations, and the medians of difficulty and perplexity, of each language."""
    frame = table.filter(pc.field("difficulty").is_valid()).group_by("language")
    found = frame.aggregate([("id", "count"), ("difficulty", "approximate_median"), ("perplexity", "approximate_median")])
    return {
        row["language"] or "unknown": {
            "conversations": row["id_count"],
            "median_difficulty": round(row["difficulty_approximate_median"], 4),
            "median_perplexity": round(row["perplexity_approximate_median"], 2),
        }
        for row in sorted(found.to_pylist(), key=lambda row: -row["id_count"])
    }
