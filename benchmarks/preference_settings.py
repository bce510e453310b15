"""Which settings of DPO learn the preferences of generated pairs best, by pairs that are neither trained on nor reported.

The training pairs of a `preference_pairs` artifact are split again by prompt: a part is the validation draw by which
settings are compared. The held-out pairs, whose accuracy the report states, are never opened. Each `--over` is a field of
the recipe's section `dpo`, or `min_margin`: the least margin of the generated pairs trained on (validation pairs are the
same for all).

    python -m benchmarks.preference_settings --model STORE/sft_model/… --pairs STORE/preference_pairs/… \
        --set max_length=128 --over learning_rate=1.0e-4,3.0e-4 --over min_margin=0.1,0.3
"""

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.preference_controls import run, with_interval, written
from lifecycle.evaluation.controls import length_only
from lifecycle.preferences.pairs import SAMPLED, split
from lifecycle.preferences.table import TRAIN, Pair, read_pairs
from lifecycle.pretrained import load_tokenizer
from lifecycle.recipe.preference_training import DpoConfig
from lifecycle.training.preference_data import read_splits

MARGIN = "min_margin"


def main() -> None:
    """Train every combination and print a table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="directory of the SFT model")
    parser.add_argument("--pairs", type=Path, required=True, help="directory of the preference_pairs artifact")
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
    heading = " | ".join([*grid, "pairs", "accuracy on generated pairs (95 %)", "margin", "length alone"])
    print(f"| {heading} |\n|{'---|' * (len(grid) + 4)}")
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
            cells = (*values, facts["rows"], accuracy, f"{facts['heldout_reward_margin']:.3f}", f"{lengths.accuracy:.3f}")
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def _apart(pair: Pair, margin: float) -> bool:
    if pair.source != SAMPLED or pair.chosen_score is None or pair.rejected_score is None:
        return True
    return pair.chosen_score - pair.rejected_score >= margin


if __name__ == "__main__":
    main()
