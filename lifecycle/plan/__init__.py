"""What a run would do, before it does it: for every stage reuse, maybe, run or blocked, why, and at what cost."""

from lifecycle.plan.lines import Action, Cost, PlanLine
from lifecycle.plan.rendering import markdown, render
from lifecycle.plan.walk import plan

__all__ = ["Action", "Cost", "PlanLine", "markdown", "plan", "render"]
