"""Hugging Face datasets: saved on disk, or streamed from a downloaded repository or from the Hub."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lifecycle.corpora.records import Damage, Records, make_document
from lifecycle.errors import DataError
from lifecycle.recipe.corpora import DatasetsSource

SAVED = ("dataset_dict.json", "state.json")
"""What `save_to_disk` leaves in a directory."""


def read(source: DatasetsSource) -> Records:
    """One document a row. Damage: `text_not_a_string`, `empty_text`, and `unreadable_file` where the rows end in an error.

    Raises:
        DataError: the dataset, its split or one of the named columns is not there, or the Hub cannot be reached.
    """
    label = source.dataset or source.path
    number = 0
    try:
        for number, row in enumerate(_rows(source), 1):
            yield _record(source, row, number)
    except DataError:
        raise
    except Exception as error:  # every builder raises its own kinds, and pyarrow's are not OSErrors
        if number == 0:
            raise DataError(f"source {source.name}: {label}: {type(error).__name__}: {error}") from error
        yield Damage("unreadable_file", f"row {number + 1}", f"{type(error).__name__}: {error}")


def _rows(source: DatasetsSource) -> Iterator[dict[str, Any]]:
    return iter(_saved(source, directory(source)) if _is_saved(source) else _streamed(source))


def directory(source: DatasetsSource) -> Path:
    """The directory that `path` means."""
    return Path(os.path.expanduser(os.path.expandvars(source.path or "")))


def _is_saved(source: DatasetsSource) -> bool:
    return source.path is not None and any((directory(source) / name).is_file() for name in SAVED)


def _saved(source: DatasetsSource, path: Path) -> Any:
    import datasets

    loaded = datasets.load_from_disk(str(path))
    if isinstance(loaded, datasets.DatasetDict):
        if source.split not in loaded:
            raise DataError(f"source {source.name}: {path} has no split {source.split!r}; it has {sorted(loaded)}")
        loaded = loaded[source.split]
    return loaded


def _streamed(source: DatasetsSource) -> Any:
    import datasets

    name = str(directory(source)) if source.path is not None else str(source.dataset)
    try:
        return datasets.load_dataset(name, source.config, split=source.split, revision=source.revision, streaming=True)
    except Exception as error:  # network, authorisation, missing split and scripts each raise their own kind
        hint = (
            "" if source.path is not None else " Without a network: download the repository elsewhere and give its `path`."
        )
        raise DataError(f"source {source.name}: {name} cannot be opened: {type(error).__name__}: {error}.{hint}") from error


def _record(source: DatasetsSource, row: dict[str, Any], number: int) -> Any:
    for field in (source.text_field, source.id_field, source.url_field):
        if field and field not in row:
            raise DataError(f"source {source.name}: no column {field!r}; there are {sorted(row)}")
    locator = f"{source.split}:row {number}"
    text = row[source.text_field]
    if not isinstance(text, str):
        return Damage("text_not_a_string", locator, repr(text)[:300])
    if not text.strip():
        return Damage("empty_text", locator, text)
    return make_document(
        source.name,
        source.language,
        locator,
        text,
        id=str(row[source.id_field]) if source.id_field else None,
        url=str(row[source.url_field]) if source.url_field else None,
        meta={"split": source.split},
    )
