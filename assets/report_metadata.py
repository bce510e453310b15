"""What the Dagster pages of `eval_report` and `champion` show: the verdict, the gates, samples, and what all of it took."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from lifecycle.words import duration
from resources.shown import cell, table

if TYPE_CHECKING:
    from lifecycle.evaluation.gates import GateResult
    from lifecycle.evaluation.report_pages import Shown
    from lifecycle.provenance import StageFacts


def report_metadata(told: "Shown", run_dir: Path) -> dict[str, dg.MetadataValue]:
    """What the pages below `run_dir` say, most important first."""
    from lifecycle.evaluation.report_pages import HTML, headline, read_markdown

    report, samples = read_markdown(run_dir)
    return {
        "verdict": dg.MetadataValue.md("\n".join(f"- {line}" for line in headline(told))),
        "gates": gate_table(told.gates),
        "report": dg.MetadataValue.md(report),
        "report page": dg.MetadataValue.path(str(run_dir / HTML)),
        "samples side by side": dg.MetadataValue.md(samples),
        "what it took": table([_took(each) for each in told.stages]),
    }


def gate_table(decided: "Sequence[GateResult]") -> dg.MetadataValue:
    """Each gate with its figures in words, those that do not hold first."""
    return table(
        [
            {"result": "holds" if each.passed else "refuses" if each.blocking else "warns", "figures": each.said}
            for each in sorted(decided, key=lambda each: each.passed)
        ]
    )


def _took(stage: "StageFacts") -> dict[str, str]:
    return {
        "stage": stage.stage,
        "rows": cell(stage.rows),
        "tokens": cell(stage.tokens),
        "time": duration(stage.wall_seconds),
        "device-hours": "–" if stage.device_hours is None else f"{stage.device_hours:.4f}",
    }
