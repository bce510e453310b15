"""Pairs from JSONL files of {"prompt", "chosen", "rejected"}."""

from collections.abc import Iterator
from typing import Any

import orjson

from lifecycle.corpora.opening import open_bytes
from lifecycle.corpora.paths import Location
from lifecycle.corpora.snapshot import source_files
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Message
from lifecycle.ledger import LedgerWriter, SourceLedger
from lifecycle.preferences.table import Pair, pair_id
from lifecycle.recipe.alignment import PreferenceFiles

ROLES = ("system", "user", "assistant")


def file_pairs(config: PreferenceFiles) -> tuple[list[Pair], SourceLedger]:
    """The pairs of one file source in file and line order; the unit of the ledger is the line.

    A prompt is a string or a list of {"role", "content"} that ends with the user. Damaged lines are counted under
    `damaged_line`, pairs whose two answers are equal under `equal_answers`.

    Raises:
        DataError: the path matches nothing, there is no record, or more lines are damaged than the tolerance allows;
            the message names the first damaged file and line.
    """
    ledger = LedgerWriter(config.name)
    pairs: list[Pair] = []
    problems: list[str] = []
    for path, number, line in _lines(config):
        place = f"{path.name}:{number}"
        try:
            pair = _pair(config.name, place, orjson.loads(line))
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
            ledger.drop("damaged_line", place, line.decode("utf-8", errors="replace"))
            continue
        if pair.chosen.strip() == pair.rejected.strip():
            ledger.drop("equal_answers", place, pair.text())
            continue
        pairs.append(pair)
        ledger.keep(pair.text())
    if not ledger.read:
        raise DataError(f"preferences.sources: {config.name}: {config.path} holds no record")
    if len(problems) > config.tolerance * ledger.read:
        raise DataError(
            f"preferences.sources: {config.name}: {len(problems)} of {ledger.read} lines are damaged, more than the "
            f"tolerance of {config.tolerance:.1%}; the first: {problems[0]}"
        )
    return pairs, ledger.close()


def _lines(config: PreferenceFiles) -> Iterator[tuple[Location, int, bytes]]:
    for path, _ in source_files(config):
        with open_bytes(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield path, number, line


def _pair(source: str, place: str, record: Any) -> Pair:
    if not isinstance(record, dict):
        raise ValueError(f"a record is a JSON object, this is {type(record).__name__}")
    for field in ("chosen", "rejected"):
        if not isinstance(record.get(field), str) or not record[field].strip():
            raise ValueError(f"field {field}: must be a string that is not empty")
    return Pair(
        id=pair_id(source, place),
        prompt=tuple(_prompt(record.get("prompt"))),
        chosen=record["chosen"],
        rejected=record["rejected"],
        source=source,
        task="general",
    )


def _prompt(value: Any) -> Iterator[Message]:
    if isinstance(value, str) and value.strip():
        yield Message(role="user", content=value)
        return
    if not isinstance(value, list) or not value:
        raise ValueError("field prompt: must be a string or a list of {role, content}, not empty")
    for index, message in enumerate(value):
        if not isinstance(message, dict) or message.get("role") not in ROLES or not isinstance(message.get("content"), str):
            raise ValueError(f"field prompt[{index}]: needs a role of {', '.join(ROLES)} and a content string")
        yield Message(role=message["role"], content=message["content"])
    if value[-1]["role"] != "user":
        raise ValueError(f"field prompt[{len(value) - 1}].role: the last message is the user's, not {value[-1]['role']}'s")
