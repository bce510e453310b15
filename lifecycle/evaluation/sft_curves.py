"""What the stage `sft_controls` found, and how the report shows it: validation curves beside those of chance."""

import json
from collections.abc import Sequence
from pathlib import Path

from lifecycle.charts import Chart, line_chart
from lifecycle.errors import CorruptArtifactError
from lifecycle.evaluation.tables import Table
from lifecycle.recipe.base import Section
from lifecycle.words import number

FILE, STAGE = "curves.json", "sft_controls"
AS_DECIDED = "as the recipe says"
SHOWN_STEPS = 5


class Curve(Section):
    """One fine-tuning: its losses on the held-out conversations."""

    arm: str
    seed: int
    """Counted from 0: each has another order of training, and another draw where anything is drawn."""
    conversations: int
    """It was trained on."""
    points: tuple[tuple[int, float], ...]
    """(step, bits per byte of the answers)."""

    @property
    def last(self) -> float:
        """Bits per byte at the end."""
        return self.points[-1][1]


def read_curves(directory: Path) -> list[Curve]:
    """The curves in the artifact; raises CorruptArtifactError where they are missing or damaged."""
    try:
        return [Curve.model_validate(each) for each in json.loads((directory / FILE).read_bytes())]
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{directory / FILE}: missing or damaged; materialize {STAGE} again: {error}") from error


def by_arm(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """The curves of each arm, seed by seed."""
    return {name: [each for each in curves if each.arm == name] for name in dict.fromkeys(each.arm for each in curves)}


def curves_table(curves: Sequence[Curve]) -> Table:
    """The losses of each arm at some steps, means over the seeds, and how far each seed ends from the recipe's own."""
    arms = by_arm(curves)
    own = arms.get(AS_DECIDED, [])
    steps = _shown([step for step, _ in own[0].points]) if own else []
    rows = []
    for name, same in arms.items():
        means = (sum(dict(each.points)[step] for each in same) / len(same) for step in steps)
        apart = [f"{each.last - other.last:+.4f}" for each, other in zip(same, own, strict=True)]
        cells = (name, f"{same[0].conversations:,}", *(number(mean) for mean in means))
        rows.append((*cells, "–" if name == AS_DECIDED else ", ".join(apart)))
    columns = ("fine-tuning", "conversations", *(f"step {step}" for step in steps), "at the end, by seed")
    note = (
        "Bits per byte of the answers of the same held-out conversations (lower is better), means over the seeds; the last "
        "column is each seed's difference to the recipe's own training, so that chance won where it is negative."
    )
    return Table("Fine-tuning and chance", note, columns, tuple(rows))


def curves_chart(curves: Sequence[Curve]) -> Chart | None:
    """Every curve, a line for each seed in the colour of its arm; None without curves."""
    named = {name: [each.points for each in same] for name, same in by_arm(curves).items()}
    return line_chart(named) if named else None


def _shown(steps: Sequence[int]) -> list[int]:
    """At most `SHOWN_STEPS` of them, evenly spread, the last among them."""
    count = min(SHOWN_STEPS, len(steps))
    return [steps[(place + 1) * len(steps) // count - 1] for place in range(count)]
