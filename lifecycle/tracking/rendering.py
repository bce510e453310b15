"""A lineage as a tree for the terminal, as JSON, and as a Mermaid graph."""

import json
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from lifecycle.tracking.lineage import LineageNode, each_once

SHORT = 12
"""Characters of a digest shown where people read; JSON has all of them."""


def render_tree(node: LineageNode) -> Tree:
    """A rich tree. What is met a second time is named, but not unfolded again."""
    tree = Tree(_line(node))
    _grow(tree, node, {node.key})
    return tree


def render_json(node: LineageNode) -> str:
    """`{"root": key, "nodes": {key: {...; "inputs": [{"name", "key"}]}}}`: each artifact once."""
    nodes: dict[str, Any] = {}
    for each in each_once(node):
        fields = each.model_dump(exclude={"inputs", "name"})
        nodes[each.key] = fields | {"inputs": [{"name": item.name, "key": item.key} for item in each.inputs]}
    return json.dumps({"root": node.key, "name": node.name, "nodes": nodes}, indent=1, ensure_ascii=False)


def render_mermaid(node: LineageNode) -> str:
    """A Mermaid flowchart in the direction of the data: sources on the left, the model on the right."""
    numbers = {each.key: index for index, each in enumerate(each_once(node))}
    lines = ["flowchart LR"]
    for each in each_once(node):
        label = "<br/>".join(part.replace('"', "'") for part in (_title(each), each.digest[:SHORT]) if part)
        lines.append(f'  n{numbers[each.key]}["{label}"]')
    for each in each_once(node):
        lines += [f"  n{numbers[item.key]} --> n{numbers[each.key]}" for item in each.inputs]
    return "\n".join(lines)


def _grow(branch: Tree, node: LineageNode, seen: set[str]) -> None:
    for item in node.inputs:
        if item.key in seen and item.inputs:
            branch.add(f"{_line(item)} [dim](unfolded above)[/dim]")
            continue
        seen.add(item.key)
        _grow(branch.add(_line(item)), item, seen)


def _title(node: LineageNode) -> str:
    if node.source:
        return f"{node.stage} of {node.source}"
    return node.stage


def _line(node: LineageNode) -> str:
    text = f"[bold]{escape(_title(node))}[/bold]"
    if node.name.split("/")[0] not in (node.stage, "snapshot"):
        text = f"[bold]{escape(node.name)}[/bold] {escape(node.stage)}"
    text += f"  digest [cyan]{node.digest[:SHORT]}[/cyan]"
    if not node.recorded:
        text += "  [red]no run in MLflow made this digest: the way back is broken here[/red]"
    shown = [node.details[key] for key in ("kind", "path", "packages", "licence") if key in node.details]
    if shown:
        text += f"  [dim]{escape(', '.join(shown))}[/dim]"
    if "run_id" in node.details:
        text += f"  [dim]run {node.details['run_id'][:8]}[/dim]"
    return text
