"""Preference pairs: answers sampled from models and judged, beside the pairs found."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lifecycle.curation.language import language_of
from lifecycle.endpoint.cache import FOLDER as PAID_ANSWERS
from lifecycle.endpoint.calls import Address
from lifecycle.endpoint.client import Endpoint
from lifecycle.errors import DataError
from lifecycle.instructions.clean import heldout_names
from lifecycle.instructions.conversations import read_conversations
from lifecycle.jobs import ModelFolder
from lifecycle.ledger import Ledger, LedgerWriter
from lifecycle.preferences.accounts import account
from lifecycle.preferences.agreement import agreements
from lifecycle.preferences.asked import Judge, combined
from lifecycle.preferences.balance import balance
from lifecycle.preferences.candidates import write_candidates
from lifecycle.preferences.disjoint import EvaluationSets
from lifecycle.preferences.drafts import Draft
from lifecycle.preferences.judges.endpoint import judge_by_endpoint
from lifecycle.preferences.judges.reference import judge_by_reference
from lifecycle.preferences.judges.reward import judge_by_reward
from lifecycle.preferences.judges.rules import broken, judge_by_rules
from lifecycle.preferences.pair_facts import pair_facts
from lifecycle.preferences.pair_plots import draw_pairs
from lifecycle.preferences.pairing import decisions, pair_up
from lifecycle.preferences.prompts import choose_prompts
from lifecycle.preferences.sampling import Programs, ask, rewarding
from lifecycle.preferences.table import HELDOUT, RAW, TRAIN, Pair, read_pairs, write_pairs
from lifecycle.recipe.preferences import EndpointJudge, JudgeConfig, ReferenceJudge, RuleJudge
from lifecycle.recipe.recipe import Recipe

logger = logging.getLogger(__name__)

SAMPLED = "sampled_answers"
MIN_LANGUAGE_SCORE = 0.5


def build_preference_pairs(
    raw_preferences: Path,
    instructions: Path,
    models: Mapping[str, ModelFolder],
    heldout: Path,
    recipe: Recipe,
    out: Path,
    programs: Programs,
) -> dict[str, Any]:
    """Write `train.parquet`, `heldout.parquet` (pairs kept from training; no prompt is in both), `candidates.parquet` (every
    answer with every judge's score and what became of it) and `ledger.json`.

    The ledger accounts for every conversation of `instructions` (its pairs kept; or not asked; or asked, and the rule why no
    pair came of it), for every candidate, and for every pair of `raw_preferences`. No prompt comes from a held-out group or
    document, and none is, or quotes, what the models are evaluated by.

    Args:
        models: that answer, by name, and the reward model (`reward_model`) where a judge is one. The recipe's own is trained
            on the pairs of the first round, which it therefore does not judge.

    Raises:
        DataError: fewer than two prompts are left with a pair, or a balance asks for what is not there.
        EndpointError: a judge is a chat endpoint that is away, refuses, or is not named.
        JobFailedError: a program ended badly.
    """
    config = recipe.preferences
    sets = EvaluationSets(heldout, recipe.curation)
    sampled = LedgerWriter(SAMPLED)
    chosen = choose_prompts(read_conversations(instructions), heldout_names(heldout), sets, config, sampled)
    logger.info("%d conversations give a prompt to sample", len(chosen))
    reward = models.get("reward_model")
    answering = {name: model for name, model in models.items() if name != "reward_model"}
    asked, sampling = ask(chosen, answering, config, programs)
    judges = [each for each in config.judges if each.kind != "reward_model" or each.path or reward]
    judgements = [judge_of(each, recipe, reward, programs)(asked) for each in judges]
    scores = combined(judgements)
    drafts, reasons = pair_up(asked, scores, config.pairing, config.min_margin, SAMPLED)
    found = _found(read_pairs(raw_preferences / RAW), recipe, sets)
    _check_answers((*drafts, *found), recipe)
    warnings = balance((*drafts, *found), config.pairing, _weights(recipe))
    for warning in warnings:
        logger.warning("preferences.pairing: %s", warning)
    decided = decisions(asked, drafts, scores)
    ledgers = account(sampled, chosen, asked, drafts, reasons, decided, found)
    pairs = [draft.pair for draft in (*drafts, *found) if draft.rule is None]
    train, kept_back = split(pairs, config.heldout_share, config.seed)
    if not train or not kept_back:
        raise DataError(
            f"preference_pairs: {len(pairs)} pairs on {len({p.prompt_key() for p in pairs})} prompts are not enough "
            f"to train and to measure; of {len(chosen)} sampled prompts: {ledgers[0].dropped}. "
            "Lower preferences.min_margin, raise preferences.prompts or preferences.temperatures, or add preferences.sources"
        )
    write_pairs(out / TRAIN, train)
    write_pairs(out / HELDOUT, kept_back)
    write_candidates(out, asked, judgements, scores, decided)
    Ledger(sources=ledgers).write(out)
    agreed = agreements(judgements, config.seed)
    draw_pairs(programs.run_dir, pairs, ledgers[0], judgements, agreed)
    return {
        **pair_facts(train, kept_back, (*drafts, *found), ledgers, judgements, agreed),
        "prompts_sampled": len(chosen),
        "warnings": warnings,
        "sampling": sampling,
    }


def split(pairs: list[Pair], heldout_share: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Training and held-out pairs: whole prompts, drawn by (seed, prompt) alone, so that no later round trains on a prompt
    that an earlier one held out; each side keeps the order of `pairs`, and has one prompt at least where there are two."""
    prompts = {pair.prompt_key(): 0.0 for pair in pairs}
    for key in prompts:
        prompts[key] = int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8]) / 2**64
    rising = sorted(prompts, key=prompts.__getitem__)
    count = sum(drawn < heldout_share for drawn in prompts.values())
    kept_back = set(rising[: min(max(1, count), max(0, len(rising) - 1))])
    train = [pair for pair in pairs if pair.prompt_key() not in kept_back]
    return train, [pair for pair in pairs if pair.prompt_key() in kept_back]


