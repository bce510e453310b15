"""Pages that the code writes, every field of a recipe, every rule of curation, and those of the benchmarks, which lie beside
their programs. MkDocs calls `on_files` when it builds."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from docstring_parser import parse_from_object
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from lifecycle.curation.ledger_tables import DESCRIPTIONS
from lifecycle.curation.quality import RULES
from lifecycle.instructions.rules import RULES as INSTRUCTION_RULES
from lifecycle.recipe.base import RuntimeField
from lifecycle.recipe.corpora import CurationConfig
from lifecycle.recipe.instruction_rules import InstructionRules
from lifecycle.recipe.recipe import Recipe
from lifecycle.training.exits import ExitClass

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
INTO_REPOSITORY = re.compile(r"\[(?P<text>[^\]]+)\]\(\.\./(?P<path>[^)#]+)\)")
FIELDS, CURATION_RULES, EXITS = "reference/recipe.md", "reference/rules.md", "reference/exits.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the dated results of the benchmarks."""
    files.append(File.generated(config, FIELDS, content=recipe_page()))
    files.append(File.generated(config, CURATION_RULES, content=rules_page()))
    files.append(File.generated(config, EXITS, content=exits_page()))
    for path in sorted(RESULTS.glob("*")):
        if path.suffix in {".md", ".png"}:
            files.append(File.generated(config, f"benchmarks/{path.name}", content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links into the repository work where it is browsed; on the site the file is named instead.

    Raises:
        PluginError: there is no such file.
    """

    def named(link: re.Match[str]) -> str:
        path = link["path"]
        if not (ROOT / path).exists():
            raise PluginError(f"{page.file.src_uri}: the link ../{path} leads nowhere")
        return f"{link['text']} (`{path}`)" if link["text"].strip("`") not in path else f"`{path}`"

    return INTO_REPOSITORY.sub(named, markdown)


def recipe_page() -> str:
    """Every field of a recipe: where it stands, what it may be, its default, and what its model says of it."""
    lines = [
        "# Every field of a recipe",
        "",
        "A field marked *runtime* changes how a result is computed and never what it is: changing it reuses what exists. "
        "Every other field is part of the fingerprint. A field without a default must be stated. Unknown fields are errors.",
    ]
    for model, places in _models().items():
        lines += ["", f"## {model.__name__}", "", f"Where: {', '.join(f'`{place}`' for place in places)}", ""]
        lines += [_own_words(model), "", "| field | value | default | meaning |", "|---|---|---|---|"]
        said = {item.args[1].split(":")[0].strip(): item.description or "" for item in parse_from_object(model).params}
        for name, field in model.model_fields.items():
            runtime = " *runtime*" if any(isinstance(mark, RuntimeField) for mark in field.metadata) else ""
            lines.append(_row(f"`{name}`{runtime}", _kind(field.annotation), _default(field), _cell(said.get(name, ""))))
    return "\n".join(lines) + "\n"


def rules_page() -> str:
    """Every rule that drops or changes a document or a conversation, with its thresholds for both languages."""
    curation, instructions = CurationConfig(), InstructionRules()
    lines = ["# Every rule of curation", "", "Thresholds are a recipe's to change; these are the defaults."]
    for name in dict.fromkeys(rule.set for rule in RULES):
        section = getattr(curation, name)
        english = getattr(section, "en", None)
        lines += ["", f"## {name}", "", _own_words(type(english or section.zh)), ""]
        lines += ["| rule | measure | threshold | other languages | Chinese | drops |", "|---|---|---|---|---|---|"]
        for rule in (rule for rule in RULES if rule.set == name):
            limits = ["" if part is None else _figure(getattr(part, rule.threshold)) for part in (english, section.zh)]
            lines.append(_row(f"`{rule.name}`", rule.measure, f"`{rule.threshold}`", *limits, _cell(rule.description)))
    known = {rule.name for rule in RULES}
    lines += ["", "## Other reasons and repairs in the ledger", "", "| name | what it is |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(text)} |" for name, text in DESCRIPTIONS.items() if name not in known]
    lines += ["", "## Conversations", "", "| rule | measure | threshold | other languages | Chinese | drops |"]
    lines += ["|---|---|---|---|---|---|"]
    for rule in INSTRUCTION_RULES:
        limits = [_figure(getattr(part, rule.threshold)) for part in (instructions.en, instructions.zh)]
        lines.append(_row(f"`{rule.name}`", rule.figure, f"`{rule.threshold}`", *limits, _cell(rule.description)))
    return "\n".join(lines) + "\n"


def exits_page() -> str:
    """The classes in which a training, sampling or evaluation job ends badly."""
    lines = [
        "# How a job ends",
        "",
        "The exit status of a job's process says of what kind its failure was; launchers act on it.",
    ]
    lines += ["", "| class | status | retried | what to do |", "|---|---|---|---|"]
    for each in ExitClass:
        lines.append(f"| {each.value} | {each.code} | {'yes' if each.retryable else 'no'} | {_cell(each.advice)} |")
    return "\n".join(lines) + "\n"


def _models() -> dict[type[BaseModel], list[str]]:
    """Every model of the recipe, and the dotted names under which it stands."""
    found: dict[type[BaseModel], list[str]] = {}
    waiting: list[tuple[type[BaseModel], str]] = [(Recipe, "the file")]
    while waiting:
        model, place = waiting.pop(0)
        if model in found:
            found[model].append(place)
            continue
        found[model] = [place]
        for name, field in model.model_fields.items():
            path = name if model is Recipe else f"{place}.{name}"
            waiting += [(each, path) for each in _parts(field.annotation) if _is_model(each)]
    return found


def _parts(annotation: Any) -> Iterator[Any]:
    """A type and all types inside of it."""
    yield annotation
    if get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _parts(part)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if _is_model(annotation):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if annotation is type(None):
        return "null"
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if origin in (tuple, list):
        return "list of " + " or ".join(_kind(each) for each in arguments if each is not Ellipsis)
    if origin is dict:
        return f"mapping of {_kind(arguments[0])} to {_kind(arguments[1])}"
    if hasattr(annotation, "__metadata__"):
        return _kind(arguments[0])
    if arguments:
        return " or ".join(dict.fromkeys(_kind(each) for each in arguments if not isinstance(each, FieldInfo)))
    return getattr(annotation, "__name__", str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**stated**"
    value = field.get_default(call_default_factory=False)
    if value is PydanticUndefined or isinstance(value, BaseModel) or (value and isinstance(value, tuple | dict)):
        shown = "" if isinstance(value, BaseModel) or value is PydanticUndefined else _plain(value)
        return shown if len(shown) < 80 else "see its own table"
    return "null" if value is None else "none" if value in ((), {}, "") else f"`{value}`"


def _plain(value: Any) -> str:
    items = value if isinstance(value, tuple) else value.items()
    return ", ".join(f"`{getattr(each, 'name', each)}`" for each in items)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _own_words(model: type[BaseModel]) -> str:
    return _cell((model.__doc__ or "").strip())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
