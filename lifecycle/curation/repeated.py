"""Lines or paragraphs that many documents carry: menus, notices, licences. The first document keeps them."""

import hashlib

from lifecycle.curation.passages import folded_words
from lifecycle.recipe.corpora import RepeatedTextConfig

SEPARATORS = {"line": "\n", "paragraph": "\n\n"}
DIGEST_BYTES = 16


class RepeatedText:
    """Takes documents in order and leaves out of each what an earlier one said; about 100 bytes of memory a unit.

    Two units are the same when their words are, whatever their case and punctuation. A refrain within one document stays:
    only other documents make a unit repeated (CCNet, Wenzek et al. 2020, section 3.1, removes paragraphs so).
    """

    def __init__(self, config: RepeatedTextConfig) -> None:
        self._config = config
        self._separator = SEPARATORS[config.unit]
        self._seen: set[bytes] = set()

    def rest(self, text: str) -> str:
        """`text` without its repeated units; the same string where there is none."""
        kept: list[str] = []
        own: set[bytes] = set()
        units = text.split(self._separator)
        for unit in units:
            words = folded_words(unit)
            if len(words) >= self._config.min_words:
                digest = hashlib.blake2b("\n".join(words).encode("utf-8"), digest_size=DIGEST_BYTES).digest()
                if digest in self._seen:
                    continue
                own.add(digest)
            kept.append(unit)
        self._seen |= own
        return text if len(kept) == len(units) else self._separator.join(kept).strip()

    def says_something(self, rest: str) -> bool:
        """Whether what is left is at least one unit's worth of words."""
        return len(folded_words(rest)) >= self._config.min_words
