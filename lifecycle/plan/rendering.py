"""A plan for people: a table in the terminal, the same as Markdown for a page."""

from collections.abc import Sequence

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from lifecycle.plan.costs import total
from lifecycle.plan.lines import Cost, PlanLine
from lifecycle.words import duration

COLOURS = {"reuse": "green", "maybe": "cyan", "run": "yellow", "blocked": "red", "decide": "blue"}


def render(lines: Sequence[PlanLine]) -> Table:
    """The plan as a table for the terminal."""
    table = Table(title=headline(lines), title_justify="left", title_style="bold")
    for column in ("asset", "plan", "cost", "why"):
        table.add_column(column, overflow="fold", no_wrap=column != "why")
    for line in lines:
        colour = COLOURS[line.action]
        table.add_row(escape(line.name), f"[{colour}]{line.action}[/{colour}]", _cost(line), escape(line.why))
    return table


def markdown(lines: Sequence[PlanLine]) -> str:
    """The plan as Markdown."""
    rows = ["| asset | plan | cost | why |", "|---|---|---|---|"]
    rows += [f"| {line.name} | **{line.action}** | {_cost(line)} | {line.why.replace('|', '&#124;')} |" for line in lines]
    return "\n".join((headline(lines), "", *rows))


def headline(lines: Sequence[PlanLine]) -> str:
    """How many artifacts will be made, and what that costs as far as it is known."""
    counts = {action: sum(line.action == action for line in lines) for action in COLOURS}
    parts = [f"{counts['run']} to run"]
    parts += [f"{counts['maybe']} perhaps"] if counts["maybe"] else []
    parts += [f"{counts['reuse']} to reuse"]
    parts += [f"{counts['blocked']} BLOCKED"] if counts["blocked"] else []
    seconds, gpu_hours, disk, unknown = total(list(lines))
    if counts["run"] > unknown:
        spent = f"{duration(seconds)}, {gpu_hours:,.1f} GPU-hours, {decimal(disk)}"
        parts.append(f"cost by history: {spent}" + (f" and {unknown} never made before" if unknown else ""))
    return ", ".join(parts)


def _cost(line: PlanLine) -> str:
    if line.cost is None or line.action == "reuse":
        return ""
    cost: Cost = line.cost
    about = "" if cost.basis == "measured" else "~"
    parts = [f"{about}{duration(cost.seconds)}" if cost.seconds is not None else ""]
    parts += [f"{about}{cost.gpu_hours:,.2f} GPU-h"] if cost.gpu_hours else []
    parts += [decimal(cost.disk)] if cost.disk is not None else []
    return ", ".join(part for part in parts if part)
