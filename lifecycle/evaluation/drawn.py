"""The items that an evaluation asks, drawn from the candidates of the held-out text.

`heldout_text` keeps every candidate, because training must see none of them; how many are asked is the evaluation's own
matter, so that another number remakes no training.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from lifecycle.evaluation.items import EvaluationItem, read_items, write_items, write_references
from lifecycle.files import write_atomically
from lifecycle.recipe.evaluation import EvaluationConfig

FOLDER = "heldout"
"""In the run directory of an evaluation."""
TEXT, ITEMS = "text.jsonl", "items"
KIND, FIRST_WORD, WIN_RATE = "kind_of_object", "first_word_match", "win_rate"
MAX_WORD_SHARE = 0.05


def draw_heldout(heldout: Path, config: EvaluationConfig, run_dir: Path) -> Path:
    """A directory with the measured text of a `heldout_text` artifact and the items that this recipe asks of it.

    Written again, it is the same: a program that was left running may read it.
    """
    folder = run_dir / FOLDER
    write_atomically(folder / TEXT, (heldout / TEXT).read_text(encoding="utf-8"))
    draw: dict[str, Callable[[Sequence[EvaluationItem]], list[EvaluationItem]]] = {
        KIND: lambda items: balanced(items, config.max_items, config.seed),
        FIRST_WORD: lambda items: varied(items, config.max_items),
        WIN_RATE: lambda items: list(items[: config.win_rate_prompts]),
    }
    for name, choose in draw.items():
        path = heldout / ITEMS / f"{name}.jsonl"
        if path.exists():
            (write_references if name == WIN_RATE else write_items)(folder / ITEMS / path.name, choose(read_items(path)))
    return folder


def balanced(items: Sequence[EvaluationItem], count: int, seed: int) -> list[EvaluationItem]:
    """As many items of each right answer, the first of each, `count` at most together; in an order by `seed`."""
    by_answer: dict[int, list[EvaluationItem]] = {}
    for item in items:
        assert item.gold is not None
        by_answer.setdefault(item.gold, []).append(item)
    if not by_answer:
        return []
    each = min(count // len(by_answer), *map(len, by_answer.values()))
    chosen = [item for answer in sorted(by_answer) for item in by_answer[answer][:each]]
    random.Random(seed).shuffle(chosen)
    return chosen


def varied(items: Sequence[EvaluationItem], count: int) -> list[EvaluationItem]:
    """The first `count` of which no word is the answer of more than a twentieth: one word said always does not score."""
    limit = max(1, round(MAX_WORD_SHARE * count))
    seen: Counter[str] = Counter()
    chosen: list[EvaluationItem] = []
    for item in items:
        word = (item.target or "").lower()
        if seen[word] < limit and len(chosen) < count:
            seen[word] += 1
            chosen.append(item)
    return chosen
