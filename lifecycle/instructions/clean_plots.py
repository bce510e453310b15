"""Pictures of cleaned instructions: tasks, lengths, and what each rule dropped."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from lifecycle.instructions.conversations import Conversation
from lifecycle.instructions.raw import draw_tasks
from lifecycle.plots import plot

RULES_SHOWN = 15


def draw_cleaning(
    kept: Sequence[Conversation],
    scores: pa.Table,
    rules: Sequence[str | None],
    tokens: np.ndarray,
    limit: int,
    run_dir: Path,
) -> None:
    """Draw everything; `rules` dropped each row of `scores`, or did not; `tokens` are lengths of what they let through."""
    draw_tasks(kept, "Conversations per task, cleaned", run_dir)
    with plot(run_dir, "lengths", "Tokens per conversation, rendered") as axes:
        axes.hist(np.minimum(tokens, 2 * limit), bins=40)
        axes.axvline(limit, linestyle="--")
        axes.set_xlabel(f"tokens (limit {limit})")
        axes.set_ylabel("conversations")
    with plot(run_dir, "question_and_answer", "Characters of the longest question and answer, kept") as axes:
        stays = np.array([rule is None for rule in rules])
        for name in ("longest_question", "longest_answer"):
            axes.hist(
                np.log10(np.maximum(scores[name].to_numpy()[stays], 1)), bins=40, alpha=0.6, label=name.replace("_", " ")
            )
        axes.set_xlabel("characters, as a power of ten")
        axes.set_ylabel("conversations")
        axes.legend(frameon=False)
    dropped = Counter(rule for rule in rules if rule).most_common(RULES_SHOWN)
    if dropped:
        with plot(run_dir, "dropped", "Conversations dropped by rule") as axes:
            axes.barh([rule for rule, _ in reversed(dropped)], [count for _, count in reversed(dropped)])
            axes.set_xlabel("conversations")
