"""The report over all models of one recipe: figures, what each stage improved, the win rate, the gates."""

import gzip
import lzma
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import pyarrow.parquet as pq

from lifecycle.errors import DataError
from lifecycle.evaluation.gates import REPORT, evaluate_gates
from lifecycle.evaluation.report_pages import write_html, write_markdown
from lifecycle.evaluation.results import ANSWERS, Metric, Results
from lifecycle.evaluation.sections import add_sections, is_detail
from lifecycle.evaluation.statistics import win_rate
from lifecycle.plots import plot
from lifecycle.recipe.evaluation import Gate

BEFORE_ALIGNMENT = "sft"
"""What KTO, and the first round of DPO, begin with, and what win rates are taken over."""
MULTIPLE_CHOICE, BITS = "kind_of_object", "heldout_bits_per_byte/bits_per_byte"
REWARDS, CONTROLS = "preferences/reward_accuracy", ("preferences/shuffled_pairs", "preferences/length_only")
WIN_RATE, ANSWER_SCORE = "answers/win_rate_over_sft", "answers/reference_score"
SAMPLES = 10


def build_report(
    evals: dict[str, Path],
    heldout: Path,
    gates: tuple[Gate, ...],
    recipe_name: str,
    out: Path,
    run_dir: Path,
    beside: Mapping[str, Path] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write `report.json`, `report.md` and `report.html` from the evaluations by model name (dpo_r2, kto, …).

    `report.json` holds `models` (every figure with its interval), `rows` (one per figure, and whether each stage
    improved it), `final` (the last round of DPO), `win_rate` (its greedy answers over those of SFT, by their reference
    score, to the same prompts), the sections of `add_sections`, `gates`, `summary` (what the demo prints) and `samples`.

    Args:
        beside: artifacts of the stages `contamination` and `comparisons`, where the recipe has them.

    Raises:
        RecipeError: a gate names a metric that was not measured.
        DataError: two models did not answer the same prompts.
    """
    results = {name: Results.read(directory) for name, directory in evals.items()}
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
    add_sections(report, results, evals, heldout, beside)
    won = {name: _win_rate(answers, name) for name in results if name not in ("base", BEFORE_ALIGNMENT)}
    for name, rate in won.items():
        if rate:
            metric = Metric(value=rate["rate"], higher_is_better=True, interval=tuple(rate["interval"]))
            report["models"][name]["metrics"][WIN_RATE] = metric.model_dump()
    report["final"] = _final(results)
    report["win_rate"] = won.get(report["final"] or "")
    report["rows"] = rows(report["models"])
    report["gates"] = [result.model_dump() for result in evaluate_gates(report, gates)]
    report["summary"] = _summary(report)
    report["samples"] = _samples(answers)
    (out / REPORT).write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    _plots(report, run_dir)
    _plot_rounds(report, run_dir)
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
    keys = list(dict.fromkeys(key for model in models.values() for key in model["metrics"] if not is_detail(key)))
    found = []
    for key in keys:
        values = {name: model["metrics"].get(key) for name, model in models.items()}
        compared = {name: _begins_with(name, models) for name in models}
        verdicts = {
            later: _verdict(values[earlier], values[later])
            for later, earlier in compared.items()
            if earlier and values[earlier] and values[later] and key not in CONTROLS
        }
        task, _, metric = key.partition("/")
        chance = next((model["chance"][task] for model in models.values() if task in model["chance"]), None)
        found.append({"metric": key, "values": values, "verdicts": verdicts, "chance": chance if metric == "acc" else None})
    return found


def _begins_with(name: str, models: Iterable[str]) -> str | None:
    """The model that this one was trained from: its round's, the SFT model, the base model."""
    if name == "kto":
        return BEFORE_ALIGNMENT
    line = [each for each in models if each != "kto"]
    place = line.index(name)
    return line[place - 1] if place else None


def _final(models: Iterable[str]) -> str | None:
    """The last round of DPO."""
    return next((name for name in reversed(list(models)) if name.partition("_")[0] == "dpo"), None)


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


def _win_rate(answers: dict[str, list[dict[str, Any]]], name: str) -> dict[str, Any] | None:
    """A model over SFT, or None where there were no prompts, or SFT was not evaluated."""
    ours, theirs = answers[name], answers.get(BEFORE_ALIGNMENT, [])
    if not ours or not theirs:
        return None
    if [row["id"] for row in ours] != [row["id"] for row in theirs]:
        raise DataError(f"eval_report: {name} and sft answered different prompts; evaluate both on the same heldout_text")
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
    models, won, final = report["models"], report["win_rate"], report["final"]

    def value(model: str | None, metric: str, field: str = "value") -> Any:
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
            **{name: value(name, accuracy) for name in models},
        },
        "dpo": {
            "reward_accuracy": value(final, REWARDS),
            "reward_accuracy_interval": value(final, REWARDS, "interval"),
            **{name.partition("/")[2]: value(final, name) for name in CONTROLS},
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
    height = 0.75 / len(models)
    with plot(
        run_dir, "shares", "Shares and scores by model, with 95 % intervals", size=(7.0, 1.2 + 0.7 * len(shares))
    ) as axes:
        for offset, name in enumerate(models):
            for position, row in enumerate(shares):
                metric = row["values"][name]
                if metric:
                    place = position + height * (offset - (len(models) - 1) / 2)
                    _bar(axes, place, 0.88 * height, metric, f"C{offset}", name if position == 0 else None)
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


def _plot_rounds(report: dict[str, Any], run_dir: Path) -> None:
    """What each round of DPO made of SFT, for recipes of several rounds."""
    rounds = [name for name in report["models"] if name.partition("_")[0] in (BEFORE_ALIGNMENT, "dpo")]
    if len(rounds) < 3:
        return
    with plot(run_dir, "rounds", "Round by round, with 95 % intervals") as axes:
        for colour, key in enumerate((REWARDS, WIN_RATE, ANSWER_SCORE)):
            found = [(place, report["models"][name]["metrics"].get(key)) for place, name in enumerate(rounds)]
            points = [(place, metric) for place, metric in found if metric]
            if points:
                axes.plot([place for place, _ in points], [metric["value"] for _, metric in points], "o-", label=key)
            for place, metric in points:
                axes.plot([place, place], metric["interval"], color=f"C{colour}", linewidth=1)
        axes.set_xticks(range(len(rounds)), rounds)
        axes.set_ylim(0, 1)
        axes.legend(frameon=False)


def _bar(axes: Any, position: float, height: float, metric: dict[str, Any], colour: str, label: str | None) -> None:
    axes.barh(position, metric["value"], height=height, color=colour, label=label)
    if metric["interval"]:
        axes.plot(metric["interval"], [position, position], color="black", linewidth=1)


def _is_share(row: dict[str, Any]) -> bool:
    return row["metric"] != BITS and all(0 <= metric["value"] <= 1 for metric in row["values"].values() if metric)
