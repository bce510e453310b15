"""What a finished run shows: one table in the terminal, the same numbers in a JSON file."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from assets.run import AssetOutcome
from lifecycle.artifacts import Store
from lifecycle.curation.account import account

TITLES = {
    "rows": "rows",
    "characters": "characters",
    "tokens": "tokens",
    "parameters": "parameters",
    "loss": "loss",
}


def summarise(outcomes: list[AssetOutcome], store: Store, wall_seconds: float) -> dict[str, Any]:
    """The run in figures: wall seconds, model scores (from the report), ledger and assets."""
    by_name = {outcome.name: outcome for outcome in outcomes}
    report = Path(by_name["eval_report"].metadata["dagster/uri"])
    scores = json.loads((report / "report.json").read_text(encoding="utf-8"))["summary"]
    return {
        "wall_seconds": round(wall_seconds, 1),
        **scores,
        "ledger": _ledger(by_name, store),
        "assets": {
            outcome.name: {
                "seconds": outcome.seconds,
                "fingerprint": outcome.fingerprint,
                "digest": outcome.digest,
                "reused": outcome.reused,
            }
            for outcome in outcomes
            if outcome.fingerprint
        },
    }


def _ledger(by_name: dict[str, AssetOutcome], store: Store) -> dict[str, Any]:
    corpus = by_name["corpus"]
    sources = [name.split("/", 1)[1] for name in by_name if name.startswith("raw_corpora/")]
    directories = {
        stage: {source: store.directory(stage, by_name[f"{stage}/{source}"].fingerprint) for source in sources}
        for stage in ("raw_corpora", "cleaned_corpora")
    }
    accounts = account(directories["raw_corpora"], directories["cleaned_corpora"], store.directory("corpus", corpus.fingerprint))
    return {name: {"read": a.read, "kept": a.kept, "dropped": a.dropped} for name, a in accounts.items()}


def asset_table(outcomes: list[AssetOutcome]) -> Table:
    """Per asset: what it made and how long that took."""
    table = Table(title="Assets", title_justify="left")
    for column, justify in (("asset", "left"), ("made", "left"), ("size", "right"), ("seconds", "right"), ("digest", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for outcome in outcomes:
        facts = outcome.metadata
        made = ", ".join(f"{_figure(facts[key])} {title}" for key, title in _shown(facts))
        seconds = "reused" if outcome.reused else f"{outcome.seconds:.1f}" if outcome.fingerprint else ""
        table.add_row(outcome.name, made or str(facts.get("reason", "")), str(facts.get("size", "")), seconds, outcome.digest[:12])
    return table


def _shown(facts: dict[str, Any]) -> list[tuple[str, str]]:
    shown = [("dagster/row_count", "rows")] if "dagster/row_count" in facts else []
    return shown + [(key, title) for key, title in TITLES.items() if key in facts]


def _figure(value: Any) -> str:
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"


def score_table(summary: dict[str, Any]) -> Table:
    """The numbers that the run must show, good or bad."""
    base, choice, dpo = summary["base"], summary["multiple_choice"], summary["dpo"]
    table = Table(title="Results on text that no training stage has seen", title_justify="left")
    for column in ("measure", "base", "sft", "dpo", "compare with"):
        table.add_column(column)
    compress = f"xz -9e {base['xz_bits_per_byte']:.3f}, gzip -9 {base['gzip_bits_per_byte']:.3f} on the same bytes"
    table.add_row("bits per byte", f"{base['bits_per_byte']:.3f}", "", "", compress)
    cells = [f"{choice[name]:.3f}" for name in ("base", "sft", "dpo")]
    table.add_row("multiple choice", *cells, f"chance {choice['chance']:.3f}, standard error {choice['standard_error']:.3f}")
    low, high = dpo["win_rate_interval"]
    table.add_row("win rate over SFT, %", "", "50", f"{dpo['win_rate']:.1f}", f"95 % interval {low:.1f} to {high:.1f}")
    table.add_row("reward accuracy on held-out pairs", "", "", f"{dpo['reward_accuracy']:.3f}", "coin 0.5")
    return table


def ledger_table(ledger: dict[str, Any]) -> Table:
    """Read = kept + dropped, per source."""
    table = Table(title="Documents", title_justify="left")
    for column, justify in (("source", "left"), ("read", "right"), ("kept", "right"), ("dropped by rule", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for name, entry in ledger.items():
        drops = ", ".join(f"{rule} {count:,}" for rule, count in sorted(entry["dropped"].items(), key=lambda item: -item[1]))
        table.add_row(name, f"{entry['read']:,}", f"{entry['kept']:,}", drops)
    return table
