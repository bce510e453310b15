"""Rule checks of answers: those that clean instructions, and what only a sampled answer can break."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from lifecycle.instructions.conversations import Conversation, Message
from lifecycle.instructions.identity import RULE as IDENTITY
from lifecycle.instructions.identity import foreign
from lifecycle.instructions.rules import RULES
from lifecycle.instructions.scores import figure, score
from lifecycle.preferences.asked import Asked, Judgement
from lifecycle.preferences.judges.maths import exact, in_gsm8k_form
from lifecycle.recipe.instruction_rules import InstructionRules, OwnIdentity
from lifecycle.recipe.preferences import RuleJudge

UNFINISHED, WRONG = "unfinished", "wrong_number"
OF_QUESTIONS = ("short_question", "long_question", "many_turns")
"""The same for every answer to a prompt."""
RULE_NAMES = (IDENTITY, *(rule.name for rule in RULES if rule.name not in OF_QUESTIONS))


def broken(exchanges: Sequence[tuple[str, str, str]], rules: InstructionRules, own: OwnIdentity | None) -> list[set[str]]:
    """The names (`RULE_NAMES`) of the rules that each answer breaks.

    Args:
        exchanges: question, answer, and the language that the question is in where it is too short to tell.
    """
    conversations = [_conversation(*exchange) for exchange in exchanges]
    table = score(conversations, ())
    languages = table["language"].to_numpy(zero_copy_only=False).astype(np.str_)
    found: list[set[str]] = [{IDENTITY} if foreign(each, own) else set() for each in conversations]
    for rule in RULES:
        if rule.name in RULE_NAMES:
            for place in np.flatnonzero(rule.broken(figure(table, rule.figure), rule.limits(rules, languages))):
                found[place].add(rule.name)
    return found


def judge_by_rules(asked: Sequence[Asked], config: RuleJudge, rules: InstructionRules, own: OwnIdentity | None) -> Judgement:
    """1 / (1 + rules broken): 1 for an answer that keeps all rules.

    Beside the instructions' rules an answer must have ended by itself (`unfinished`), and in maths end in the reference's
    number (`wrong_number`).
    """
    places = [(each, candidate) for each in asked for candidate in each.candidates]
    names = broken([(each.question, candidate.answer.text, each.language) for each, candidate in places], rules, own)
    for (each, candidate), found in zip(places, names, strict=True):
        if not candidate.answer.finished:
            found.add(UNFINISHED)
        maths = each.task in config.maths_tasks or in_gsm8k_form(each.reference)
        if maths and exact(candidate.answer.text, each.reference) is False:
            found.add(WRONG)
    flat = iter(1 / (1 + len(found)) for found in names)
    counts = Counter(name for found in names for name in found)
    scores: list[list[float | None]] = [[next(flat) for _ in each.candidates] for each in asked]
    return Judgement("rules", config.weight, scores, {"broken": dict(sorted(counts.items()))})


def _conversation(question: str, answer: str, language: str) -> Conversation:
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Conversation(id="", source="", task="", group="", messages=turns, language=language, document_id="")
