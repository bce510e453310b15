"""Addresses that carry a name and a password: kept out of recipes, and out of what is said of them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
"""The `user:password@` of a URL."""


def without_credentials(text: str) -> str:
    """The text with `…` in place of what stands between `://` and `@`."""
    return CREDENTIALS.sub("…@", text)


def fields_with_credentials(value: Any, path: str = "") -> Iterator[str]:
    """The dotted names of the strings in nested data that hold an address with a password written out.

    `https://user:$TOKEN@host` takes its password from the environment and is none of them.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from fields_with_credentials(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from fields_with_credentials(item, f"{path}.{place}")
    elif isinstance(value, str) and any(_password(match.group()) for match in CREDENTIALS.finditer(value)):
        yield path


def _password(credentials: str) -> bool:
    _, _, password = credentials.removesuffix("@").partition(":")
    return bool(re.sub(r"\$(\w+|\{\w+\})", "", password))
