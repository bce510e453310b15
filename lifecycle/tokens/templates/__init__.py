"""Chat templates as data: one Jinja file per prompt format.

Every template marks what is trained with `{% generation %}`, the tokenizer's own end token included, so that one text
serves training and inference. Special tokens that a template spells out stand in its first line,
`{#- special tokens: <|a|> <|b|> #}`; `eos_token` and `bos_token` are the tokenizer's own. A user message may have a key
`input` beside its content, for the formats that show it apart (Alpaca, NousResearch).
"""

import os
import re
from difflib import get_close_matches
from pathlib import Path

from lifecycle.errors import RecipeError

DIRECTORY = Path(__file__).parent
SUFFIX = ".jinja"
HEADER = re.compile(r"\{#-? special tokens: (.*?) -?#\}")
COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)


def template_names() -> tuple[str, ...]:
    """The built-in names that a recipe may give in `tokenizer.chat_template`."""
    return tuple(sorted(path.stem for path in DIRECTORY.glob(f"*{SUFFIX}")))


def check_choice(choice: str) -> str:
    """`choice` when it is a built-in name or ends in `.jinja`; else raises ValueError with the names that there are."""
    if choice in template_names() or choice.endswith(SUFFIX):
        return choice
    close = get_close_matches(choice, template_names(), n=1)
    meant = f"did you mean `{close[0]}`? " if close else ""
    raise ValueError(f"no template {choice!r}; {meant}built in: {', '.join(template_names())}; or a path ending in {SUFFIX}")


def template_label(choice: str) -> str:
    """The name under which artifacts speak of the template: a built-in name, or the file's name without its folder."""
    return Path(choice).name


def read_template(choice: str) -> str:
    """The Jinja source of a built-in template or of the user's own; raises RecipeError when the file cannot be read."""
    own = choice.endswith(SUFFIX)
    path = Path(os.path.expanduser(os.path.expandvars(choice))) if own else DIRECTORY / f"{choice}{SUFFIX}"
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"tokenizer.chat_template: cannot read {choice!r} ({path}): {error}") from error


def special_tokens(source: str) -> tuple[str, ...]:
    """The special tokens that a template says it spells out, its `bos_token` and `eos_token` apart."""
    found = HEADER.search(source)
    return tuple(found.group(1).split()) if found else ()


def uses_bos(source: str) -> bool:
    """Whether the template writes the tokenizer's `bos_token`."""
    return "bos_token" in COMMENT.sub("", source)
