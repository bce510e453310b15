"""The console script `lifecycle`: the engine's commands, and those that need Dagster."""

import json
import signal
from pathlib import Path
from typing import Annotated, Any

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while modules load: the end, without a stack trace

import typer  # noqa: E402

import lifecycle.registry_cli  # noqa: E402, F401
from lifecycle.cli import DEFAULT_RECIPE, PROJECT, HomeOption, RecipeOption, TrackingOption, app, console, main, tracking_uri  # noqa: E402


@app.command()
def run(
    recipe: RecipeOption = DEFAULT_RECIPE,
    home: HomeOption = Path(".lifecycle"),
    select: Annotated[
        list[str] | None, typer.Option("--select", "-s", help="Only this asset and what it is made from; may be repeated.")
    ] = None,
) -> None:
    """Materialize the whole graph of a recipe here and now; what exists already is reused."""
    from assets.supervisor import supervised

    supervised(lambda: _run(recipe, home, select or []))


def _run(recipe: Path, home: Path, select: list[str]) -> None:
    from assets.run import prepare_home, timed_run

    prepare_home(home.resolve(), recipe.resolve())
    outcomes, seconds = timed_run(select)
    if select:
        from assets.summary import asset_table

        console.print(asset_table(outcomes))
        return

    from assets.recipe import RECIPE
    from assets.summary import asset_table, ledger_table, report_of, score_table, summarise
    from lifecycle.artifacts import Store
    from lifecycle.files import write_atomically

    figures, page = report_of(outcomes)
    summary = summarise(outcomes, figures, Store(home / "store"), seconds)
    path = home / f"{RECIPE.name}-summary.json"
    write_atomically(path, json.dumps(summary, indent=1, ensure_ascii=False))
    for table in (asset_table(outcomes), ledger_table(summary["ledger"]), score_table(figures)):
        console.print(table)
    console.print(f"{seconds:.0f} seconds. Numbers: {path}", highlight=False, markup=False)
    console.print(f"Report: {page}", highlight=False, soft_wrap=True, markup=False)
    command = _ui_command(recipe, home)
    console.print(f"Dagster UI: {command}, then http://127.0.0.1:3000", highlight=False, markup=False, soft_wrap=True)
    console.print(f"MLflow UI:  {command}, then http://127.0.0.1:5000", highlight=False, markup=False, soft_wrap=True)


def _ui_command(recipe: Path, home: Path) -> str:
    if recipe.resolve() == DEFAULT_RECIPE.resolve() and home.resolve() == (PROJECT / ".lifecycle").resolve():
        return "make ui"
    return f"lifecycle ui --recipe {recipe} --home {home}"


@app.command()
def reproduce(
    model: Annotated[str, typer.Argument(help="NAME, NAME@alias or NAME/version, e.g. demo_dpo@champion.")],
    directory: Annotated[Path, typer.Argument(help="A directory that does not exist yet: the home of the new run.")],
    home: HomeOption = Path(".lifecycle"),
    tracking: TrackingOption = None,
) -> None:
    """Make a registered model again, from its recipe in MLflow and the raw files, and compare every artifact's bytes."""
    from assets.reproduce import reproduce as make_again

    if not make_again(tracking_uri(home, tracking), model, directory.resolve()):
        raise typer.Exit(1)


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


ClusterOption = Annotated[
    Path, typer.Option("--profile", envvar="LIFECYCLE_CLUSTER", help="The cluster profile.", dir_okay=False)
]


@app.command()
def jobs(
    profile: ClusterOption,
    home: HomeOption = Path(".lifecycle"),
    reap: Annotated[bool, typer.Option("--reap", help="Only what nobody owns: what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --reap: delete it.")] = False,
) -> None:
    """List what runs in the cluster: for whom, since when, with which checkpoint."""
    from assets.cluster import list_jobs

    console.print(list_jobs(str(profile), _instance(home), reap, yes))


def _instance(home: Path) -> Any:
    """The Dagster instance of $DAGSTER_HOME, which a cluster has, else that of `home`."""
    import os

    import dagster as dg

    if "DAGSTER_HOME" not in os.environ:
        from assets.run import prepare_home

        prepare_home(home.resolve(), DEFAULT_RECIPE)
    return dg.DagsterInstance.get()


@app.command()
def doctor(
    profile: Annotated[
        Path | None, typer.Option("--profile", envvar="LIFECYCLE_CLUSTER", help="The cluster profile.", dir_okay=False)
    ] = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="Look at the cluster of the profile instead.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Ranks of the job to look for.")] = 1,
    probe: Annotated[bool, typer.Option("--probe", help="Also run an all-reduce in the cluster, for a minute.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="How long the probe may take.")] = 60.0,
    home: HomeOption = Path(".lifecycle"),
    tracking: TrackingOption = None,
) -> None:
    """Say what this machine has, lacks and falls back to; with --cluster, whether the cluster can run a job."""
    if not cluster:
        from assets.cluster import access
        from lifecycle.machine import examine_machine, render

        findings = [*examine_machine(home, tracking_uri(home, tracking)), access(str(profile) if profile else None)]
        console.print(render(findings))
        raise typer.Exit(int(any(each.state == "missing" for each in findings)))
    from assets.cluster import examine

    if profile is None:
        raise typer.BadParameter("name the cluster profile", param_hint="--profile")
    table, good = examine(str(profile), home.resolve() / "store", processes, seconds if probe else None)
    console.print(table)
    if not good:
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
