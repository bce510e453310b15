"""Answers that were paid for, on disk by the digest of what was asked."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lifecycle.digests import digest_json
from lifecycle.files import write_atomically

FOLDER = "endpoint"
"""Below the kept results of a store: what only money makes again."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What the endpoint answered, and the tokens that it counted."""

    text: str
    finished: bool
    """Whether the answer ended by itself, not at `max_tokens`."""
    input_tokens: int
    output_tokens: int


def request_key(body: dict[str, Any]) -> str:
    """SHA-256 of the whole request: model, messages and settings."""
    return digest_json(body)


def load(directory: Path, key: str) -> Answer | None:
    """The answer kept under `key`; None where there is none, or where it is not what was written."""
    path = _path(directory, key)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored.pop("seal") != digest_json(stored):
            raise ValueError("seal")
        return Answer(**stored)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        logger.warning("%s: this kept answer is damaged; it is asked for again", path)
        return None


def save(directory: Path, key: str, answer: Answer) -> None:
    """Keep the answer; a reader sees all of it or nothing."""
    content = asdict(answer)
    write_atomically(_path(directory, key), json.dumps(content | {"seal": digest_json(content)}, ensure_ascii=False))


def _path(directory: Path, key: str) -> Path:
    return directory / key[:2] / f"{key}.json"
