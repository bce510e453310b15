"""Our quality and repetition rules beside datatrove's, on the same text: speed, and parity of decisions.

The peer runs Gopher repetition, Gopher quality, C4 and FineWeb as a chain: a document that one drops is not shown to the
next. Ours computes every statistic of every document. Compilation and model loading are outside both measurements.
"""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lifecycle.curation.marks import mark_tables
from lifecycle.curation.quality import KEPT, decisions
from lifecycle.curation.rewrite import CITATION
from lifecycle.curation.statistics import statistics, statistics_of_arrow
from lifecycle.curation.words import words
from lifecycle.recipe.corpora import CurationConfig

SETS = ("gopher_repetition", "gopher_quality", "c4_quality", "fineweb_quality")
MEASURED_SECONDS = 2.0


def peer(python: Path, texts: Sequence[str], language: str, directory: Path) -> dict[str, Any]:
    """What `rules_datatrove.py` says of the texts; our units of text go with them."""
    _, lower = mark_tables()
    given, result = directory / f"{language}.jsonl", directory / f"{language}.json"
    with given.open("w", encoding="utf-8") as file:
        for text in texts:
            lines = [CITATION.sub("", line.strip()) for line in text.splitlines()]
            counts = statistics(lines, ["en"] * len(lines))["sentences"].tolist() if lines else []
            folded = ["".join(chr(lower[ord(c)]) if ord(c) < lower.size else c for c in word) for word in words(text)]
            sentences = {line.strip(): count for line, count in zip(lines, counts, strict=True)}
            row = {"text": text, "lang": language, "words": folded, "sentences": sentences}
            file.write(json.dumps(row) + "\n")
    script = Path(__file__).with_name("rules_datatrove.py")
    subprocess.run([str(python), str(script), str(given), str(result)], check=True, stderr=subprocess.DEVNULL)
    return json.loads(result.read_text(encoding="utf-8"))


def our_seconds(texts: Sequence[str], language: str) -> float:
    """CPU seconds of statistics and decisions of all texts, as an Arrow column; the mean of many passes."""
    import pyarrow as pa

    column, languages = pa.array(texts, pa.large_string()), [language] * len(texts)
    config = CurationConfig(quality_sets=SETS)

    def once() -> None:
        decisions(statistics_of_arrow(column, languages), languages, config)

    once()
    passes, started = 0, time.process_time()
    while time.process_time() - started < MEASURED_SECONDS:
        once()
        passes += 1
    return (time.process_time() - started) / passes


def compare(ours: Sequence[str], theirs: Sequence[str | None]) -> tuple[float, Counter[str]]:
    """Share of documents with the same decision, and the classes of difference."""
    differences = Counter(
        f"theirs {other or KEPT}, ours {mine}"
        for mine, other in zip(ours, theirs, strict=True)
        if (mine == KEPT) != (other is None)
    )
    return 1 - sum(differences.values()) / len(ours), differences


def parity(texts: Sequence[str], language: str, said: dict[str, Any]) -> list[dict[str, Any]]:
    """Decisions set by set: on our units of text with the papers' thresholds, and each with its own units and thresholds."""
    found = []
    for units, key, judged_as in (("the same units", "given", "en"), ("own units and thresholds", "own", language)):
        counts, languages = statistics(texts, [judged_as] * len(texts)), [judged_as] * len(texts)
        for name in SETS:
            ours = decisions(counts, languages, CurationConfig(quality_sets=(name,))).tolist()
            share, differences = compare(ours, [row[name] for row in said[key]])
            kept = sum(each == KEPT for each in ours) / len(ours)
            print(f"  {units:<25} {name:<18} agree on {share:7.2%} (we keep {kept:.1%})")
            for what, count in differences.most_common(4):
                print(f"      {count:>5}  {what}")
            entry = {"units": units, "set": name, "agreement": round(share, 5), "differences": dict(differences)}
            found.append(entry)
    return found


def measure(texts: Sequence[str], language: str, said: dict[str, Any]) -> dict[str, Any]:
    """The record of one language; parity is printed on the way."""
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    ours, theirs = megabytes / our_seconds(texts, language), megabytes / said["seconds"]
    record = {"work": "rules", "language": language, "ours": round(ours, 2), "peer": round(theirs, 3)}
    record |= {"ratio": round(ours / theirs, 1), "megabytes": round(megabytes, 2), "documents": len(texts)}
    return record | {"parity": parity(texts, language, said)}


def kept_by_the_peer(texts: Sequence[str], said: dict[str, Any]) -> list[str]:
    """The documents that none of its filters drops."""
    return [text for text, reasons in zip(texts, said["own"], strict=True) if not any(reasons.values())]
