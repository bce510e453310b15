"""C4's line rewriting: what is left of a kept document when only the lines that C4 keeps are (Raffel et al. 2020)."""

import re

from lifecycle.curation.normalise import ROUNDS, normalised
from lifecycle.curation.repeated_lines import Hashes
from lifecycle.curation.statistics import statistics
from lifecycle.recipe.corpora import CurationConfig

CITATION = re.compile(r"\[[0-9]*]|\[edit]|\[citation needed]")


def c4_text(text: str, language: str, config: CurationConfig, repeated: Hashes) -> str:
    """A normalised text, its lines rewritten, and what then stands at its edges normalised again, until nothing changes."""
    for _ in range(ROUNDS):
        after = c4_lines(text, language)
        if after == text:
            break
        text = normalised(after, config, repeated)
    return text


def c4_lines(text: str, language: str) -> str:
    """The lines that C4 keeps, without citations; the conditions are those that `lines.finish_line` counts by.

    A document that consists of nothing else comes back without its citations and with `\\n` between its lines.
    """
    lines = text.splitlines()
    kept = statistics(lines, [language] * len(lines))["c4_lines"] if lines else []
    return "\n".join(CITATION.sub("", line.strip()) for line, keep in zip(lines, kept, strict=True) if keep).strip()
