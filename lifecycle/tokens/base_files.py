"""Where the recipe's base tokenizer lies, and the content that it stands for; light enough for planning."""

import os
from pathlib import Path

from lifecycle.digests import digest_file
from lifecycle.errors import RecipeError

FIELD = "tokenizer.base"
GPT2_FILES = ("vocab.json", "merges.txt")
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model")


def base_path(given: str) -> Path:
    """The file or folder that a recipe's path means; raises RecipeError when there is none."""
    path = Path(os.path.expanduser(os.path.expandvars(given)))
    if not path.exists():
        raise RecipeError(f"{FIELD}: nothing at {given!r} ({path}); give a tokenizer's folder, its tokenizer.json or .model")
    return path


def base_digests(given: str) -> dict[str, str]:
    """The content of the files that decide the tokenizer, by name."""
    path = base_path(given)
    files = [path] if path.is_file() else [path / name for name in (*FILES, *GPT2_FILES) if (path / name).is_file()]
    return {file.name: digest_file(file) for file in files}