def judge_of(config: JudgeConfig, recipe: Recipe, reward: ModelFolder | None, programs: Programs) -> Judge:
    """The judge that the recipe describes, as a function of what was asked.

    Args:
        reward: the model of a reward judge.
    """
    rules = recipe.instructions
    if isinstance(config, ReferenceJudge):
        return lambda asked: judge_by_reference(asked, config)
    if isinstance(config, RuleJudge):
        return lambda asked: judge_by_rules(asked, config, rules.rules, rules.identity)
    if isinstance(config, EndpointJudge):
        endpoint = Endpoint(config.endpoint, Address.from_environment(), programs.cache / PAID_ANSWERS)
        rubric = config.read_rubric()
        return lambda asked: judge_by_endpoint(asked, config, rubric, endpoint)
    assert reward is not None
    return lambda asked: judge_by_reward(asked, config, rewarding(config, reward, programs))


def _found(pairs: list[Pair], recipe: Recipe, sets: EvaluationSets) -> list[Draft]:
    """The pairs of `raw_preferences`; those about an evaluation prompt, or that quote one, are dropped."""
    groups = _groups(recipe)
    drafts = []
    for pair in pairs:
        prompt = "\n".join(message.content for message in pair.prompt if message.role != "system")
        draft = Draft(pair, language_of(prompt, "en", MIN_LANGUAGE_SCORE), groups.get(pair.source, pair.source))
        if sets.is_prompt(pair.prompt[-1].content):
            draft.rule = "evaluation_prompt"
        elif sets.quoted_in(pair.text()):
            draft.rule = "evaluation_passage"
        drafts.append(draft)
    return drafts


def _check_answers(drafts: Sequence[Draft], recipe: Recipe) -> None:
    """Rules of a pair by itself: those of the instructions that its chosen answer breaks, and a length too different."""
    config = recipe.preferences.pairing
    passed = [draft for draft in drafts if draft.rule is None]
    exchanges = [(draft.pair.prompt[-1].content, draft.pair.chosen, draft.language) for draft in passed]
    rules = recipe.instructions
    for draft, names in zip(passed, broken(exchanges, rules.rules, rules.identity), strict=True):
        shorter, longer = sorted(draft.lengths())
        name = next((name for name in config.chosen_rules if name in names), None)
        if name:
            draft.rule = f"chosen_{name}"
        elif config.max_length_ratio is not None and longer > config.max_length_ratio * shorter:
            draft.rule = "length_ratio"


def _groups(recipe: Recipe) -> dict[str, str]:
    """By the source that a pair names, the entry of `preferences.sources` that it came from."""
    entries = recipe.preferences.sources
    return {name: str(number) for number, each in enumerate(entries) for name in _names(each)}


def _names(source: Any) -> tuple[str, ...]:
    return source.sources if source.kind == "sibling_answers" else (source.name,)


def _weights(recipe: Recipe) -> dict[str, float] | None:
    config = recipe.preferences
    if config.pairing.sampled_weight is None:
        return None
    weights = {str(number): each.weight for number, each in enumerate(config.sources) if each.weight is not None}
    return {SAMPLED: config.pairing.sampled_weight, **weights}
