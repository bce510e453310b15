"""The ledgers of the pairs: every conversation, every candidate and every found pair, kept or dropped under one rule."""

from collections import Counter
from collections.abc import Sequence

from lifecycle.instructions.conversations import Conversation
from lifecycle.ledger import LedgerWriter, SourceLedger
from lifecycle.preferences.asked import Asked
from lifecycle.preferences.drafts import Draft
from lifecycle.preferences.pairing import KEPT

CANDIDATES = "candidates"


def account(
    sampled: LedgerWriter,
    conversations: Sequence[Conversation],
    asked: Sequence[Asked],
    drafts: Sequence[Draft],
    reasons: Sequence[str | None],
    decided: Sequence[Sequence[str]],
    found: Sequence[Draft],
) -> tuple[SourceLedger, ...]:
    """The ledgers of prompts, of candidates by model (`candidates:<model>`), and of each source of found pairs.

    Args:
        sampled: the ledger of conversations, which has those that were not asked.
        reasons: for each prompt without a pair, why.
    """
    _prompts(sampled, conversations, drafts, reasons)
    return (sampled.close(), *_candidates(asked, decided), *_pairs(found))


def _prompts(
    sampled: LedgerWriter, conversations: Sequence[Conversation], drafts: Sequence[Draft], reasons: Sequence[str | None]
) -> None:
    """A prompt is kept where one of its pairs is; else the rule of the first of them drops it."""
    by_prompt: dict[int, list[Draft]] = {}
    for draft in drafts:
        assert draft.asked is not None
        by_prompt.setdefault(draft.asked, []).append(draft)
    for place, (conversation, reason) in enumerate(zip(conversations, reasons, strict=True)):
        of_prompt = by_prompt.get(place, [])
        if any(draft.rule is None for draft in of_prompt):
            sampled.keep(conversation.text(), language=conversation.language)
        else:
            rule = reason or of_prompt[0].rule
            assert rule is not None
            characters = len(conversation.text())
            shown = of_prompt[0].pair.text() if of_prompt else conversation.text()
            sampled.drop(rule, conversation.id, shown, left=characters, characters=characters)
    tasks = Counter(draft.pair.task for draft in drafts if draft.rule is None)
    sampled.notes["pairs_by_task"] = dict(sorted(tasks.items()))


def _candidates(asked: Sequence[Asked], decided: Sequence[Sequence[str]]) -> list[SourceLedger]:
    writers: dict[str, LedgerWriter] = {}
    for each, decisions in zip(asked, decided, strict=True):
        for candidate, decision in zip(each.candidates, decisions, strict=True):
            writer = writers.setdefault(candidate.model, LedgerWriter(f"{CANDIDATES}:{candidate.model}"))
            if decision == KEPT:
                writer.keep(candidate.answer.text, language=each.language)
            else:
                writer.drop(decision, f"{each.id}:{candidate.number}", candidate.answer.text)
    return [writer.close() for writer in writers.values()]


def _pairs(found: Sequence[Draft]) -> list[SourceLedger]:
    writers = {name: LedgerWriter(name) for name in sorted({draft.pair.source for draft in found})}
    for draft in found:
        pair, writer = draft.pair, writers[draft.pair.source]
        if draft.rule is None:
            writer.keep(pair.text(), language=draft.language)
        else:
            writer.drop(draft.rule, pair.id, pair.text())
    return [writer.close() for writer in writers.values()]
