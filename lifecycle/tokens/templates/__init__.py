"""Chat templates as data: one Jinja file per prompt format.

Every template marks what is trained with `{% generation %}`, the end-of-turn token included, and trims each message,
so that the tokens of a prompt are a prefix of the tokens of prompt and answer together.
"""

from pathlib import Path

DIRECTORY = Path(__file__).parent


def template_names() -> tuple[str, ...]:
    """The names a recipe may give in `tokenizer.chat_template`."""
    return tuple(sorted(path.stem for path in DIRECTORY.glob("*.jinja")))


def read_template(name: str) -> str:
    """The Jinja source of a built-in template; the recipe's own type admits no other name."""
    return (DIRECTORY / f"{name}.jinja").read_text(encoding="utf-8")
