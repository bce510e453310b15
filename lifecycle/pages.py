"""What all pages for people share: one HTML file that needs nothing beside it, and text that is safe in Markdown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

SHARED = Path(__file__).parent / "templates"
CELL_CHARACTERS = 240


def environment(templates: Path, autoescape: bool, **helpers: Callable[..., Any]) -> jinja2.Environment:
    """Templates of one room, which may extend `page.html.jinja`; a name that is missing is an error.

    Args:
        autoescape: always for HTML: the texts shown are strangers' pages.
        helpers: functions that the templates call, by name.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([templates, SHARED]),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= helpers
    return made


def markdown_cell(text: str, characters: int = CELL_CHARACTERS) -> str:
    """Text inside a Markdown table, cut after so many characters."""
    short = text if len(text) <= characters else text[: characters - 1] + "…"
    for character in "\\|*_`<>#[]~":
        short = short.replace(character, "\\" + character)
    return " ⏎ ".join(short.splitlines())
