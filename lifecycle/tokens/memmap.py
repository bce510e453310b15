"""Token memmaps: text as one long array of ids on disk, read without ever loading the file.

`tokens.bin` holds the ids (little-endian uint16 or uint32), `documents.npy` the int64 offsets of documents (n + 1),
`loss_mask.bin` one uint8 per token where only a part is trained, and `memmap.json` says what they are. What is known of each
document lies beside them: `task.npy` and `language.npy` (int32, indices of names), `difficulty.npy` (float32, NaN: unknown).
"""

from array import array
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

import numpy as np
from pydantic import ValidationError

from lifecycle.errors import CorruptArtifactError, DataError
from lifecycle.recipe.base import Section

Dtype = Literal["uint16", "uint32"]
LABELS = {"task": np.dtype(np.int32), "language": np.dtype(np.int32), "difficulty": np.dtype(np.float32)}
"""What may be known of a document, each in a file of that name."""


class MemmapFormat(Section):
    """What is known of a memmap before its first document is written."""

    dtype: Dtype
    vocab_size: int
    tokenizer_digest: str
    template: str
    eos_token_id: int
    """Ends a chat message."""
    pad_token_id: int
    """Ends a pretraining document; also pads."""


class MemmapDescription(MemmapFormat):
    """The content of `memmap.json`."""

    tokens: int
    documents: int
    loss_mask: bool
    trained_tokens: int
    """Tokens whose mask is 1; all of them where there is no mask."""
    tasks: tuple[str, ...] = ()
    """Names that the numbers in `task.npy` stand for; empty when there is no such file."""
    languages: tuple[str, ...] = ()
    """The same of `language.npy`."""
    difficulty: bool = False
    """Whether there is a `difficulty.npy`."""


class TokenMemmap:
    """A memmap opened for reading; the sizes of all its files are checked against `memmap.json`.

    Attributes:
        describe: the content of `memmap.json`.
        tokens: ids, uint16 or uint32 [tokens], mapped.
        offsets: int64 [documents + 1], mapped; document i is `tokens[offsets[i]:offsets[i + 1]]`.
        loss_mask: uint8 [tokens], mapped, or None.
        task: int32 [documents], or None.
        language: int32 [documents], or None.
        difficulty: float32 [documents], NaN where it is not known, or None.

    Raises:
        CorruptArtifactError: a file is missing, or its size or offsets do not fit; the message names it.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.path = path
        self.describe = describe = _read_description(path)
        self.offsets = _load_array(path / "documents.npy", np.dtype(np.int64), describe.documents + 1)
        if self.offsets[0] != 0 or self.offsets[-1] != describe.tokens:
            raise CorruptArtifactError(f"{path / 'documents.npy'}: the offsets do not span the {describe.tokens} tokens")
        self.tokens = _map(path / "tokens.bin", np.dtype(describe.dtype).newbyteorder("<"), describe.tokens)
        self.loss_mask = _map(path / "loss_mask.bin", np.dtype(np.uint8), describe.tokens) if describe.loss_mask else None
        self.task = self._label("task", bool(describe.tasks))
        self.language = self._label("language", bool(describe.languages))
        self.difficulty = self._label("difficulty", describe.difficulty)

    def _label(self, name: str, there: bool) -> np.ndarray | None:
        return _load_array(self.path / f"{name}.npy", LABELS[name], len(self)) if there else None

    def document(self, index: int) -> np.ndarray:
        """The ids of document `index` [tokens of the document], as a view into the map."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def __len__(self) -> int:
        return self.describe.documents


