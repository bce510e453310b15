"""Conversations from the documentation strings in the corpus."""

import hashlib
import logging
import random
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from lifecycle.corpora.documents import iter_documents
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Conversation, Message
from lifecycle.instructions.docstrings import DocumentedObject, Question, ask, documented_object
from lifecycle.instructions.prompts import KINDS, Task, follow_up, prompt
from lifecycle.ledger import LedgerWriter, SourceLedger
from lifecycle.recipe.alignment import DocumentedObjects

logger = logging.getLogger(__name__)

TASKS: tuple[Task, ...] = ("deprecated", "raises", "returns", "kind", "parameter", "first_word", "summary")
"""From the rarest to the most common, the order in which an object is asked."""
MAX_PER_OBJECT = 2
MAX_WORD_SHARE = 0.04
"""No word is the answer of more than this share of the first_word conversations: always `Return` must not pay."""
BALANCED = {"kind": KINDS, "deprecated": ("yes", "no")}


@dataclass
class _Quota:
    """How many conversations of each task, and of each answer class within it, are still wanted."""

    wanted: dict[str, int]
    taken: Counter[str] = field(default_factory=Counter)
    per_class: Counter[tuple[str, str]] = field(default_factory=Counter)

    def open(self, task: str) -> bool:
        return self.taken[task] < self.wanted[task]

    def accepts(self, task: str, answer_class: str, classes: int) -> bool:
        return self.open(task) and self.per_class[task, answer_class] < -(-self.wanted[task] // classes)

    def take(self, task: str, answer_class: str) -> None:
        self.taken[task] += 1
        self.per_class[task, answer_class] += 1


def documented_conversations(corpus: Path, config: DocumentedObjects) -> tuple[list[Conversation], list[SourceLedger]]:
    """Conversations about the objects in `corpus/train`, at most `config.max_conversations`, and one ledger per source.

    Objects come in an order drawn from `config.seed` and give at most two conversations each. `kind` and `deprecated`
    are cut to equal numbers of each answer. A document that gives no conversation is counted as `nothing_to_ask`, or
    as `quota_filled` where enough others had been taken before it.

    Raises:
        DataError: a source has no documented object in the corpus.
    """
    objects, ledgers = _read(corpus, config)
    quota = _Quota({task: round(share * config.max_conversations) for task, share in config.shares.model_dump().items()})
    objects.sort(key=lambda thing: hashlib.sha256(f"{config.seed}:{thing.id}".encode()).digest())
    made: list[tuple[str, Conversation]] = []
    idle: dict[str, str] = {}
    announced = time.monotonic()
    for index, thing in enumerate(objects):
        full = not any(quota.open(task) for task in quota.wanted)
        new = [] if full else _about(thing, quota, config.seed)
        made += new
        if not new:
            idle[thing.id] = "quota_filled" if full or _has_something_to_ask(thing) else "nothing_to_ask"
        if time.monotonic() - announced > 5:
            announced = time.monotonic()
            logger.info("asked about %d of %d objects, %d conversations", index + 1, len(objects), len(made))
    kept = _balance(made)
    with_conversation = {conversation.document_id for conversation in kept}
    tasks = {name: Counter[str]() for name in ledgers}
    for conversation in kept:
        tasks[conversation.source][conversation.task] += 1
    for thing in objects:
        ledger = ledgers[thing.source]
        if thing.id in with_conversation:
            ledger.keep(thing.text)
        else:
            ledger.drop(idle.get(thing.id, "balance"), thing.id, thing.text)
    for name, ledger in ledgers.items():
        ledger.notes["conversations"] = dict(sorted(tasks[name].items()))
    return kept, [ledger.close() for ledger in ledgers.values()]


def _read(corpus: Path, config: DocumentedObjects) -> tuple[list[DocumentedObject], dict[str, LedgerWriter]]:
    ledgers = {name: LedgerWriter(name) for name in config.sources}
    found = Counter[str]()
    objects = []
    for document in iter_documents(corpus / "train", ["id", "text", "source", "lang", "group", "meta"]):
        if document["source"] not in ledgers:
            continue
        thing = documented_object(document)
        if thing is None:
            ledgers[document["source"]].drop("no_object", document["id"], document["text"])
            continue
        found[thing.source] += 1
        objects.append(thing)
    for name in config.sources:
        if not found[name]:
            raise DataError(
                f"instructions.sources: {name!r} has no documented object in the training text; is it a python_docs source, "
                "and did its documents pass the cleaning (see the ledgers)?"
            )
    return objects, ledgers


def _has_something_to_ask(thing: DocumentedObject) -> bool:
    return any(True for task in TASKS for _ in ask(task, thing))


def _about(thing: DocumentedObject, quota: _Quota, seed: int) -> list[tuple[str, Conversation]]:
    rng = random.Random(f"{seed}:{thing.id}")
    made = []
    if quota.open("multi_turn"):
        made += _multi_turn(thing, quota, rng)
    for task in TASKS:
        if len(made) >= MAX_PER_OBJECT:
            break
        known, classes = _class_before_asking(task, thing)
        if not (quota.accepts(task, known, classes) if known else quota.open(task)):
            continue
        questions = list(ask(task, thing))
        if not questions:
            continue
        question = rng.choice(questions)
        answer_class, classes = _answer_class(question)
        if quota.accepts(task, answer_class, classes):
            quota.take(task, answer_class)
            turns = [(_first(question, rng), question.answer)]
            made.append((answer_class, _conversation(thing, task, turns)))
    return made


def _multi_turn(thing: DocumentedObject, quota: _Quota, rng: random.Random) -> list[tuple[str, Conversation]]:
    """A second question about the text of the first: two parameters, or the kind and the first word in either order."""
    kinds = list(ask("kind", thing))
    words = list(ask("first_word", thing))
    if kinds and words and quota.accepts("multi_turn", thing.kind, 6):
        pair = [*kinds, *words]
        rng.shuffle(pair)
        # Both answers rest on the same excerpt, the longer one.
        first = Question(pair[0].task, kinds[0].text, pair[0].answer, pair[0].name)
        turns = [(_first(first, rng), first.answer), (follow_up(pair[1].task, rng.randrange(2)), pair[1].answer)]
        quota.take("multi_turn", thing.kind)
        return [(thing.kind, _conversation(thing, "multi_turn", turns))]
    if not quota.accepts("multi_turn", "parameter", 2):
        return []
    shown = [(one, two) for one, two in pairwise(ask("parameter", thing)) if f": {two.answer}" in one.text]
    if not shown:
        return []
    one, two = rng.choice(shown)
    turns = [(_first(one, rng), one.answer), (follow_up("parameter", rng.randrange(2), item=two.item), two.answer)]
    quota.take("multi_turn", "parameter")
    return [("parameter", _conversation(thing, "multi_turn", turns))]


def _first(question: Question, rng: random.Random) -> str:
    return prompt(question.task, rng.randrange(3), text=question.text, name=question.name, item=question.item)


def _class_before_asking(task: Task, thing: DocumentedObject) -> tuple[str, int]:
    """The answer class where it is known without reading the text; saves asking in vain once it is full."""
    if task == "kind":
        return thing.kind, len(KINDS)
    if task == "deprecated":
        return "yes" if thing.deprecated else "no", 2
    return "", 1


def _answer_class(question: Question) -> tuple[str, int]:
    """The class that an answer counts towards, and the number of classes that share the task's quota."""
    if question.task in BALANCED:
        return question.answer, len(BALANCED[question.task])
    if question.task == "first_word":
        return question.answer.lower(), round(1 / MAX_WORD_SHARE)
    return "", 1


def _conversation(thing: DocumentedObject, task: str, turns: Iterable[tuple[str, str]]) -> Conversation:
    messages = [
        message
        for question, answer in turns
        for message in (Message(role="user", content=question), Message(role="assistant", content=answer))
    ]
    return Conversation(
        id=hashlib.sha256(f"{thing.id}:{task}".encode()).hexdigest()[:24],
        source=thing.source,
        task=task,
        group=thing.group,
        messages=tuple(messages),
        language="en",
        document_id=thing.id,
    )


def _balance(made: list[tuple[str, Conversation]]) -> list[Conversation]:
    """Cut the balanced tasks to as many conversations of each answer as of the rarest."""
    counts = Counter((conversation.task, answer) for answer, conversation in made)
    rarest = {task: min(counts[task, answer] for answer in answers) for task, answers in BALANCED.items()}
    room = {(task, answer): rarest[task] for task, answers in BALANCED.items() for answer in answers}
    kept = []
    for answer, conversation in made:
        key = (conversation.task, answer)
        if key not in room:
            kept.append(conversation)
        elif room[key]:
            room[key] -= 1
            kept.append(conversation)
    return kept
