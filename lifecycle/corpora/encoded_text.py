"""Text that is held in UTF-8, as it was read and will be written, and becomes a string where one is asked for."""

from dataclasses import dataclass

FIRST_BYTES = 64


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A text; `len` gives its characters, `str` the text itself."""

    utf8: bytes
    characters: int

    def __len__(self) -> int:
        return self.characters

    def __str__(self) -> str:
        return self.utf8.decode("utf-8")

    def isspace(self) -> bool:
        """As that of a string; nearly always the first characters tell."""
        return self.utf8[:FIRST_BYTES].decode("utf-8", "ignore").isspace() and str(self).isspace()


def utf8_of(text: str | EncodedText) -> bytes:
    """The text in UTF-8; raises UnicodeEncodeError where it holds a lone surrogate."""
    return text.encode("utf-8") if isinstance(text, str) else text.utf8
