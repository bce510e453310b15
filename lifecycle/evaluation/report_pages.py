"""The report as pages for people: Markdown for the Dagster UI, and one HTML file that needs nothing beside it."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lifecycle.evaluation.gates import GateResult
from lifecycle.evaluation.sections import tables
from lifecycle.pages import environment, markdown_cell

CONTROLS = {"shuffled_pairs": "with the pairs shuffled", "length_only": "by length alone"}
TEMPLATES = Path(__file__).parent


def write_markdown(report: dict[str, Any], out: Path) -> None:
    """Write `report.md`."""
    text = environment(TEMPLATES, autoescape=False).get_template("report.md.jinja").render(**_values(report))
    (out / "report.md").write_text(text, encoding="utf-8")


def read_markdown(out: Path) -> str:
    """`report.md` without its samples: what everybody looks at first."""
    return (out / "report.md").read_text(encoding="utf-8").partition("\n## Samples")[0]


def write_html(report: dict[str, Any], plots: Sequence[Path], out: Path) -> None:
    """Write `report.html`; the plots are part of the file."""
    pictures = [(path.stem, base64.b64encode(path.read_bytes()).decode("ascii")) for path in plots]
    text = (
        environment(TEMPLATES, autoescape=True).get_template("report.html.jinja").render(plots=pictures, **_values(report))
    )
    (out / "report.html").write_text(text, encoding="utf-8")


def headline(report: dict[str, Any]) -> list[str]:
    """The things to know, in words."""
    summary = report["summary"]
    base, choice, dpo = summary["base"], summary["multiple_choice"], summary["dpo"]
    lines = []
    if base["bits_per_byte"] is not None:
        better = "fewer than" if base["bits_per_byte"] < base["xz_bits_per_byte"] else "not fewer than"
        lines.append(
            f"The base model needs {base['bits_per_byte']:.3f} bits per byte of held-out text, {better} xz -9e "
            f"({base['xz_bits_per_byte']:.3f}); gzip -9 needs {base['gzip_bits_per_byte']:.3f}."
        )
    if choice["sft"] is not None and choice["standard_error"]:
        distance = (choice["sft"] - choice["chance"]) / choice["standard_error"]
        lines.append(
            f"Multiple choice: the SFT model is right in {choice['sft']:.1%}, chance is {choice['chance']:.1%}; "
            f"the difference is {distance:+.1f} standard errors."
        )
    if dpo["win_rate"] is not None:
        low, high = dpo["win_rate_interval"]
        verdict = (
            "DPO improved on SFT" if low > 0.5 else "DPO is worse than SFT" if high < 0.5 else "DPO did not improve on SFT"
        )
        lines.append(f"{verdict}: win rate {dpo['win_rate']:.1%} by reference score (95 %: {low:.1%} to {high:.1%}).")
    if dpo["reward_accuracy"] is not None:
        low, high = dpo["reward_accuracy_interval"]
        lines.append(
            f"Reward accuracy on held-out pairs: {dpo['reward_accuracy']:.1%} (95 %: {low:.1%} to {high:.1%})"
            + "".join(f"; {name} {dpo[key]:.1%}" for key, name in CONTROLS.items() if dpo[key] is not None)
            + "."
        )
    return lines


def _values(report: dict[str, Any]) -> dict[str, Any]:
    return {
        "report": report,
        "headline": headline(report),
        "tables": tables(report),
        "gates": [GateResult.model_validate(gate) for gate in report["gates"]],
        "number": _number,
        "cell": markdown_cell,
    }


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
