"""What MLflow's pages say of a model, as Markdown: what it is, what it was made from, how it was judged."""

from collections.abc import Mapping, Sequence
from typing import Any

from lifecycle.artifacts import Manifest

JUDGED = "\n\n## Judged\n"
SHOWN_FACTS = ("parameters", "tokens", "rows", "steps", "loss", "loss_last", "heldout_reward_accuracy")
WHAT = {
    "base": "A base model: next-token prediction on the recipe's corpus.",
    "sft": "An SFT model: the base model fine-tuned on the recipe's conversations.",
    "dpo": "A DPO model: the SFT model (or that of the round before) aligned with the recipe's preference pairs.",
    "kto": "A KTO model: the SFT model aligned with answers that were wanted or not.",
    "reward": "A reward model: it scores answers, learnt from the recipe's preference pairs.",
}


def model_card(manifest: Manifest, recipe_name: str, description: str) -> str:
    """The description of a model version before it is judged."""
    facts, kind = manifest.facts, manifest.stage.partition("_")[0]
    figures = [f"- {key.replace('_', ' ')}: {_figure(facts[key])}" for key in SHOWN_FACTS if key in facts]
    inputs = [f"- {item.name}: `{item.digest[:12]}`" for item in manifest.inputs]
    parts = [
        f"{WHAT[kind]} Recipe `{recipe_name}`{': ' + description if description else '.'}",
        f"Made {manifest.created_at} in {manifest.seconds:.0f} s; digest `{manifest.digest[:12]}`.",
        "\n".join(["## Made from", *inputs]),
        "\n".join(["## Figures of the training", *figures]) if figures else "",
        f"The whole way back to the raw bytes: `lifecycle lineage {recipe_name}_{kind}`.",
    ]
    return "\n\n".join(part for part in parts if part)


def judged(card: str, gates: Sequence[Mapping[str, Any]], verdict: str) -> str:
    """The card with the measured gates and the verdict on them; an earlier judgement is replaced."""
    rows = ["| model | figure | value | must be | holds |", "|---|---|---|---|---|"]
    for gate in gates:
        limits = [f"{word} {gate[key]:g}" for key, word in LIMITS.items() if gate.get(key) is not None]
        weight = "" if gate.get("blocking", True) else " (not blocking)"
        cells = (gate.get("model", ""), gate.get("metric", ""), _figure(gate.get("value")), " and ".join(limits))
        rows.append(f"| {' | '.join(map(str, cells))} | {'yes' if gate['passed'] else 'no'}{weight} |")
    return card.split(JUDGED)[0] + JUDGED + "\n" + "\n".join(rows) + f"\n\n**Verdict:** {verdict}"


LIMITS = {"at_least": "at least", "at_most": "at most"}


def _figure(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
