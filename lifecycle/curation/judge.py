"""Every rule that looks at one document alone, over a table of documents: repairs, language, quality, blocklists."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.curation.blocklists import blocked_category
from lifecycle.curation.buffers import buffers_of, column_of, lengths_of, text_of
from lifecycle.curation.language import languages_of, mixed_language
from lifecycle.curation.language_sample import CHARACTERS
from lifecycle.curation.model import ModelRule
from lifecycle.curation.quality import KEPT, MIXED_RULE, MODEL_RULE, decisions
from lifecycle.curation.repair import Change, Repaired, around_difference, repair
from lifecycle.curation.repeated_lines import Hashes
from lifecycle.curation.rewrite import c4_text
from lifecycle.curation.sidecar import LANGUAGE_COLUMNS
from lifecycle.curation.statistics import Columns, statistics_of_arrow
from lifecycle.recipe.corpora import CurationConfig

LANGUAGE_BYTES = CHARACTERS * 2 * 4
"""From this much of a text its language is found."""


@dataclass(frozen=True)
class Judged:
    """What the rules made of a table of documents."""

    kept: pa.Table
    """The documents that stay, as they stay, in order."""
    languages: list[str]
    decided: NDArray[np.str_]
    """`KEPT`, or the first rule that the document breaks, shape (documents,)."""
    counts: Columns
    changes: list[Change]
    characters: NDArray[np.int64]
    """Of each document as it was read, shape (documents,)."""
    repaired: pa.LargeStringArray
    """The texts of all documents after the repairs."""
    characters_left: NDArray[np.int64]
    """Of each document after every rule that rewrites it, shape (documents,)."""
    scored: NDArray[np.float64] | None
    """Score and limit by the quality model, shape (documents, 2)."""


def judge(table: pa.Table, config: CurationConfig, repeated: Hashes = frozenset(), model: ModelRule | None = None) -> Judged:
    """Repair the documents of a table, and decide which of them stay; the first broken rule counts, the model's last."""
    repaired = repair(table["text"], config, repeated)
    languages = _languages(repaired, table["lang"].to_pylist(), config)
    counts = statistics_of_arrow(repaired.texts, languages) | _mixed(repaired.texts, languages, config)
    decided = decisions(counts, languages, config)
    _apply_languages(counts, np.asarray(languages, dtype=np.str_), decided, config)
    if config.blocklists:
        _apply_blocklists(repaired.texts, decided, config)
    scored = model.judge(repaired.texts.to_pylist(), languages) if model else None
    if scored is not None:
        decided[MODEL_RULE.broken(scored[:, 0], scored[:, 1]) & (decided == KEPT)] = MODEL_RULE.name
    texts, changes, left = repaired.texts, repaired.changes, repaired.characters_left
    if "c4_quality" in config.quality_sets and config.c4_quality.rewrite_lines:
        texts, rewritten = _rewritten(texts, languages, decided, config, repeated)
        changes = sorted([*changes, *rewritten], key=lambda change: change.document)
        left = lengths_of(*buffers_of(texts))
    columns = table.set_column(table.schema.get_field_index("text"), "text", texts.cast(pa.string()))
    columns = columns.set_column(table.schema.get_field_index("lang"), "lang", pa.array(languages, pa.string()))
    kept = columns.filter(pa.array(decided == KEPT))
    return Judged(kept, languages, decided, counts, changes, repaired.characters, repaired.texts, left, scored)


def _languages(repaired: Repaired, declared: list[str], config: CurationConfig) -> list[str]:
    buffer, offsets = buffers_of(repaired.texts)
    ends = np.minimum(offsets[1:], offsets[:-1] + LANGUAGE_BYTES).tolist()
    places = zip(offsets[:-1].tolist(), ends, strict=True)
    return languages_of([buffer[begin:end].tobytes().decode("utf-8", "ignore") for begin, end in places], declared, config)


def _mixed(texts: pa.LargeStringArray, languages: list[str], config: CurationConfig) -> Columns:
    """The columns of mixed language, measured only where the recipe asks, of documents in a language that it wants."""
    found = np.zeros((len(languages), len(LANGUAGE_COLUMNS)), dtype=np.int64)
    if config.max_mixed_language is not None:
        buffer, offsets = buffers_of(texts)
        for document, language in enumerate(languages):
            if language in config.languages:
                found[document] = mixed_language(text_of(buffer, offsets, document), language, config.language_model)
    return {name: found[:, place] for place, name in enumerate(LANGUAGE_COLUMNS)}


def _apply_languages(
    counts: Columns, languages: NDArray[np.str_], decided: NDArray[np.str_], config: CurationConfig
) -> None:
    """Languages come before every other rule."""
    broken = MIXED_RULE.broken(MIXED_RULE.figures(counts, languages), MIXED_RULE.limits(config, languages))
    decided[broken] = MIXED_RULE.name
    decided[~np.isin(languages, config.languages)] = "language"


def _apply_blocklists(texts: pa.LargeStringArray, decided: NDArray[np.str_], config: CurationConfig) -> None:
    buffer, offsets = buffers_of(texts)
    for document in np.flatnonzero(decided == KEPT).tolist():
        category = blocked_category(text_of(buffer, offsets, document), config.blocklists)
        if category:
            decided[document] = f"blocklist:{category}"


def _rewritten(
    texts: pa.LargeStringArray,
    languages: list[str],
    decided: NDArray[np.str_],
    config: CurationConfig,
    repeated: Hashes,
) -> tuple[pa.LargeStringArray, list[Change]]:
    """The texts with only the lines that C4 keeps, where the document stays."""
    buffer, offsets = buffers_of(texts)
    changes, parts = [], []
    for document, language in enumerate(languages):
        text = after = text_of(buffer, offsets, document)
        if decided[document] == KEPT:
            after = c4_text(text, language, config, repeated)
        if after != text:
            changes.append(Change(document, "c4_lines", *around_difference(text, after), len(text) - len(after)))
        parts.append(after.encode("utf-8"))
    places = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=places[1:])
    return column_of(np.frombuffer(b"".join(parts), dtype=np.uint8), places), changes
