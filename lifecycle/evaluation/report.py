"""The report over all models of one recipe: figures, what each stage improved, the win rate, the gates."""

import gzip
import lzma
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from lifecycle.errors import DataError
from lifecycle.evaluation.gates import REPORT, evaluate_gates
from lifecycle.evaluation.report_pages import write_html, write_markdown
from lifecycle.evaluation.results import ANSWERS, Metric, Results
from lifecycle.evaluation.statistics import win_rate
from lifecycle.plots import plot
from lifecycle.recipe.evaluation import Gate

ORDER = ("base", "sft", "dpo")
"""Each model against the one before it."""
MULTIPLE_CHOICE, BITS = "kind_of_object", "heldout_bits_per_byte/bits_per_byte"
WIN_RATE = "answers/win_rate_over_sft"
SAMPLES = 10


def build_report(
    evals: dict[str, Path], heldout: Path, gates: tuple[Gate, ...], recipe_name: str, out: Path, run_dir: Path
) -> dict[str, Any]:
    """Write `report.json`, `report.md` and `report.html` from the evaluations by model name (base, sft, dpo).

    `report.json` holds `models` (every figure with its interval), `rows` (one per figure, and whether each stage
    improved it), `win_rate` (DPO over SFT by the reference score of greedy answers to the same prompts), `gates`,
    `summary` (what the demo prints) and `samples`.

    Raises:
        RecipeError: a gate names a metric that was not measured.
        DataError: two models did not answer the same prompts.
    """
    results = {name: Results.read(evals[name]) for name in ORDER if name in evals}
    answers = {name: _answers(evals[name]) for name in results}
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
    report["win_rate"] = _win_rate(answers)
    if report["win_rate"]:
        won = report["win_rate"]
        metric = Metric(value=won["rate"], higher_is_better=True, interval=tuple(won["interval"]))
        report["models"]["dpo"]["metrics"][WIN_RATE] = metric.model_dump()
    report["rows"] = rows(report["models"])
    report["gates"] = [result.model_dump() for result in evaluate_gates(report, gates)]
    report["summary"] = _summary(report)
    report["samples"] = _samples(answers)
    (out / REPORT).write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    _plots(report, run_dir)
    write_markdown(report, out)
    write_html(report, sorted((run_dir / "plots").glob("*.png")), out)
    return {
        "rows": len(report["rows"]),
        "summary": report["summary"],
        "gates_passed": sum(gate["passed"] for gate in report["gates"]),
        "gates_failed": sum(not gate["passed"] for gate in report["gates"]),
    }


