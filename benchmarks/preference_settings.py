"""Which settings of DPO learn the preferences of generated pairs best, and answer better for it, by pairs and prompts that
are neither trained on nor reported.

The training pairs of a `preference_pairs` artifact are split again by prompt: a part is the validation draw by which
settings are compared. The held-out pairs, whose accuracy the report states, are never opened. Each `--over` is a field of
the recipe's section `dpo`, or `min_margin`: the least margin of the generated pairs trained on (validation pairs are the
same for all). With `--instructions` each model also answers the validation prompts greedily, and is compared with the model
that it began with by the reference score of its answers.

    python -m benchmarks.preference_settings --model STORE/sft_model/… --pairs STORE/preference_pairs/… \
        --instructions STORE/instructions/… --set max_length=128 --over learning_rate=1.0e-4,3.0e-4 --over min_margin=0.1,0.3
"""

import argparse
import itertools
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from benchmarks.preference_controls import run, with_interval, written
from lifecycle.evaluation.controls import length_only
from lifecycle.evaluation.statistics import win_rate
from lifecycle.instructions.conversations import Conversation, read_conversations
from lifecycle.preferences.generate import generate_answers
from lifecycle.preferences.pairs import SAMPLED, split
from lifecycle.preferences.score import reference_score
from lifecycle.preferences.table import TRAIN, Pair, prompt_key, read_pairs
from lifecycle.pretrained import load_for_inference, load_tokenizer
from lifecycle.recipe.preference_training import DpoConfig
from lifecycle.training.preference_data import read_splits

MARGIN = "min_margin"


def main() -> None:
    """Train every combination and print a table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="directory of the SFT model")
    parser.add_argument("--pairs", type=Path, required=True, help="directory of the preference_pairs artifact")
    parser.add_argument("--instructions", type=Path, help="directory of the instructions artifact: how good answers are")
    parser.add_argument("--answers", type=int, default=200, help="validation prompts that are answered")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of the recipe's section dpo")
    parser.add_argument("--over", action="append", default=[], metavar="FIELD=VALUE,VALUE")
    parser.add_argument("--share", type=float, default=0.3, help="of the training pairs' prompts, to validate on")
    parser.add_argument("--seed", type=int, default=101, help="of the validation draw")
    given = parser.parse_args()
    fixed = {name: yaml.safe_load(value) for name, _, value in (each.partition("=") for each in given.set)}
    grid = {name: yaml.safe_load(f"[{values}]") for name, _, values in (each.partition("=") for each in given.over)}
    train, validation = split(read_pairs(given.pairs / TRAIN), given.share, given.seed)
    generated = [pair for pair in validation if pair.source == SAMPLED]
    print(f"Validation: {len(generated)} generated pairs of {len(validation)}.\n")
    prompts = _questions(given.instructions, generated)[: given.answers] if given.instructions else []
    before = _scores(given.model, prompts)
    answering = [f"reference score (before: {mean(before):.3f})", "win rate over before (95 %)"] if before else []
    heading = [*grid, "pairs", "accuracy on generated pairs (95 %)", "margin", "length alone", *answering]
    print(f"| {' | '.join(heading)} |\n|{'---|' * len(heading)}")
    with tempfile.TemporaryDirectory() as directory:
        for number, values in enumerate(itertools.product(*grid.values())):
            chosen: dict[str, Any] = dict(zip(grid, values, strict=True))
            config = DpoConfig.model_validate(fixed | {name: chosen[name] for name in chosen if name != MARGIN})
            root = Path(directory) / str(number)
            pairs = written(root / "pairs", [pair for pair in train if _apart(pair, chosen.get(MARGIN, 0.0))], generated)
            facts = run(root, given.model, pairs, config)
            splits = read_splits(pairs, load_tokenizer(given.model), config.max_length, "dpo")
            lengths = length_only(splits.train.lengths(), splits.heldout.lengths())
            accuracy = with_interval(facts["heldout_reward_accuracy"], facts["heldout_reward_accuracy_interval"])
            cells = [*values, facts["rows"], accuracy, f"{facts['heldout_reward_margin']:.3f}", f"{lengths.accuracy:.3f}"]
            if prompts:
                after = _scores(root / "out", prompts)
                won = win_rate(after, before)
                cells += [f"{mean(after):.3f}", with_interval(won.rate, won.interval)]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def _apart(pair: Pair, margin: float) -> bool:
    if pair.source != SAMPLED or pair.chosen_score is None or pair.rejected_score is None:
        return True
    return pair.chosen_score - pair.rejected_score >= margin


def _questions(instructions: Path, pairs: list[Pair]) -> list[Conversation]:
    """The conversations whose questions these pairs answer, by their ids: they hold the reference answers."""
    asked = {pair.prompt_key() for pair in pairs}
    found = {prompt_key(each.messages[:-1]): each for each in read_conversations(instructions)}
    return sorted((found[key] for key in asked if key in found), key=lambda each: each.id)


def _scores(directory: Path, conversations: list[Conversation]) -> list[float]:
    """Reference scores of the model's greedy answers."""
    if not conversations:
        return []
    model, tokenizer = load_for_inference(directory)
    given = generate_answers(model, tokenizer, [each.chat()[:-1] for each in conversations], max_new_tokens=48)
    return [
        reference_score(answer.text, each.messages[-1].content, finished=answer.finished)
        for each, (answer,) in zip(conversations, given, strict=True)
    ]


if __name__ == "__main__":
    main()
