"""The report over all models of one recipe: figures, what each stage made of them, the win rate, samples."""

import gzip
import lzma
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from lifecycle.errors import DataError
from lifecycle.evaluation.contrasts import read_items
from lifecycle.evaluation.figures import (
    BEFORE_ALIGNMENT,
    REPORT,
    WIN_RATE,
    contrasts,
    final_of,
    metrics_of,
    rows,
    summary,
)
from lifecycle.evaluation.report_plots import write_plots
from lifecycle.evaluation.results import Results, higher, read_answers
from lifecycle.evaluation.sections import add_sections
from lifecycle.evaluation.statistics import WinRate, win_rate

SAMPLES = 10


def build_report(
    evals: dict[str, Path],
    heldout: Path,
    recipe_name: str,
    out: Path,
    run_dir: Path,
    beside: Mapping[str, Path] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write `report.json` from the evaluations by model name (dpo_r2, kto, …), and plots into `run_dir`.

    `report.json` holds `models` (every figure with its interval), `rows` (one per figure, and whether each stage
    improved it), `contrasts` (every two models, in standard errors), `final` (the last round of DPO), `win_rate` (its
    greedy answers over those of SFT, by their reference score, to the same prompts), the sections of `add_sections`,
    `summary` (what the demo prints) and `samples`. Gates, the champion of the day and what the training cost are not in
    it: `report_pages` adds them.

    Args:
        beside: artifacts of the stages `contamination` and `comparisons`, where the recipe has them.

    Raises:
        DataError: two models did not answer the same prompts.
    """
    results = {name: Results.read(directory) for name, directory in evals.items()}
    answers = {name: read_answers(evals[name]) for name in results}
    report: dict[str, Any] = {
        "recipe": recipe_name,
        "baselines": _compression(heldout),
        "models": {
            name: {
                "parameters": result.parameters,
                "metrics": {key: metric.model_dump() for key, metric in result.metrics().items()},
                "chance": {task: found.chance for task, found in result.tasks.items() if found.chance is not None},
                "items": {task: found.n for task, found in result.tasks.items()},
                "missing": list(result.missing),
            }
            for name, result in results.items()
        },
    }
    add_sections(report, results, evals, heldout, beside)
    won = {name: _win_rate(answers, name) for name in results if name not in ("base", BEFORE_ALIGNMENT)}
    for name, rate in won.items():
        if rate:
            report["models"][name]["metrics"][WIN_RATE] = higher(rate.rate, rate.interval).model_dump()
    report["final"] = final_of(results)
    final = won.get(report["final"] or "")
    report["win_rate"] = final.model_dump() if final else None
    report["rows"] = rows(report["models"])
    items = {name: read_items(directory, heldout, metrics_of(report, name)) for name, directory in evals.items()}
    report["contrasts"] = [each.model_dump() for each in contrasts(report, items)]
    report["summary"] = summary(report)
    report["samples"] = _samples(answers)
    (out / REPORT).write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    write_plots(report, run_dir)
    return {"rows": len(report["rows"]), "summary": report["summary"]}


def _win_rate(answers: dict[str, list[dict[str, Any]]], name: str) -> WinRate | None:
    """A model over SFT, or None where there were no prompts, or SFT was not evaluated."""
    ours, theirs = answers[name], answers.get(BEFORE_ALIGNMENT, [])
    if not ours or not theirs:
        return None
    if [row["id"] for row in ours] != [row["id"] for row in theirs]:
        raise DataError(f"eval_report: {name} and sft answered different prompts; evaluate both on the same heldout_text")
    return win_rate([row["score"] for row in ours], [row["score"] for row in theirs])


def _compression(heldout: Path) -> dict[str, float]:
    """Bits per byte of general compressors on the very text that the models were measured on."""
    lines = (heldout / "text.jsonl").read_bytes().splitlines()
    text = "".join(orjson.loads(line)["text"] for line in lines if line.strip()).encode("utf-8")
    return {
        "bytes": len(text),
        "gzip_bits_per_byte": 8 * len(gzip.compress(text, 9, mtime=0)) / len(text),
        "xz_bits_per_byte": 8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) / len(text),
    }


def _samples(answers: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The first prompts with every model's answer."""
    given = {name: rows for name, rows in answers.items() if rows}
    first = next(iter(given.values()), [])[:SAMPLES]
    return [
        {
            "prompt": row["prompt"],
            "reference": row["reference"],
            "answers": {name: {"answer": rows[i]["answer"], "score": rows[i]["score"]} for name, rows in given.items()},
        }
        for i, row in enumerate(first)
    ]
