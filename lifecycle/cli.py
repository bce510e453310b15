"""Commands that need neither Dagster nor a cluster. `assets/cli.py` joins them with those that do."""

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from lifecycle.artifacts import Artifact, Store
from lifecycle.errors import LifecycleError
from lifecycle.recipe.recipe import Recipe, load_recipe
from lifecycle.stages import evaluated_model, evaluations_of, model_of, rounds_of, tunings_of

PROJECT = Path(__file__).resolve().parents[1]
DEFAULT_RECIPE = PROJECT / "deploy" / "recipes" / "demo.yaml"

RecipeOption = Annotated[
    Path, typer.Option("--recipe", "-r", envvar="LIFECYCLE_RECIPE", help="The recipe file of the model.")
]
HomeOption = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="LIFECYCLE_HOME",
        file_okay=False,
        help="Where store, tracking database and Dagster's state live.",
    ),
]
TrackingOption = Annotated[
    str | None,
    typer.Option("--tracking-uri", envvar="LIFECYCLE_TRACKING_URI", help="MLflow; by default the database in HOME."),
]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From raw text to an aligned, evaluated, registered language model.",
)
console = Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", 140)))
"""Into a file or a pipe, tables are as wide as they need to be."""


def tracking_uri(home: Path, override: str | None) -> str:
    """The MLflow address to use for this home."""
    return override or f"sqlite:///{home.resolve() / 'mlflow.db'}"


