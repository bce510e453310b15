"""Generation health: loops, answers that do not end, other languages, other identities, nothing said at all."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.curation.language import language_of
from lifecycle.curation.language_sample import sample
from lifecycle.evaluation.rates import change, mean, rate, spread
from lifecycle.evaluation.results import Metric
from lifecycle.evaluation.said import Said
from lifecycle.instructions.conversations import Conversation, Message
from lifecycle.instructions.identity import foreign
from lifecycle.preferences.score import repetition, words
from lifecycle.recipe.base import Section
from lifecycle.recipe.instruction_rules import OwnIdentity

FILE = "health.parquet"
LOOP = 0.5
"""Share of n-grams that stood before in the same answer from which it runs in a loop."""
WORD_ORDER, WORD_NGRAMS = 4, 8
CHARACTER_ORDER, CHARACTER_NGRAMS = 10, 30
"""A loop of words (Han characters are words) or, for signs and blanks that are none, of characters; an answer with fewer
n-grams than this is too short to be one."""
MIN_LANGUAGE_SCORE = 0.5
SCRIPT_LETTERS = 10
"""Letters from which an answer to a Chinese question without any Han character has left the language."""


class Answer(Section):
    """One answer with what is wrong with it: a row of `health.parquet`."""

    id: str
    language: str
    seed: int
    turn: int
    turns: int
    question: str
    answer: str
    tokens: int
    repetition: float
    """Share of 4-grams of words that stood before in the answer, 0 to 1."""
    distinct_2: float
    """Different pairs of words over all pairs (Li et al. 2016), 0 to 1; 1 where there is none."""
    looping: bool
    endless: bool
    """Cut at the token limit."""
    empty: bool
    drifting: bool
    """In another language than the question."""
    leaking: bool
    """Claims to be, or to be made by, somebody else."""

    @property
    def broken(self) -> bool:
        """Of no use whatever it says."""
        return self.looping or self.endless or self.empty


def judge_answer(said: Said, own: OwnIdentity | None) -> Answer:
    """What is wrong with one answer."""
    tokens = words(said.answer)
    return Answer(
        **said.model_dump(include={"id", "language", "seed", "turn", "turns", "question", "answer", "tokens"}),
        repetition=repetition(tokens, WORD_ORDER),
        distinct_2=1 - repetition(tokens, 2),
        looping=is_loop(said.answer),
        endless=not said.finished,
        empty=not said.answer.strip(),
        drifting=drifts(said.answer, said.language),
        leaking=leaks(said.answer, own),
    )


def is_loop(answer: str) -> bool:
    """Whether at least half of the answer's n-grams stood in it before: of 4 words, or of 10 characters."""
    tokens = words(answer)
    if len(tokens) - WORD_ORDER + 1 >= WORD_NGRAMS and repetition(tokens, WORD_ORDER) >= LOOP:
        return True
    characters = list(answer)
    return len(characters) - CHARACTER_ORDER + 1 >= CHARACTER_NGRAMS and repetition(characters, CHARACTER_ORDER) >= LOOP


def drifts(answer: str, language: str) -> bool:
    """Whether an answer is in another language, as curation tells them apart; of few letters only the script is asked."""
    taken = sample(answer)
    if language == "zh" and not taken.han[0]:
        return bool(taken.letters[0] >= SCRIPT_LETTERS)
    return language_of(answer, language, MIN_LANGUAGE_SCORE) != language


def leaks(answer: str, own: OwnIdentity | None) -> bool:
    """Whether an answer claims another identity than the recipe's own."""
    message = Message(role="assistant", content=answer)
    conversation = Conversation(id="", source="", task="", group="", messages=(message,), document_id="")
    return bool(foreign(conversation, own))


RATES: dict[str, Callable[[Answer], bool]] = {
    "looping": lambda row: row.looping,
    "endless": lambda row: row.endless,
    "empty": lambda row: row.empty,
    "drifting": lambda row: row.drifting,
    "leaking": lambda row: row.leaking,
}
BY_TURN = ("looping", "endless", "empty")


def health_metrics(said: Sequence[Said], own: OwnIdentity | None, out: Path) -> dict[str, Metric]:
    """The figures of one model, and `health.parquet` with every answer.

    `health/…` are those of questions of one turn over all seeds, `health_seeds/…` the standard deviation of each over the
    seeds, `health_turns/…_N` those of the N-th turn of the conversations; `health_turns/decay` is by how much the share of
    answers that loop, do not end or are empty grows from their first to their last turn.
    """
    rows = [judge_answer(each, own) for each in said]
    pq.write_table(pa.Table.from_pylist([row.model_dump() for row in rows]), out / FILE, compression="zstd")
    return _figures([row for row in rows if row.turns == 1]) | _by_turn([row for row in rows if row.turns > 1])


def _figures(rows: Sequence[Answer]) -> dict[str, Metric]:
    ids = [row.id for row in rows]
    found = {f"health/{name}": rate([flag(row) for row in rows], ids) for name, flag in RATES.items()}
    found["health/broken"] = rate([row.broken for row in rows], ids)
    found["health/repetition"] = mean([row.repetition for row in rows], ids, higher_is_better=False)
    found["health/distinct_2"] = mean([row.distinct_2 for row in rows], ids, higher_is_better=True)
    found["health/tokens"] = mean([row.tokens for row in rows], ids, higher_is_better=False)
    seeds = sorted({row.seed for row in rows})
    for name, flag in (RATES | {"tokens": lambda row: row.tokens}).items():
        by_seed = [[float(flag(row)) for row in rows if row.seed == seed] for seed in seeds]
        found[f"health_seeds/{name}"] = spread([sum(values) / len(values) for values in by_seed])
    return found


def _by_turn(rows: Sequence[Answer]) -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    for turn in range(1, max((row.turns for row in rows), default=0) + 1):
        here = [row for row in rows if row.turn == turn]
        for name in BY_TURN:
            found[f"health_turns/{name}_{turn}"] = rate([RATES[name](row) for row in here], [row.id for row in here])
    if found:
        first = {row.id: float(row.broken) for row in rows if row.turn == 1}
        last = {row.id: float(row.broken) for row in rows if row.turn == row.turns}
        found["health_turns/decay"] = change(list(first.values()), [last[id] for id in first])
    return found
