"""What a model says to the prompts of `lifecycle.evaluation.asked`: one portion of it, in the evaluation program."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lifecycle.evaluation.asked import AskedItem, read_asked
from lifecycle.portions import Portion
from lifecycle.recipe.base import Section
from lifecycle.recipe.evaluation import EvaluationConfig

GREEDY = 0.0


class Said(Section):
    """One answer. `seed` counts the answers drawn to a question, `turn` the questions of a conversation, both from 1."""

    kind: str
    part: str
    id: str
    language: str
    harmful: bool
    seed: int
    turn: int
    turns: int
    """Questions of the conversation; 1 for a question by itself."""
    question: str
    answer: str
    tokens: int
    finished: bool
    """Ended by itself before the token limit."""


def answer_asked(model: Any, tokenizer: Any, run_dir: Path, config: EvaluationConfig, portion: Portion) -> tuple[Said, ...]:
    """The answers to this portion of what was asked: questions of one turn by each seed, safety prompts and conversations
    greedily. A conversation goes on with the model's own answers, and loses its beginning where it outgrows the model."""
    asked = portion.of(read_asked(run_dir))
    drawn = [item for item in asked if item.kind == "health" and len(item.turns) == 1]
    greedy = [item for item in asked if item.kind == "safety"]
    talks = [item for item in asked if len(item.turns) > 1]
    temperatures = (config.health.temperature,) * config.health.seeds if config.health else ()
    rows = _answers(model, tokenizer, drawn, config, temperatures) if drawn else []
    rows += _answers(model, tokenizer, greedy, config, (GREEDY,)) if greedy else []
    return (*rows, *_conversations(model, tokenizer, talks, config))


def in_order(said: Sequence[Said], asked: Sequence[AskedItem]) -> list[Said]:
    """The answers of all portions in the order of what was asked."""
    place = {(item.kind, item.part, item.id): number for number, item in enumerate(asked)}
    return sorted(said, key=lambda row: (place[row.kind, row.part, row.id], row.seed, row.turn))


def _answers(
    model: Any, tokenizer: Any, items: Sequence[AskedItem], config: EvaluationConfig, temperatures: Sequence[float]
) -> list[Said]:
    """Every answer to the first question of each item."""
    prompts = [[{"role": "user", "content": item.turns[0]}] for item in items]
    given = _generate(model, tokenizer, items, prompts, config, temperatures)
    return [
        _row(item, answer, seed=seed, turn=1)
        for item, answers in zip(items, given, strict=True)
        for seed, answer in enumerate(answers, start=1)
    ]


def _conversations(model: Any, tokenizer: Any, items: Sequence[AskedItem], config: EvaluationConfig) -> list[Said]:
    """Turn by turn, all conversations at once."""
    rows: list[Said] = []
    history: dict[str, list[dict[str, str]]] = {item.id: [] for item in items}
    for turn in range(max((len(item.turns) for item in items), default=0)):
        going = [item for item in items if turn < len(item.turns)]
        for item in going:
            history[item.id].append({"role": "user", "content": item.turns[turn]})
        given = _generate(model, tokenizer, going, [history[item.id] for item in going], config, (GREEDY,))
        for item, (answer,) in zip(going, given, strict=True):
            history[item.id].append({"role": "assistant", "content": answer.text})
            rows.append(_row(item, answer, seed=1, turn=turn + 1))
    return rows


def _generate(
    model: Any,
    tokenizer: Any,
    items: Sequence[AskedItem],
    prompts: Sequence[list[dict[str, str]]],
    config: EvaluationConfig,
    temperatures: Sequence[float],
) -> list[list[Any]]:
    from lifecycle.preferences.generate import generate_answers

    return generate_answers(
        model,
        tokenizer,
        prompts,
        max_new_tokens=config.max_new_tokens,
        temperatures=temperatures,
        batch=4 * config.batch,
        seed=config.seed,
        keys=[item.key for item in items],
    )


def _row(item: AskedItem, answer: Any, seed: int, turn: int) -> Said:
    return Said(
        **item.model_dump(include={"kind", "part", "id", "language", "harmful"}),
        seed=seed,
        turn=turn,
        turns=len(item.turns),
        question=item.turns[turn - 1],
        answer=answer.text,
        tokens=answer.tokens,
        finished=answer.finished,
    )