def rows(models: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per figure: its value in each model, and per stage `improved`, `not improved` or `worse`.

    A stage improved a figure when its value lies on the better side of the previous one's and outside of that one's 95 %
    interval, and the other way round; otherwise the difference is within what chance gives. Without intervals the values
    alone decide.
    """
    names = [name for name in ORDER if name in models]
    keys = list(dict.fromkeys(key for name in names for key in models[name]["metrics"]))
    found = []
    for key in keys:
        values = {name: models[name]["metrics"].get(key) for name in names}
        verdicts = {
            later: _verdict(values[earlier], values[later])
            for earlier, later in pairwise(names)
            if values[earlier] and values[later]
        }
        task, _, metric = key.partition("/")
        chance = next((models[name]["chance"][task] for name in names if task in models[name]["chance"]), None)
        found.append({"metric": key, "values": values, "verdicts": verdicts, "chance": chance if metric == "acc" else None})
    return found


def _verdict(earlier: dict[str, Any], later: dict[str, Any]) -> str:
    gain = later["value"] - earlier["value"]
    gain = gain if later["higher_is_better"] else -gain
    for one, other in ((earlier, later), (later, earlier)):
        if one["interval"] and one["interval"][0] <= other["value"] <= one["interval"][1]:
            return "not improved (within the interval)"
    if gain > 0:
        return "improved"
    return "not improved (worse)" if gain < 0 else "not improved (equal)"


def _answers(directory: Path) -> list[dict[str, Any]]:
    path = directory / ANSWERS
    return pq.read_table(path).to_pylist() if path.exists() else []


def _win_rate(answers: dict[str, list[dict[str, Any]]]) -> dict[str, Any] | None:
    """DPO over SFT, or None where there were no prompts, or one of the models was not evaluated."""
    ours, theirs = answers.get("dpo", []), answers.get("sft", [])
    if not ours or not theirs:
        return None
    if [row["id"] for row in ours] != [row["id"] for row in theirs]:
        raise DataError("eval_report: dpo_eval and sft_eval answered different prompts; run both on the same heldout_text")
    return win_rate([row["score"] for row in ours], [row["score"] for row in theirs]).model_dump()


def _compression(heldout: Path) -> dict[str, float]:
    """Bits per byte of general compressors on the very text that the models were measured on."""
    lines = (heldout / "text.jsonl").read_bytes().splitlines()
    text = "".join(orjson.loads(line)["text"] for line in lines if line.strip()).encode("utf-8")
    return {
        "bytes": len(text),
        "gzip_bits_per_byte": 8 * len(gzip.compress(text, 9, mtime=0)) / len(text),
        "xz_bits_per_byte": 8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) / len(text),
    }


def _summary(report: dict[str, Any]) -> dict[str, Any]:
    models, won = report["models"], report["win_rate"]

    def value(model: str, metric: str, field: str = "value") -> float | None:
        return models.get(model, {}).get("metrics", {}).get(metric, {}).get(field)

    accuracy = f"{MULTIPLE_CHOICE}/acc"
    chances = [model["chance"].get(MULTIPLE_CHOICE) for model in models.values()]
    return {
        "base": {
            "bits_per_byte": value("base", BITS),
            "gzip_bits_per_byte": report["baselines"]["gzip_bits_per_byte"],
            "xz_bits_per_byte": report["baselines"]["xz_bits_per_byte"],
        },
        "multiple_choice": {
            "chance": next((chance for chance in chances if chance is not None), None),
            "standard_error": value("sft", accuracy, "stderr"),
            **{name: value(name, accuracy) for name in ORDER},
        },
        "dpo": {
            "reward_accuracy": value("dpo", "preferences/reward_accuracy"),
            "reward_accuracy_interval": value("dpo", "preferences/reward_accuracy", "interval"),
            "win_rate": won["rate"] if won else None,
            "win_rate_interval": won["interval"] if won else None,
        },
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


def _plots(report: dict[str, Any], run_dir: Path) -> None:
    models, shares = report["models"], [row for row in report["rows"] if _is_share(row)]
    with plot(
        run_dir, "shares", "Shares and scores by model, with 95 % intervals", size=(7.0, 1.2 + 0.7 * len(shares))
    ) as axes:
        for offset, name in enumerate(models):
            for position, row in enumerate(shares):
                metric = row["values"][name]
                if metric:
                    _bar(axes, position + 0.25 * (offset - 1), metric, f"C{offset}", name if position == 0 else None)
        axes.set_yticks(range(len(shares)), [row["metric"] for row in shares])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.legend(frameon=False)
    bits = next((row for row in report["rows"] if row["metric"] == BITS), None)
    if bits:
        bars = {name: metric["value"] for name, metric in bits["values"].items() if metric}
        bars |= {"xz -9e": report["baselines"]["xz_bits_per_byte"], "gzip -9": report["baselines"]["gzip_bits_per_byte"]}
        with plot(run_dir, "bits_per_byte", "Bits per byte of held-out text (lower is better)") as axes:
            axes.bar(list(bars), list(bars.values()), color=["#3b6fb6"] * (len(bars) - 2) + ["#6b7480"] * 2)


def _bar(axes: Any, position: float, metric: dict[str, Any], colour: str, label: str | None) -> None:
    axes.barh(position, metric["value"], height=0.22, color=colour, label=label)
    if metric["interval"]:
        axes.plot(metric["interval"], [position, position], color="black", linewidth=1)


def _is_share(row: dict[str, Any]) -> bool:
    return row["metric"] != BITS and all(0 <= metric["value"] <= 1 for metric in row["values"].values() if metric)
