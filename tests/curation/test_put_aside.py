"""Held-out documents are put aside where their texts are read for signatures; the corpus is the same where none were."""

import random
import shutil
from pathlib import Path

import pytest

from lifecycle.corpora.row_groups import RowGroup
from lifecycle.curation import put_aside, sides
from lifecycle.curation.corpus import build_corpus
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig
from tests.curation.cleaning import rows, write_documents
from tests.curation.test_minhash import random_text
from tests.curation.test_signature_cache import small_groups  # noqa: F401
from tests.tokens.small_corpus import hashes


class Built:
    """Corpora of the same cleaned text, and how many row groups each read for its two sides."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.reads, self._number = home, 0, 0
        drawn = random.Random(3)  # most row groups have few held-out documents, some have none and some have many
        groups = [f"{number if drawn.random() < 0.5 else number // 40}" for number in range(300)]
        self.cleaned = write_documents(home / "cleaned", [random_text(seed, 60) for seed in range(300)], groups=groups)
        real = sides.read_group

        def counted(*arguments: object) -> object:
            self.reads += 1
            return real(*arguments)

        monkeypatch.setattr(sides, "read_group", counted)

    def build(self, share: float, cache: Path) -> tuple[dict[str, str], int]:
        """The hashes of the files of a corpus, and row groups read."""
        self.reads, self._number = 0, self._number + 1
        out = self.home / str(self._number)
        out.mkdir()
        config = CurationConfig(workers=1, heldout=HeldoutConfig(share=share), heldout_overlap=None)
        build_corpus({"a": self.cleaned}, config, out, self.home / "run", cache)
        assert rows(out / "heldout")
        return hashes(out), self.reads


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("share", [0.05, 0.7])
def test_the_same_corpus_whether_documents_were_put_aside_or_not(
    tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were read with nearly all other text once more; where signatures were kept they still are."""
    built = Built(tmp_path, monkeypatch)
    fresh, few = built.build(share, tmp_path / "cache")
    for unit in [entry for entry in (tmp_path / "cache").glob("*/*") if entry.is_dir()]:
        shutil.rmtree(unit)  # what is left are signatures
    again, many = built.build(share, tmp_path / "cache")
    assert again == fresh
    assert few < many
    other, _ = built.build(0.4, tmp_path / "cache")
    assert other == built.build(0.4, tmp_path / "another cache")[0] != fresh


@pytest.mark.usefixtures("small_groups")
def test_what_was_put_aside_and_is_damaged_is_read_from_its_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    built = Built(tmp_path, monkeypatch)
    fresh, few = built.build(0.05, tmp_path / "cache")
    real = put_aside.put_aside

    def damaged(directory: Path, group: RowGroup) -> object:
        entry = put_aside._entry(directory, group)
        if entry.exists():
            entry.write_bytes(entry.read_bytes()[:-1])
        return real(directory, group)

    monkeypatch.setattr(sides, "put_aside", damaged)
    again, many = built.build(0.05, tmp_path / "another cache")
    assert again == fresh
    assert few < many
    assert "damaged" in caplog.text
