"""Every rule that looks at one document alone, over a table of documents: repairs, language, quality, blocklists."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lifecycle.corpora.arrow import cast, filtered, strings
from lifecycle.curation.blocklists import listed
from lifecycle.curation.buffers import buffers_of, column_of, lengths_of, text_of
from lifecycle.curation.language import mixed_language, verdicts
from lifecycle.curation.language_sample import samples
from lifecycle.curation.model import ModelRule
from lifecycle.curation.other_rules import MIXED_RULE, SCORE_RULE, blocklist_rules
from lifecycle.curation.quality import KEPT, decisions
from lifecycle.curation.repair import Change, Repaired, around_difference, repair
from lifecycle.curation.repeated_lines import Hashes
from lifecycle.curation.rewrite import c4_text
from lifecycle.curation.rule import Rule
from lifecycle.curation.sidecar import MIXED_COLUMNS, MODEL_COLUMNS, blocklist_columns
from lifecycle.curation.statistics import statistics_of_arrow
from lifecycle.recipe.corpora import CurationConfig

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Judged:
    """What the rules made of a table of documents."""

    kept: pa.Table
    """The documents that stay, as they stay, in order."""
    languages: list[str]
    decided: NDArray[np.str_]
    """`KEPT`, or the first rule that the document breaks, shape (documents,)."""
    columns: Columns
    """What the sidecar says of each document beside these two, each of shape (documents,)."""
    changes: list[Change]
    characters: NDArray[np.int64]
    """Of each document as it was read, shape (documents,)."""
    repaired: pa.LargeStringArray
    """The texts of all documents after the repairs."""
    characters_left: NDArray[np.int64]
    """Of each document after every rule that rewrites it, shape (documents,)."""


def judge(table: pa.Table, config: CurationConfig, repeated: Hashes = frozenset(), model: ModelRule | None = None) -> Judged:
    """Repair the documents of a table, and decide which of them stay; the first broken rule counts, the model's last."""
    repaired = repair(table["text"], config, repeated)
    found = _verdicts(repaired, table["lang"].to_pylist(), config)
    sure = found["language_score"] >= config.min_language_score
    spoken = np.where(sure, found["found_lang"], found["declared_lang"])
    languages = spoken.tolist()
    columns = statistics_of_arrow(repaired.texts, languages) | found
    columns |= _mixed(repaired.texts, languages, config) | _listed(repaired.texts, config)
    if model:
        scored = model.judge(repaired.texts.to_pylist(), languages)
        columns |= {name: scored[:, place] for place, name in enumerate(MODEL_COLUMNS)}
    decided = decisions(columns, languages, config)
    decided[_broken(MIXED_RULE, columns, spoken, config)] = MIXED_RULE.name
    decided[~np.isin(spoken, config.languages)] = "language"
    for rule in (*blocklist_rules(config), SCORE_RULE):
        decided[_broken(rule, columns, spoken, config) & (decided == KEPT)] = rule.name
    texts, changes, left = repaired.texts, repaired.changes, repaired.characters_left
    if "c4_quality" in config.quality_sets and config.c4_quality.rewrite_lines:
        texts, rewritten = _rewritten(texts, languages, decided, config, repeated)
        changes = sorted([*changes, *rewritten], key=lambda change: change.document)
        left = lengths_of(*buffers_of(texts))
    judged = table.set_column(table.schema.get_field_index("text"), "text", cast(texts, pa.string()))
    judged = judged.set_column(table.schema.get_field_index("lang"), "lang", strings(languages))
    stays = decided == KEPT
    kept = judged if stays.all() else filtered(judged, stays)
    return Judged(kept, languages, decided, columns, changes, repaired.characters, repaired.texts, left)


def _broken(rule: Rule, columns: Columns, languages: NDArray[np.str_], config: CurationConfig) -> NDArray[np.bool_]:
    return rule.broken(rule.figures(columns, languages), rule.limits(config, columns, languages))


def _verdicts(repaired: Repaired, declared: list[str], config: CurationConfig) -> Columns:
    languages, scores = verdicts(samples(*buffers_of(repaired.texts)), declared, config.language_model)
    return {"declared_lang": np.array(declared, dtype=np.str_), "found_lang": languages, "language_score": scores}


def _mixed(texts: pa.LargeStringArray, languages: list[str], config: CurationConfig) -> Columns:
    """The columns of mixed language, measured only where the recipe asks, of documents in a language that it wants."""
    found = np.zeros((len(languages), len(MIXED_COLUMNS)), dtype=np.int64)
    if config.max_mixed_language is not None:
        buffer, offsets = buffers_of(texts)
        for document, language in enumerate(languages):
            if language in config.languages:
                found[document] = mixed_language(text_of(buffer, offsets, document), language, config.language_model)
    return {name: found[:, place] for place, name in enumerate(MIXED_COLUMNS)}


def _listed(texts: pa.LargeStringArray, config: CurationConfig) -> Columns:
    """The columns of the blocklists, of every document, so that other limits can be tried."""
    if not config.blocklists:
        return {}
    buffer, offsets = buffers_of(texts)
    rows = [listed(text_of(buffer, offsets, document), config.blocklists) for document in range(len(texts))]
    found = np.array(rows, dtype=np.int64).reshape(len(rows), -1)
    names = [name for entry in config.blocklists for name in blocklist_columns(entry.category)]
    return {name: found[:, place] for place, name in enumerate(names)}


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
