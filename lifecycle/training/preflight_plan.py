"""What `lifecycle plan --preflight` says beside the plan."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from lifecycle.plan.lines import Cost, PlanLine
from lifecycle.recipe.recipe import Recipe
from lifecycle.training.estimate import Estimate, render
from lifecycle.training.needs import Made, disk, needs, own_device, preview


@dataclass(frozen=True)
class Preflight:
    """The needs of every training by stage, whether their checkpoints fit on the disk, and a loss mask as Markdown."""

    estimates: dict[str, Estimate]
    disk: str
    mask_preview: str
    device: str | None
    mfu: float

    def data(self) -> dict[str, Any]:
        """Plain data, by stage."""
        return {"mask_preview": self.mask_preview} | {
            stage: asdict(each) | {"memory_total": each.memory.total} for stage, each in self.estimates.items()
        }

    def show(self, console: Console) -> None:
        """Print it for people."""
        for stage, each in self.estimates.items():
            console.print(render(stage, each, self.device, self.mfu))
        console.print(self.disk, soft_wrap=True, markup=False, highlight=False)
        if self.mask_preview:
            console.print("loss mask (bold is trained):", Markdown(self.mask_preview))

    def priced(self, lines: Sequence[PlanLine]) -> list[PlanLine]:
        """The plan with the estimated time of trainings that were never measured; their disk is that of the checkpoints."""
        return [
            line.model_copy(update={"cost": _cost(found)})
            if line.cost is None and line.action == "run" and (found := self.estimates.get(line.stage))
            else line
            for line in lines
        ]


def preflight(recipe: Recipe, made: Made, home: Path, device: str | None, mfu: float) -> Preflight:
    """Look at all trainings of a recipe; raises as `needs` does."""
    device = device or own_device()
    found = needs(recipe, made, device, mfu)
    return Preflight(found, disk(found, home), preview(made), device, mfu)


def _cost(found: Estimate) -> Cost:
    return Cost(seconds=found.seconds, gpu_hours=found.gpu_hours, disk=found.checkpoints, basis="estimated")
