"""Preference pairs: answers sampled from the SFT model and judged against the reference, beside the pairs found."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lifecycle.errors import DataError
from lifecycle.evaluation.items import read_items
from lifecycle.instructions.clean import heldout_names
from lifecycle.instructions.conversations import Conversation, read_conversations
from lifecycle.jobs import TrainingJob
from lifecycle.ledger import Ledger, LedgerWriter, SourceLedger
from lifecycle.preferences.judge import judge_candidates, sample_prompts
from lifecycle.preferences.pair_facts import pair_facts, pair_plots
from lifecycle.preferences.table import HELDOUT, RAW, TRAIN, Pair, read_pairs, write_pairs
from lifecycle.recipe.alignment import PreferencesConfig

logger = logging.getLogger(__name__)

CLOSED_TASKS = ("kind", "deprecated", "first_word")
"""Tasks with one right word: sampled answers to them differ only in being wrong."""
SAMPLED = "sampled_answers"


def build_preference_pairs(
    raw_preferences: Path,
    instructions: Path,
    sft_model: Path,
    heldout: Path,
    config: PreferencesConfig,
    out: Path,
    run_dir: Path,
    launch: Callable[[TrainingJob], dict[str, Any]],
    fingerprint: str,
) -> dict[str, Any]:
    """Write `train.parquet`, `heldout.parquet` (pairs kept from training; no prompt is in both) and `ledger.json`.

    The ledger accounts for every conversation of `instructions` (its pair kept; or not asked; or asked, and the rule
    why no pair came of it) and for every pair of `raw_preferences`. No prompt comes from a held-out group or document,
    and none is an evaluation prompt.

    Raises:
        DataError: fewer than two prompts are left with a pair.
        JobFailedError: the sampling program ended badly.
    """
    forbidden = _evaluation_prompts(heldout)
    conversations = read_conversations(instructions)
    sampled = LedgerWriter(SAMPLED)
    chosen = _choose(conversations, heldout_names(heldout), forbidden, config, sampled)
    logger.info("%d of %d conversations give a prompt to sample", len(chosen), len(conversations))
    candidates, sampling = sample_prompts(chosen, sft_model, config, run_dir, launch, fingerprint)
    pairs = judge_candidates(chosen, candidates, config.min_margin, SAMPLED, sampled)
    found, accounts = _found(read_pairs(raw_preferences / RAW), forbidden)
    pairs += found
    train, kept_back = split(pairs, config.heldout_share, config.seed)
    if not train or not kept_back:
        raise DataError(
            f"preference_pairs: {len(pairs)} pairs on {len({p.prompt_key() for p in pairs})} prompts are not enough "
            f"to train and to measure; of {len(chosen)} sampled prompts: {dict(sampled.dropped)}. "
            "Lower preferences.min_margin, raise preferences.prompts or preferences.temperature, or add preferences.sources"
        )
    write_pairs(out / TRAIN, train)
    write_pairs(out / HELDOUT, kept_back)
    ledgers = (sampled.close(), *accounts)
    Ledger(sources=ledgers).write(out)
    pair_plots(run_dir, pairs, ledgers[0])
    return {**pair_facts(train, kept_back, ledgers), "prompts_sampled": len(chosen), "sampling": sampling}


def split(pairs: list[Pair], heldout_share: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Training and held-out pairs: whole prompts, drawn by (seed, prompt); each side keeps the order of `pairs`."""
    prompts = sorted(
        {pair.prompt_key() for pair in pairs}, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest()
    )
    count = min(max(1, round(heldout_share * len(prompts))), max(0, len(prompts) - 1))
    kept_back = set(prompts[:count])
    train = [pair for pair in pairs if pair.prompt_key() not in kept_back]
    return train, [pair for pair in pairs if pair.prompt_key() in kept_back]


def _choose(
    conversations: list[Conversation],
    heldout: frozenset[str],
    forbidden: set[str],
    config: PreferencesConfig,
    ledger: LedgerWriter,
) -> list[Conversation]:
    """The conversations whose question is asked again, in an order drawn from the seed; the others enter the ledger."""
    order = sorted(conversations, key=lambda c: hashlib.sha256(f"{config.seed}:{c.id}".encode()).digest())
    chosen: list[Conversation] = []
    seen: set[str] = set()
    for conversation in order:
        rule = _reason_to_skip(conversation, heldout, forbidden, seen)
        if rule is None and len(chosen) >= config.prompts:
            rule = "enough_prompts"
        if rule:
            ledger.drop(rule, conversation.id, conversation.text())
            continue
        seen.add(_question(conversation))
        chosen.append(conversation)
    return chosen


def _reason_to_skip(conversation: Conversation, heldout: frozenset[str], forbidden: set[str], seen: set[str]) -> str | None:
    question = _question(conversation)
    rules = {
        "heldout_document": conversation.group in heldout or conversation.document_id in heldout,
        "evaluation_prompt": question in forbidden,
        "several_turns": sum(message.role == "assistant" for message in conversation.messages) != 1,
        "closed_task": conversation.task in CLOSED_TASKS,
        "same_prompt": question in seen,
    }
    return next((rule for rule, broken in rules.items() if broken), None)


def _question(conversation: Conversation) -> str:
    return next(message.content for message in reversed(conversation.messages) if message.role == "user")


def _found(pairs: list[Pair], forbidden: set[str]) -> tuple[list[Pair], list[SourceLedger]]:
    """The pairs of `raw_preferences` that are not about an evaluation prompt, and their ledgers."""
    ledgers = {name: LedgerWriter(name) for name in sorted({pair.source for pair in pairs})}
    kept = []
    for pair in pairs:
        if pair.prompt[-1].content in forbidden:
            ledgers[pair.source].drop("evaluation_prompt", pair.id, pair.text())
            continue
        ledgers[pair.source].keep(pair.text())
        kept.append(pair)
    return kept, [ledger.close() for ledger in ledgers.values()]


def _evaluation_prompts(heldout: Path) -> set[str]:
    return {item.prompt for path in sorted((heldout / "items").glob("*.jsonl")) for item in read_items(path)}
