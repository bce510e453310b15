"""Pairs from documentation: an object's own summary is chosen over that of another object of the same module."""

import hashlib
import random
from collections import defaultdict
from pathlib import Path

from lifecycle.corpora.documents import iter_documents
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Message
from lifecycle.instructions.docstrings import Question, ask, documented_object
from lifecycle.instructions.prompts import prompt
from lifecycle.ledger import LedgerWriter, SourceLedger
from lifecycle.preferences.score import reference_score
from lifecycle.preferences.table import Pair, pair_id
from lifecycle.recipe.alignment import SiblingAnswers

PHRASINGS = 3


def sibling_pairs(corpus: Path, config: SiblingAnswers) -> tuple[list[Pair], list[SourceLedger]]:
    """At most `config.max_pairs` pairs from `corpus/train`, and one ledger per source; the unit is the document.

    Objects come in an order drawn from `config.seed`. The prompt asks for a summary in the wording of the instruction
    data. An object without a summary, without a sibling that has another one, or after enough pairs were made, is
    counted as `no_summary`, `no_sibling` or `quota_filled`.

    Raises:
        DataError: a source has no documented object in the corpus.
    """
    ledgers = {name: LedgerWriter(name) for name in config.sources}
    summaries: list[tuple[str, str, str, Question]] = []
    for document in iter_documents(corpus / "train", ["id", "text", "source", "lang", "group", "meta"]):
        ledger = ledgers.get(document["source"])
        if ledger is None:
            continue
        thing = documented_object(document)
        question = next(ask("summary", thing), None) if thing else None
        if thing is None or question is None:
            ledger.drop("no_object" if thing is None else "no_summary", document["id"], document["text"])
            continue
        summaries.append((thing.source, thing.module, thing.id, question))
    summaries.sort(key=lambda entry: hashlib.sha256(f"{config.seed}:{entry[2]}".encode()).digest())
    by_module: dict[tuple[str, str], list[str]] = defaultdict(list)
    for source, module, _, question in summaries:
        by_module[source, module].append(question.answer)
    pairs: list[Pair] = []
    for source, module, identifier, question in summaries:
        if len(pairs) >= config.max_pairs:
            ledgers[source].drop("quota_filled", identifier, question.answer)
            continue
        rng = random.Random(f"{config.seed}:{identifier}")
        others = sorted({answer for answer in by_module[source, module] if answer != question.answer})
        if not others:
            ledgers[source].drop("no_sibling", identifier, question.answer)
            continue
        pair = _pair(source, identifier, question, rng.choice(others), rng.randrange(PHRASINGS))
        pairs.append(pair)
        ledgers[source].keep(pair.text())
    for name, ledger in ledgers.items():
        if not ledger.read:
            raise DataError(
                f"preferences.sources: {name!r} has no document in the training text; did its documents pass the cleaning?"
            )
    return pairs, [ledger.close() for ledger in ledgers.values()]


def _pair(source: str, identifier: str, question: Question, sibling: str, phrasing: int) -> Pair:
    content = prompt("summary", phrasing, text=question.text, name=question.name)
    return Pair(
        id=pair_id(f"sibling_answers:{source}", identifier),
        prompt=(Message(role="user", content=content),),
        chosen=question.answer,
        rejected=sibling,
        source=source,
        task="summary",
        chosen_score=1.0,
        rejected_score=reference_score(sibling, question.answer),
    )
