"""The console script `lifecycle`: the engine's commands, and those that need Dagster."""

import json
import signal
from pathlib import Path
from typing import Annotated

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while modules load: the end, without a stack trace

import typer  # noqa: E402

from lifecycle.cli import DEFAULT_RECIPE, PROJECT, HomeOption, RecipeOption, app, console, main  # noqa: E402


@app.command()
def run(recipe: RecipeOption = DEFAULT_RECIPE, home: HomeOption = Path(".lifecycle")) -> None:
    """Materialize the whole graph of a recipe here and now; what exists already is reused."""
    from assets.supervisor import supervised

    supervised(lambda: _run(recipe, home))


def _run(recipe: Path, home: Path) -> None:
    from assets.run import prepare_home, timed_run

    prepare_home(home.resolve(), recipe.resolve())
    outcomes, seconds = timed_run()

    from assets.recipe import RECIPE
    from assets.summary import asset_table, ledger_table, read_report, report_directory, score_table, summarise
    from lifecycle.artifacts import Store
    from lifecycle.files import write_atomically

    report = report_directory(outcomes)
    figures = read_report(report)
    summary = summarise(outcomes, figures, Store(home / "store"), seconds)
    path = home / f"{RECIPE.name}-summary.json"
    write_atomically(path, json.dumps(summary, indent=1, ensure_ascii=False))
    for table in (asset_table(outcomes), ledger_table(summary["ledger"]), score_table(figures)):
        console.print(table)
    console.print(f"{seconds:.0f} seconds. Numbers: {path}", highlight=False, markup=False)
    console.print(f"Report: {report / 'report.html'}", highlight=False, soft_wrap=True, markup=False)
    command = _ui_command(recipe, home)
    console.print(f"Dagster UI: {command}, then http://127.0.0.1:3000", highlight=False, markup=False, soft_wrap=True)
    console.print(f"MLflow UI:  {command}, then http://127.0.0.1:5000", highlight=False, markup=False, soft_wrap=True)


def _ui_command(recipe: Path, home: Path) -> str:
    if recipe.resolve() == DEFAULT_RECIPE.resolve() and home.resolve() == (PROJECT / ".lifecycle").resolve():
        return "make ui"
    return f"lifecycle ui --recipe {recipe} --home {home}"


@app.command()
def ui(
    recipe: RecipeOption = DEFAULT_RECIPE,
    home: HomeOption = Path(".lifecycle"),
    dagster_port: Annotated[int, typer.Option(help="Port of the Dagster UI.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow UI.")] = 5000,
) -> None:
    """Open the Dagster UI (with its daemon) and the MLflow UI on this machine's loopback address."""
    from assets.run import prepare_home
    from assets.servers import serve

    prepare_home(home.resolve(), recipe.resolve())
    serve(home.resolve(), dagster_port, mlflow_port)


if __name__ == "__main__":
    main()
