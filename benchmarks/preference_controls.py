"""What a reward accuracy is worth: DPO on the pairs as they are, and on the same pairs with their sides swapped at random.

Both runs share model, pairs, order and settings; the second one can only learn what does not depend on which answer was
preferred, so its accuracy on the held-out pairs must stay at 0.5. Beside them stands what length alone would give.

    python benchmarks/preference_controls.py --model STORE/sft_model/… --pairs STORE/preference_pairs/… --set seed=1
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from lifecycle.evaluation.controls import length_only
from lifecycle.jobs import TrainingJob
from lifecycle.preferences.table import HELDOUT, TRAIN, Pair, read_pairs, write_pairs
from lifecycle.pretrained import load_tokenizer
from lifecycle.recipe.preference_training import DpoConfig
from lifecycle.training.preference_data import read_splits


def main() -> None:
    """Run both and print a table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="directory of the SFT model")
    parser.add_argument("--pairs", type=Path, required=True, help="directory of the preference_pairs artifact")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of the recipe's section dpo")
    parser.add_argument("--seed", type=int, default=0, help="of the coin that swaps the sides")
    parser.add_argument("--source", help="measure the held-out pairs of this source alone, as `sampled_answers`")
    given = parser.parse_args()
    settings = {name: yaml.safe_load(value) for name, _, value in (each.partition("=") for each in given.set)}
    config = DpoConfig.model_validate(settings)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        pairs = measured(given.pairs, root, given.source)
        rows = {
            "as they are": run(root / "real", given.model, pairs, config),
            "sides swapped at random": run(root / "swapped", given.model, swapped(pairs, root, given.seed), config),
        }
        splits = read_splits(pairs, load_tokenizer(given.model), config.max_length, "dpo")
    print(
        "| training pairs | pairs | held-out reward accuracy (95 %) | margin | loss, first to last |\n|---|---|---|---|---|"
    )
    for name, facts in rows.items():
        accuracy = with_interval(facts["heldout_reward_accuracy"], facts["heldout_reward_accuracy_interval"])
        loss = f"{facts['loss_first']:.3f} to {facts['loss_last']:.3f}"
        print(f"| {name} | {facts['rows']:,} | {accuracy} | {facts['heldout_reward_margin']:.3f} | {loss} |")
    lengths = length_only(splits.train.lengths(), splits.heldout.lengths())
    print(f"| none: the length alone | | {with_interval(lengths.accuracy, lengths.interval)} | | |")


def measured(pairs: Path, root: Path, source: str | None) -> Path:
    """The pairs, of which those held out are of `source` alone; with None all of them."""
    if source is None:
        return pairs
    heldout = [pair for pair in read_pairs(pairs / HELDOUT) if pair.source == source]
    if not heldout:
        raise SystemExit(f"--source {source}: no held-out pair is of it")
    return written(root / "measured", read_pairs(pairs / TRAIN), heldout)


def swapped(pairs: Path, root: Path, seed: int) -> Path:
    """The pairs with chosen and rejected of each training pair exchanged by a coin; held-out pairs stay as they are."""
    coin = random.Random(seed)
    train = []
    for pair in read_pairs(pairs / TRAIN):
        turned = {"chosen": pair.rejected, "rejected": pair.chosen}
        train.append(pair.model_copy(update=turned if coin.random() < 0.5 else {}))
    return written(root / "pairs", train, read_pairs(pairs / HELDOUT))


def written(directory: Path, train: list[Pair], heldout: list[Pair]) -> Path:
    """Both splits as a `preference_pairs` artifact has them."""
    directory.mkdir(parents=True)
    write_pairs(directory / TRAIN, train)
    write_pairs(directory / HELDOUT, heldout)
    return directory


def run(root: Path, model: Path, pairs: Path, config: DpoConfig) -> dict[str, Any]:
    job = TrainingJob(
        stage="dpo_model",
        fingerprint=root.name,
        program="lifecycle.training.preference",
        config={
            "dpo": config.model_dump(),
            "reference": {"model": "this", "data": root.name, "results": str(root.parent / "results")},
        },
        inputs={"model": str(model), "pairs": str(pairs)},
        output=str(root / "out"),
        run_dir=str(root / "run"),
        processes=config.processes,
    )
    subprocess.run([sys.executable, "-m", "lifecycle.training.launch", str(job.write())], check=True, stdout=sys.stderr)
    return json.loads((root / "run" / "result.json").read_text(encoding="utf-8"))


def with_interval(value: float, interval: Any) -> str:
    return f"{value:.3f} ({interval[0]:.3f}–{interval[1]:.3f})"


if __name__ == "__main__":
    main()
