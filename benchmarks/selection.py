"""Fine-tuning on a part of the instructions: chosen by score and diversity, by diversity alone, and at random.

    python benchmarks/selection.py --instructions DIR --embeddings DIR --model DIR [--by COLUMN] [--keep 0.3] [--quick]

The folders are artifacts of `instructions`, `instruction_embeddings` and `base_model` (with its tokenizer): a run of
`deploy/recipes/posttraining-sample.yaml` leaves all three in its store. A tenth of the conversations, drawn by a hash of
what they were made from, is validated on and never chosen. The arms train the same number of steps on the same number of
conversations each; a seed decides the order of training alone, so that arms are compared seed by seed. Losses are in nats
per token of the answers; the interval is Student's over the seeds' differences to the random arm.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student

from lifecycle.curation.split import is_heldout
from lifecycle.instructions.conversations import Conversation, read_conversations, write_conversations
from lifecycle.instructions.embeddings import ABOUT, FILE, MAP
from lifecycle.instructions.selection import build_selection
from lifecycle.pretrained import load_for_inference
from lifecycle.recipe.fine_tuning import HeldoutConversations
from lifecycle.recipe.selection import COUNTED, ByScore, Quotas, Selection
from lifecycle.tokens.chat import Encoded, encode_conversations

HELDOUT = HeldoutConversations(share=0.1)
RANDOM = "random"
LEARNING_RATE, BATCH = 1e-3, 16


@dataclass(frozen=True)
class Settings:
    """How long and how often is trained."""

    steps: int
    seeds: int
    validated: int
    max_tokens: int = 256
    """Of a conversation; what is longer loses its end."""


def arms(keep: float, by: str) -> dict[str, Selection]:
    """What is compared; all keep the same share."""
    score, none = ByScore(column=by), Quotas(cluster_exponent=None)
    return {
        RANDOM: Selection(keep=keep, by=score, random=True, duplicates=None, quotas=none),
        "diverse": Selection(keep=keep, by=score, random=True),
        f"diverse, highest {by}": Selection(keep=keep, by=score),
    }


def chosen(
    instructions: Path, embeddings: Path, keep: float, by: str, work: Path
) -> tuple[dict[str, list[Conversation]], list[Conversation]]:
    """The conversations of each arm, and those that are validated on."""
    everything = read_conversations(instructions)
    held = np.array([is_heldout(conversation.group, HELDOUT) for conversation in everything])
    pool, points = work / "pool", work / "points"
    for directory in (pool, points):
        directory.mkdir()
    write_conversations(pool, [each for each, aside in zip(everything, held, strict=True) if not aside])
    for name in (FILE, MAP):
        np.save(points / name, np.load(embeddings / name)[~held])
    (points / ABOUT).write_bytes((embeddings / ABOUT).read_bytes())
    made = {}
    for number, (name, selection) in enumerate(arms(keep, by).items()):
        out = work / f"arm-{number}"
        out.mkdir()
        build_selection(pool, points, None, selection, out, work / "run")
        made[name] = read_conversations(out)
    return made, [each for each, aside in zip(everything, held, strict=True) if aside]


def train(directory: Path, rows: Sequence[Encoded], validation: Sequence[Encoded], seed: int, settings: Settings) -> float:
    """Validation loss after so many steps from the model in `directory`, AdamW with a linear decay."""
    torch.manual_seed(seed)
    model, tokenizer = load_for_inference(directory)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    order = np.random.default_rng(seed)
    places = np.concatenate([order.permutation(len(rows)) for _ in range(1 + settings.steps * BATCH // len(rows))])
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / settings.steps)
        total, tokens = _loss(model, [rows[place] for place in places[step * BATCH : (step + 1) * BATCH]], tokenizer)
        (total / max(tokens, 1)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.inference_mode():
        sums = [_loss(model, validation[begin : begin + BATCH], tokenizer) for begin in range(0, len(validation), BATCH)]
    return float(sum(total.double() for total, _ in sums)) / sum(tokens for _, tokens in sums)


def _loss(model: torch.nn.Module, rows: Sequence[Encoded], tokenizer) -> tuple[torch.Tensor, int]:
    """Sum of the answers' losses in nats, and their tokens."""
    width = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), width), tokenizer.eos_token_id)
    labels = torch.full((len(rows), width), -100)
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = torch.from_numpy(row.ids)
        labels[place, : len(row.ids)] = torch.from_numpy(np.where(row.mask.astype(bool), row.ids, -100))
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    return loss, int((labels[:, 1:] != -100).sum())


def _encoded(directory: Path, conversations: Sequence[Conversation], max_tokens: int) -> list[Encoded]:
    _, tokenizer = load_for_inference(directory)
    rows = encode_conversations(tokenizer, [each.chat() for each in conversations])
    cut = [Encoded(row.ids[:max_tokens], row.mask[:max_tokens]) for row in rows]
    return [row for row in cut if row.mask[1:].any()]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Half the width of Student's 95 % interval around the mean, after the mean."""
    spread = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return float(np.mean(values)), float(student.ppf(0.975, max(1, len(values) - 1)) * spread)


def measure(given: argparse.Namespace, settings: Settings) -> list[dict[str, object]]:
    """A row for each arm."""
    with tempfile.TemporaryDirectory(prefix="selection-benchmark-") as work:
        made, aside = chosen(given.instructions, given.embeddings, given.keep, given.by, Path(work))
    aside = sorted(aside, key=lambda each: each.id)[: settings.validated]
    validation = _encoded(given.model, aside, settings.max_tokens)
    encoded = {name: _encoded(given.model, conversations, settings.max_tokens) for name, conversations in made.items()}
    losses: dict[str, list[float]] = {name: [] for name in made}
    for seed in range(settings.seeds):
        for name, rows in encoded.items():
            started = time.process_time()
            losses[name].append(train(given.model, rows, validation, seed, settings))
            seconds = time.process_time() - started
            print(f"seed {seed}, {name}: {losses[name][-1]:.4f} in {seconds:.0f} s of the processor", file=sys.stderr)
    return [_row(name, len(made[name]), losses, len(validation)) for name in made]


def _row(name: str, conversations: int, losses: dict[str, list[float]], validated: int) -> dict[str, object]:
    difference, half = interval([own - other for own, other in zip(losses[name], losses[RANDOM], strict=True)])
    return {
        "arm": name,
        "conversations": conversations,
        "validated": validated,
        "loss": round(interval(losses[name])[0], 4),
        "losses": [round(loss, 4) for loss in losses[name]],
        "against_random": None if name == RANDOM else [round(difference, 4), round(half, 4)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("instructions", "embeddings", "model"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--keep", type=float, default=0.3)
    parser.add_argument("--by", choices=COUNTED, default="answer_characters")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="two seeds of 20 steps: shows that it runs, not who wins")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    settings = Settings(20, 2, 64) if given.quick else Settings(given.steps, given.seeds, 400)
    rows = measure(given, settings)
    print("| arm | conversations | validation loss | against random |\n|---|---|---|---|")
    for row in rows:
        against = "" if row["against_random"] is None else "{:+.4f} ± {:.4f}".format(*row["against_random"])
        print(f"| {row['arm']} | {row['conversations']:,} | {row['loss']} | {against} |")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
