"""The memmap format: what is written is read, and a file that does not fit is refused by name."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import CorruptArtifactError, DataError
from lifecycle.tokens.memmap import MemmapFormat, MemmapWriter, TokenMemmap

SIZES = {"uint16": 65_536, "uint32": 200_000}


def _format(dtype: str, vocab_size: int | None = None) -> MemmapFormat:
    return MemmapFormat(
        dtype=dtype,  # type: ignore[arg-type]
        vocab_size=vocab_size or SIZES[dtype],
        tokenizer_digest="d",
        template="chatml",
        eos_token_id=2,
        pad_token_id=0,
    )


def _write(path: Path) -> Path:
    with MemmapWriter(path, _format("uint16"), masked=True, tasks=("a", "b")) as writer:
        writer.append(np.array([5, 6, 7]), np.array([1, 2]), np.array([0, 1, 1]), task=np.array([1, 0]))
    return path


@settings(max_examples=60, deadline=None)
@given(dtype=st.sampled_from(["uint16", "uint32"]), data=st.data())
def test_documents_and_masks_come_back_as_written(dtype: str, data: st.DataObject):
    token = st.integers(0, SIZES[dtype] - 1)
    documents = data.draw(st.lists(st.lists(st.tuples(token, st.integers(0, 1)), max_size=8), max_size=8))
    cut = data.draw(st.integers(0, len(documents)))
    with TemporaryDirectory() as directory:
        with MemmapWriter(Path(directory), _format(dtype), masked=True) as writer:
            for part in (documents[:cut], documents[cut:]):
                flat = np.array([pair for document in part for pair in document], dtype=np.int64).reshape(-1, 2)
                writer.append(flat[:, 0], np.array([len(document) for document in part], dtype=np.int64), flat[:, 1])
        memmap = TokenMemmap(directory)
        assert len(memmap) == len(documents)
        assert memmap.loss_mask is not None
        for index, document in enumerate(documents):
            start, end = memmap.offsets[index], memmap.offsets[index + 1]
            assert memmap.document(index).tolist() == [token for token, _ in document]
            assert memmap.loss_mask[start:end].tolist() == [mask for _, mask in document]
        assert memmap.tokens.dtype == np.dtype(dtype)
        assert memmap.describe.trained_tokens == sum(mask for document in documents for _, mask in document)


def test_the_reader_maps_and_never_loads(tmp_path: Path):
    memmap = TokenMemmap(_write(tmp_path))
    assert isinstance(memmap.tokens, np.memmap)
    assert isinstance(memmap.offsets, np.memmap)
    assert memmap.task is not None
    assert [memmap.describe.tasks[index] for index in memmap.task] == ["b", "a"]


@pytest.mark.parametrize("token", [1000, -1])
def test_an_id_outside_the_vocabulary_is_named(tmp_path: Path, token: int):
    """65,536 written as uint16 would come back as 0 without a word."""
    problem = f"token id {token} lies outside the vocabulary of 1000"
    with pytest.raises(DataError, match=problem), MemmapWriter(tmp_path, _format("uint16", 1000)) as writer:
        writer.append(np.array([3, token]), np.array([2]))
    assert not (tmp_path / "memmap.json").exists()


def test_a_vocabulary_larger_than_the_dtype_names_the_field(tmp_path: Path):
    with pytest.raises(DataError, match=r"tokenizer\.dtype: uint16 cannot hold a vocabulary of 65537"):
        MemmapWriter(tmp_path, _format("uint16", 65_537))


@pytest.mark.parametrize("name", ["tokens.bin", "loss_mask.bin", "documents.npy", "task.npy"])
@pytest.mark.parametrize("damage", ["cut", "grown", "missing"])
def test_a_file_of_the_wrong_size_is_refused_by_name(tmp_path: Path, name: str, damage: str):
    """An index of one file was once used for another; sizes are checked on open."""
    path = _write(tmp_path) / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-1])
    elif name.endswith(".npy"):
        np.save(path, np.append(np.load(path), np.load(path)[-1]))
    else:
        path.write_bytes(content + b"\0")
    with pytest.raises(CorruptArtifactError, match=name):
        TokenMemmap(tmp_path)


def test_a_damaged_description_or_foreign_offsets_are_refused(tmp_path: Path):
    _write(tmp_path)
    np.save(tmp_path / "documents.npy", np.array([0, 1, 2], dtype=np.int64))
    with pytest.raises(CorruptArtifactError, match="do not span the 3 tokens"):
        TokenMemmap(tmp_path)
    description = json.loads((tmp_path / "memmap.json").read_text())
    (tmp_path / "memmap.json").write_text(json.dumps({**description, "dtype": "int8"}))
    with pytest.raises(CorruptArtifactError, match=r"memmap\.json"):
        TokenMemmap(tmp_path)
