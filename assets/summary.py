"""What a finished run shows: tables in the terminal, the same numbers in a JSON file."""

from pathlib import Path
from typing import Any

from rich.table import Table

from assets.run import AssetOutcome
from lifecycle.artifacts import Store
from lifecycle.curation.account import ways
from lifecycle.evaluation.figures import read_report

SHOWN_FACTS = ("characters", "tokens", "parameters", "loss")


def report_of(outcomes: list[AssetOutcome]) -> tuple[dict[str, Any], str]:
    """The figures of this run's evaluation report, and where its page lies."""
    metadata = next(outcome.metadata for outcome in outcomes if outcome.name == "eval_report")
    return read_report(Path(metadata["dagster/uri"])), str(metadata["report page"])


def summarise(outcomes: list[AssetOutcome], report: dict[str, Any], store: Store, wall_seconds: float) -> dict[str, Any]:
    """The run in figures: wall seconds, model scores (from the report), ledger and assets."""
    return {
        "wall_seconds": round(wall_seconds, 1),
        **report["summary"],
        "ledger": _ledger({outcome.name: outcome for outcome in outcomes}, store),
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
    sources = [name.split("/", 1)[1] for name in by_name if name.startswith("raw_corpora/")]
    raw, cleaned = (
        {source: store.directory(stage, by_name[f"{stage}/{source}"].fingerprint) for source in sources}
        for stage in ("raw_corpora", "cleaned_corpora")
    )
    found = ways(raw, cleaned, store.directory("corpus", by_name["corpus"].fingerprint))
    return {
        name: {"read": way.total.read, "kept": way.total.kept, "heldout": way.heldout, "dropped": way.total.dropped}
        for name, way in found.items()
    }


def asset_table(outcomes: list[AssetOutcome]) -> Table:
    """Per asset: what it made and how long that took."""
    table = Table(title="Assets", title_justify="left")
    table.add_column("asset", no_wrap=True)
    table.add_column("made")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("digest", no_wrap=True)
    for outcome in outcomes:
        facts = outcome.metadata
        seconds = "reused" if outcome.reused else f"{outcome.seconds:.1f}" if outcome.fingerprint else ""
        size = str(facts.get("size", ""))
        table.add_row(outcome.name, _made(facts) or str(facts.get("reason", "")), size, seconds, outcome.digest[:8])
    return table


def _made(facts: dict[str, Any]) -> str:
    shown = {"rows": facts["dagster/row_count"]} if "dagster/row_count" in facts else {}
    shown |= {key: facts[key] for key in SHOWN_FACTS if key in facts}
    return ", ".join(f"{_figure(value)} {key}" for key, value in shown.items())


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value / 1e6:,.1f} M" if value >= 1_000_000 else f"{value:,}"


def score_table(report: dict[str, Any]) -> Table:
    """The report's figures for all models, and plainly whether each stage improved on the one before."""
    table = Table(title="Results on text that no training stage has seen (95 % intervals)", title_justify="left")
    for column in ("metric", *report["models"], "each stage against the one before"):
        table.add_column(column)
    for row in report["rows"]:
        cells = [_with_interval(row["values"].get(model)) for model in report["models"]]
        chance = f" (chance {row['chance']:.3f})" if row["chance"] else ""
        verdicts = ", ".join(f"{model} {verdict.split(' (')[0]}" for model, verdict in row["verdicts"].items())
        table.add_row(row["metric"] + chance, *cells, verdicts)
    base = report["summary"]["base"]
    table.caption = (
        f"Bits per byte of compressors on the same held-out text: xz -9e {base['xz_bits_per_byte']:.3f}, "
        f"gzip -9 {base['gzip_bits_per_byte']:.3f}"
    )
    return table


def _with_interval(entry: dict[str, Any] | None) -> str:
    if not entry:
        return ""
    if not entry["interval"]:
        return f"{entry['value']:.3f}"
    low, high = entry["interval"]
    return f"{entry['value']:.3f} ({low:.3f}–{high:.3f})"


def ledger_table(ledger: dict[str, Any]) -> Table:
    """Read = kept + dropped, per source; of those kept some are held out for evaluation."""
    table = Table(title="Documents", title_justify="left")
    table.add_column("source", no_wrap=True)
    table.add_column("read", justify="right")
    table.add_column("kept", justify="right")
    table.add_column("of these held out", justify="right")
    table.add_column("dropped by rule")
    for name, entry in ledger.items():
        largest_first = sorted(entry["dropped"].items(), key=lambda item: -item[1])
        drops = ", ".join(f"{rule} {count:,}" for rule, count in largest_first)
        table.add_row(name, f"{entry['read']:,}", f"{entry['kept']:,}", f"{entry['heldout']:,}", drops)
    return table
