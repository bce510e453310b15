"""Commands around the model registry: lineage both ways, promotion, export, and what may be removed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from lifecycle.artifacts import Store
from lifecycle.cli import HomeOption, TrackingOption, app, console, tracking_uri

if TYPE_CHECKING:
    from lifecycle.tracking.lineage import LineageNode
    from lifecycle.tracking.promotion import Promotion

ModelArgument = Annotated[str, typer.Argument(help="NAME, NAME@alias or NAME/version, e.g. demo_dpo@champion.")]
DAY = 86400.0


@app.command()
def lineage(
    model: Annotated[str | None, typer.Argument(help="NAME, NAME@alias or NAME/version, e.g. demo_dpo@champion.")] = None,
    home: HomeOption = Path(".lifecycle"),
    tracking: TrackingOption = None,
    form: Annotated[str, typer.Option("--format", help="tree, json or mermaid.")] = "tree",
    check: Annotated[bool, typer.Option("--check", help="Hash every artifact again: whole, changed or gone.")] = False,
    used_by: Annotated[
        str | None, typer.Option("--used-by", help="A source, or a document's id: the models that were made from it.")
    ] = None,
) -> None:
    """Print the whole way from a registered model back to the digests of its sources, from MLflow alone."""
    from lifecycle.tracking import rendering
    from lifecycle.tracking.lineage import lineage as walk

    uri = tracking_uri(home, tracking)
    if (model is None) == (used_by is None):
        raise typer.BadParameter("name a model, or a source or document with --used-by")
    if used_by is not None:
        _show_uses(uri, used_by)
        return
    assert model is not None
    node = walk(uri, model)
    if check:
        _show_check(node)
        return
    renderers = {"tree": rendering.render_tree, "json": rendering.render_json, "mermaid": rendering.render_mermaid}
    if form not in renderers:
        raise typer.BadParameter(f"{form!r} is none of {sorted(renderers)}", param_hint="--format")
    console.print(renderers[form](node), soft_wrap=True, markup=form == "tree", highlight=False)


def _show_uses(uri: str, name: str) -> None:
    from lifecycle.tracking.use import used_by

    uses = used_by(uri, name)
    if uses.found:
        table = Table("model", "aliases", "through", title=f"made from {escape(name)}")
        for use in uses.found:
            table.add_row(use.version.label, ", ".join(use.version.aliases), "\n".join(use.through))
        console.print(table)
    elif uses.read:
        said = f"No registered model was trained on {name}: {', '.join(uses.read)} read it, and it was left out."
        console.print(said, "`lifecycle explain` says where.", highlight=False, markup=False)
    if uses.unread:
        console.print(f"No longer on disk, so nothing can be said of: {', '.join(uses.unread)}", markup=False)
        raise typer.Exit(1)


def _show_check(node: "LineageNode") -> None:
    from lifecycle.tracking.checking import check

    results = check(node, lambda nodes: track(nodes, "hashing", console=console, transient=True))
    table = Table("stage", "digest", "state", "where or why")
    for each in results:
        colour = "green" if each.good else "red"
        source = f" of {each.node.source}" if each.node.source else ""
        table.add_row(each.node.stage + source, each.node.digest[:12], f"[{colour}]{each.state}[/]", escape(each.detail))
    console.print(table)
    if not all(each.good for each in results):
        raise typer.Exit(1)


@app.command()
def promote(model: ModelArgument, home: HomeOption = Path(".lifecycle"), tracking: TrackingOption = None) -> None:
    """Make a version the champion, if its gates on record hold and its files are whole."""
    from lifecycle.tracking.promotion import promote_version

    _tell(promote_version(tracking_uri(home, tracking), model, Store(home / "store")))


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="A registered model, e.g. demo_dpo.")],
    home: HomeOption = Path(".lifecycle"),
    tracking: TrackingOption = None,
) -> None:
    """Make the previous champion the champion again."""
    from lifecycle.tracking.promotion import rollback as back

    _tell(back(tracking_uri(home, tracking), name, Store(home / "store")))


def _tell(promotion: "Promotion") -> None:
    console.print(promotion.reason, markup=False, highlight=False, soft_wrap=True)
    console.print(f"champion: {promotion.champion}, previous: {promotion.previous}", markup=False, highlight=False)
    if promotion.reason.startswith("refused"):
        raise typer.Exit(1)


@app.command()
def export(
    model: ModelArgument,
    directory: Annotated[Path, typer.Argument(help="A directory that does not exist yet.")],
    despite_gates: Annotated[bool, typer.Option("--despite-gates", help="Even if its gates do not hold.")] = False,
    home: HomeOption = Path(".lifecycle"),
    tracking: TrackingOption = None,
) -> None:
    """Write a model as a Hugging Face folder with card, licences of its sources and checksums."""
    from lifecycle.tracking.export import export_model

    version = export_model(tracking_uri(home, tracking), model, directory, despite_gates)
    console.print(f"{version.label} is in {directory.resolve()}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def serve(
    model: ModelArgument,
    host: Annotated[str, typer.Option(help="Address to listen on; on any other, everybody may ask.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    despite_gates: Annotated[bool, typer.Option("--despite-gates", help="Even if its gates do not hold.")] = False,
    home: HomeOption = Path(".lifecycle"),
    tracking: TrackingOption = None,
) -> None:
    """Answer OpenAI's chat requests with a model until Ctrl-C: vLLM where a GPU is, transformers' server otherwise."""
    from lifecycle.serving import serve as become_server
    from lifecycle.tracking.promotion import usable_version

    version = usable_version(tracking_uri(home, tracking), model, Store(home / "store"), despite_gates)
    console.print(f"{version.label} at http://{host}:{port}/v1 as model {version.name}; Ctrl-C ends it", highlight=False)
    become_server(version.artifact.path, version.name, home.resolve() / "serving", host, port)


@app.command()
def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; otherwise it is only listed.")] = False,
    days: Annotated[float, typer.Option(min=0, help="Keep what changed within so many days.")] = 7.0,
    cache: Annotated[bool, typer.Option("--cache", help="Also kept results of pieces; costs time to make again.")] = False,
    paid_answers: Annotated[
        bool, typer.Option("--paid-answers", help="Also what chat endpoints answered; costs money to ask again.")
    ] = False,
    home: HomeOption = Path(".lifecycle"),
    tracking: TrackingOption = None,
) -> None:
    """Remove artifacts that no asset and no registered model was made from, and what killed runs left behind."""
    from lifecycle.garbage import find_garbage, remove
    from lifecycle.stages import EVAL_REPORT
    from lifecycle.tracking.registry import all_versions

    store = Store(home / "store")
    versions = all_versions(tracking_uri(home, tracking))
    registered = [(each.stage, each.fingerprint) for each in versions]
    registered += [(EVAL_REPORT.name, each.report) for each in versions if each.report]
    found = find_garbage(store, registered, days * DAY, cache, paid_answers)
    table = Table("size", "what", "why")
    for each in found:
        table.add_row(decimal(each.size), str(each.path.relative_to(store.root)), each.why)
    if found:
        console.print(table)
    if yes:
        gone = list(track(remove(store, found), "removing", len(found), console=console, transient=True))
        console.print(f"{len(gone)} directories removed, {decimal(sum(each.size for each in gone))}")
    else:
        total = decimal(sum(each.size for each in found))
        console.print(f"{len(found)} directories, {total}; nothing was removed (--yes removes them)")