class MemmapWriter:
    """Writes a memmap document by document; memory grows by 8 bytes per document, and 4 for each label.

    Leaving the `with` block without an exception writes `documents.npy`, the labels and, last, `memmap.json`.

    Args:
        tasks: names of the documents' tasks, empty: they have none.
        languages: the same of languages.
        difficulty: whether documents have a difficulty.
    """

    def __init__(
        self,
        path: Path,
        token_format: MemmapFormat,
        *,
        masked: bool = False,
        tasks: tuple[str, ...] = (),
        languages: tuple[str, ...] = (),
        difficulty: bool = False,
    ) -> None:
        self._path = path
        self._format = token_format
        self._dtype = np.dtype(token_format.dtype).newbyteorder("<")
        if token_format.vocab_size > np.iinfo(self._dtype).max + 1:
            raise DataError(
                f"tokenizer.dtype: {token_format.dtype} cannot hold a vocabulary of {token_format.vocab_size} entries; "
                "use uint32"
            )
        path.mkdir(parents=True, exist_ok=True)
        self._tokens: IO[bytes] = (path / "tokens.bin").open("wb")
        self._mask: IO[bytes] | None = (path / "loss_mask.bin").open("wb") if masked else None
        self._offsets = array("q", [0])
        self._names = {"tasks": tasks, "languages": languages, "difficulty": difficulty}
        there = zip(LABELS, (tasks, languages, difficulty), strict=True)
        self._labels = {name: array(LABELS[name].char) for name, given in there if given}
        self._trained = 0

    def append(self, ids: np.ndarray, lengths: np.ndarray, mask: np.ndarray | None = None, **labels: np.ndarray) -> None:
        """Add documents that lie one behind the other.

        Args:
            ids: integers [sum of lengths].
            lengths: integers [documents].
            mask: 0 or 1 [sum of lengths]; given exactly when the memmap is masked.
            labels: `task` and `language` (indices into the names) and `difficulty`, each [documents] and given exactly when
                the memmap has it.

        Raises:
            DataError: an id lies outside the vocabulary; the message names it.
            ValueError: the arrays do not fit each other.
        """
        unexpected = (mask is None) != (self._mask is None) or set(labels) != set(self._labels)
        if unexpected or int(lengths.sum()) != len(ids) or any(len(values) != len(lengths) for values in labels.values()):
            raise ValueError("ids, lengths, mask and labels do not fit each other or this memmap")
        self._check_ids(ids)
        self._tokens.write(np.ascontiguousarray(ids, dtype=self._dtype).tobytes())
        if mask is not None and self._mask is not None:
            if len(mask) != len(ids):
                raise ValueError(f"{len(mask)} mask values for {len(ids)} tokens")
            self._mask.write(np.ascontiguousarray(mask, dtype=np.uint8).tobytes())
            self._trained += int(mask.sum())
        ends = self._offsets[-1] + np.cumsum(lengths, dtype=np.int64)
        self._offsets.frombytes(ends.tobytes())
        for name, values in labels.items():
            self._labels[name].frombytes(np.ascontiguousarray(values, dtype=LABELS[name]).tobytes())

    def _check_ids(self, ids: np.ndarray) -> None:
        if not len(ids):
            return
        for extreme in (int(ids.max()), int(ids.min())):
            if not 0 <= extreme < self._format.vocab_size:
                raise DataError(
                    f"{self._path}: token id {extreme} lies outside the vocabulary of {self._format.vocab_size}; "
                    "the text was encoded with another tokenizer"
                )

    def __enter__(self) -> "MemmapWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._tokens.close()
        if self._mask is not None:
            self._mask.close()
        if kind is None:
            self._describe()

    def _describe(self) -> None:
        np.save(self._path / "documents.npy", np.frombuffer(self._offsets, dtype=np.int64))
        for name, values in self._labels.items():
            np.save(self._path / f"{name}.npy", np.frombuffer(values, dtype=LABELS[name]))
        description = MemmapDescription(
            **self._format.model_dump(),
            tokens=self._offsets[-1],
            documents=len(self._offsets) - 1,
            loss_mask=self._mask is not None,
            trained_tokens=self._trained if self._mask is not None else self._offsets[-1],
            **self._names,
        )
        (self._path / "memmap.json").write_text(description.model_dump_json(indent=1), encoding="utf-8")


def _read_description(path: Path) -> MemmapDescription:
    try:
        return MemmapDescription.model_validate_json((path / "memmap.json").read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise CorruptArtifactError(f"{path / 'memmap.json'}: missing or damaged: {error}") from error


def _map(path: Path, dtype: np.dtype, length: int) -> np.ndarray:
    expected = length * dtype.itemsize
    size = path.stat().st_size if path.is_file() else None
    if size != expected:
        found = "is missing" if size is None else f"has {size} bytes"
        raise CorruptArtifactError(
            f"{path}: {found}; memmap.json says {length} values of {dtype.itemsize} bytes ({expected})"
        )
    if length == 0:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=(length,))


def _load_array(path: Path, dtype: np.dtype, length: int) -> np.ndarray:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CorruptArtifactError(f"{path}: missing or damaged: {error}") from error
    if values.dtype != dtype or values.shape != (length,):
        raise CorruptArtifactError(f"{path}: holds {values.dtype}{list(values.shape)}; memmap.json says {dtype}[{length}]")
    return values