@app.command()
def plan(
    recipe: RecipeOption = DEFAULT_RECIPE,
    home: HomeOption = Path(".lifecycle"),
    select: Annotated[
        list[str] | None, typer.Option("--select", "-s", help="Only this asset and what it is made from; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    preflight: Annotated[
        bool, typer.Option("--preflight", help="Also memory, disk, time and loss mask of the trainings.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="For --preflight: the GPU, e.g. H200; else this machine's.")] = None,
    mfu: Annotated[float, typer.Option(min=0.01, max=1, help="For --preflight: share of the GPU's peak expected.")] = 0.4,
) -> None:
    """List what would be reused, what would run, what cannot, why, and at what cost. Status 1 where something cannot."""
    from lifecycle.plan import plan as make_plan
    from lifecycle.plan import render

    loaded = load_recipe(recipe)
    lines = make_plan(loaded, Store(home / "store"), select=select or ())
    found = _preflight(loaded, home, device, mfu) if preflight else None
    if found:
        lines = found.priced(lines)
    if as_json:
        data: Any = [line.model_dump() for line in lines]
        typer.echo(json.dumps({"plan": data, "preflight": found.data()} if found else data, indent=1, ensure_ascii=False))
    else:
        console.print(render(lines))
        if found:
            found.show(console)
    raise typer.Exit(int(any(line.action == "blocked" for line in lines)))


def _preflight(recipe: Recipe, home: Path, device: str | None, mfu: float) -> Any:
    if not Path("/dev/nvidiactl").exists():
        # Or DeepSpeed says on standard output, in front of the JSON, that it found no device.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from lifecycle.training.preflight_plan import preflight

    def last(stage: str) -> Path | None:
        return made(recipe, home, stage).path if reference_path(recipe, home, stage).exists() else None

    return preflight(recipe, last, home, device, mfu)


@app.command()
def chat(
    model: Annotated[
        str,
        typer.Argument(
            help="base, sft, dpo (of the last round), dpo_r2 and the like, kto, or a directory with a Hugging Face model."
        ),
    ] = "dpo",
    recipe: RecipeOption = DEFAULT_RECIPE,
    home: HomeOption = Path(".lifecycle"),
    temperature: Annotated[float, typer.Option(min=0.0, help="0 always takes the most likely token.")] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 80,
) -> None:
    """Talk to one of the recipe's models."""
    from lifecycle.chat import chat as talk

    directory = Path(model)
    if not (directory / "config.json").is_file():
        loaded = load_recipe(recipe)
        models = {evaluated_model(each): model_of(evaluated_model(each)) for each in evaluations_of(loaded)}
        models["dpo"] = rounds_of(loaded)[-1].model.name
        if model not in models:
            raise LifecycleError(f"{model}: neither {', '.join(models)} nor a directory with a model")
        reference = Store(home / "store").reference_path(loaded.name, models[model])
        if not reference.exists():
            raise LifecycleError(
                f"{loaded.name}/{models[model]} has not been made in {home.resolve()}: run `lifecycle run` first"
            )
        directory = Path(json.loads(reference.read_text(encoding="utf-8"))["uri"])
    talk(directory, temperature=temperature, max_new_tokens=max_new_tokens)


InstructionsFlag = Annotated[bool, typer.Option("--instructions", help="Of conversations, not of the corpus.")]
RoundOption = Annotated[int, typer.Option("--round", min=1, help="Of the conversations that this round adds.")]


@app.command()
def sweep(
    rule: Annotated[str, typer.Argument(help="RULE.threshold, e.g. gopher_few_words.min_words, difficulty.max_difficulty")],
    first: Annotated[float, typer.Argument(help="First value.")],
    last: Annotated[float, typer.Argument(help="Last value.")],
    steps: Annotated[int, typer.Option(min=2, help="How many values.")] = 9,
    source: Annotated[list[str] | None, typer.Option(help="Only these sources.")] = None,
    language: Annotated[str | None, typer.Option(help="Only documents of this language.")] = None,
    instructions: InstructionsFlag = False,
    number: RoundOption = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    recipe: RecipeOption = DEFAULT_RECIPE,
    home: HomeOption = Path(".lifecycle"),
) -> None:
    """Show what a rule, or a limit on a score, would keep over a range of values, reading the text of samples alone."""
    from lifecycle.curation.sweep import render

    loaded = load_recipe(recipe)
    values = [first + (last - first) * step / (steps - 1) for step in range(steps)]
    if instructions:
        tried, found = _sweep_instructions(_sidecars(loaded, home, number), rule, values, source or [], language)
    else:
        _no_round(number)
        tried, found = _sweep_corpus(loaded, home, rule, values, source or [], language)
    if as_json:
        typer.echo(json.dumps([asdict(step) for step in found], indent=1, ensure_ascii=False))
    else:
        console.print(render(tried, found))


def _no_round(number: int) -> None:
    if number > 1:
        raise typer.BadParameter("the corpus has no rounds; ask for conversations with --instructions", param_hint="--round")


def _sweep_corpus(
    recipe: Recipe, home: Path, rule: str, values: list[float], sources: list[str], language: str | None
) -> tuple[Any, Any]:
    from lifecycle.curation.sweep import find_rule, sweep, with_texts

    store = Store(home / "store")
    names = sources or [each.name for each in recipe.sources]
    config = {name: recipe.curation.of(recipe.source(name)) for name in names}
    cleaned = {name: made(recipe, home, "cleaned_corpora", name) for name in names}
    raw = {name: store.input_artifact(artifact, "raw_corpora").path for name, artifact in cleaned.items()}
    found = sweep({name: artifact.path for name, artifact in cleaned.items()}, rule, values, config, language)
    return find_rule(rule, list(config.values())), with_texts(found, raw)


def _sweep_instructions(
    sidecars: Any, rule: str, values: list[float], sources: list[str], language: str | None
) -> tuple[Any, Any]:
    from lifecycle.instructions.sweep import find_rule, sweep

    chosen = find_rule(rule)
    return chosen, sweep(sidecars, chosen, values, sources, language)


def _sidecars(recipe: Recipe, home: Path, number: int) -> Any:
    """Where the instructions of a round, what they were cleaned from, and their scores lie."""
    from lifecycle.instructions.sweep import Sidecars

    store = Store(home / "store")
    if number > 1:
        tuning = next((each for each in tunings_of(recipe) if each.number == number), None)
        if tuning is None:
            raise LifecycleError(f"--round {number}: `added_instructions` of {recipe.name} adds nothing in this round")
        cleaned = made(recipe, home, tuning.instructions.name)
        return Sidecars(store.input_artifact(cleaned, tuning.raw.name).path, cleaned.path, None)
    cleaned = made(recipe, home, "instructions")
    scores = made(recipe, home, "instruction_scores") if recipe.instructions.scores else None
    if scores:
        cleaned = store.input_artifact(scores, "instructions")
    raw = store.input_artifact(cleaned, "raw_instructions").path
    return Sidecars(raw, cleaned.path, scores.path if scores else None)


@app.command()
def explain(
    document: Annotated[str, typer.Argument(help="An id, as in the ledger, in duplicates.parquet or from sweep.")],
    instructions: InstructionsFlag = False,
    number: RoundOption = 1,
    recipe: RecipeOption = DEFAULT_RECIPE,
    home: HomeOption = Path(".lifecycle"),
) -> None:
    """Tell what happened to one document on its way into the corpus, or to one conversation, rule by rule."""
    loaded = load_recipe(recipe)
    if instructions:
        console.print(_explain_conversation(loaded, home, document, number))
    else:
        _no_round(number)
        console.print(_explain_document(loaded, home, document))


def _explain_document(recipe: Recipe, home: Path, document: str) -> Any:
    from lifecycle.curation.explain import explain, render

    names = [each.name for each in recipe.sources]
    raw, cleaned = (
        {name: made(recipe, home, f"{part}_corpora", name).path for name in names} for part in ("raw", "cleaned")
    )
    has_corpus = reference_path(recipe, home, "corpus").exists()
    corpus = made(recipe, home, "corpus").path if has_corpus else None
    config = {each.name: recipe.curation.of(each) for each in recipe.sources}
    return render(explain(document, raw, cleaned, corpus, config))


def _explain_conversation(recipe: Recipe, home: Path, conversation: str, number: int) -> Any:
    from lifecycle.instructions.explain import explain, render

    sidecars = _sidecars(recipe, home, number)
    return render(explain(conversation, sidecars, recipe.in_round(number).instructions.rules))


@app.command()
def ledger(
    out: Annotated[Path | None, typer.Option(help="Where to; by default HOME/NAME-ledger.", file_okay=False)] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    recipe: RecipeOption = DEFAULT_RECIPE,
    home: HomeOption = Path(".lifecycle"),
) -> None:
    """Write what became of every source's text, rule by rule: one HTML page, and the same as Parquet."""
    from lifecycle.curation.account import ways
    from lifecycle.curation.ledger_page import write_ledger

    loaded, store = load_recipe(recipe), Store(home / "store")
    corpus = made(loaded, home, "corpus")
    cleaned = {each.name: store.input_artifact(corpus, f"cleaned_corpora/{each.name}") for each in loaded.sources}
    raw = {name: store.input_artifact(artifact, "raw_corpora").path for name, artifact in cleaned.items()}
    found = ways(raw, {name: artifact.path for name, artifact in cleaned.items()}, corpus.path)
    page = write_ledger(loaded, found, corpus.path, out or home / f"{loaded.name}-ledger")
    console.print(f"Ledger: {page.resolve()}", highlight=False, soft_wrap=True, markup=False)
    if show:
        typer.launch(page.resolve().as_uri())


def reference_path(recipe: Recipe, home: Path, stage: str, source: str | None = None) -> Path:
    """The file that says which artifact an asset (of one source) was last."""
    return Store(home / "store").reference_path(recipe.name, stage, source)


def made(recipe: Recipe, home: Path, stage: str, source: str | None = None) -> Artifact:
    """An asset's last artifact; raises LifecycleError when it was never made."""
    reference = reference_path(recipe, home, stage, source)
    if not reference.exists():
        of = f" of source {source}" if source else ""
        raise LifecycleError(f"{recipe.name}/{stage}{of} has not been made in {home}: run `lifecycle run` first")
    return Artifact.model_validate_json(reference.read_text(encoding="utf-8"))


def main() -> None:
    """Run the command line; errors that a user can act on are printed without a stack trace."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except LifecycleError as error:
        _complain(str(error))
    except OSError as error:
        _complain(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "))


def _complain(message: str) -> NoReturn:
    """One line on standard error, so that it never mixes with what a command prints for other programs."""
    Console(stderr=True, soft_wrap=True).print(f"[red]Error:[/red] {escape(message)}", highlight=False)
    raise SystemExit(1)
