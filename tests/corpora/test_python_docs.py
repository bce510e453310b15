"""Documentation strings, read from source files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.corpora.packages import python_files
from lifecycle.errors import DataError
from tests.corpora.reading import read

MODULE = '''"""A module."""
import warnings
raise RuntimeError("importing this file is a mistake")

class Old:
    """A class."""

    @property
    def size(self) -> int:
        """Its size."""

    @size.setter
    def size(self, value: int) -> None:
        """Set its size."""

@deprecated("use new")
def old(a, *b: int, c=1, **d) -> "str":
    """Do it.

    This way:
        Indented.
    """

try:
    import fast
except ImportError:
    def new(x):
        """Do it well.

        .. deprecated:: 3.0
        """
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package on the import path that cannot be imported."""
    root = tmp_path / "unimportable"
    (root / "tests").mkdir(parents=True)
    (root / "sub").mkdir()
    (root / "__init__.py").write_text(MODULE)
    (root / "sub" / "deep.py").write_text('"""Deep."""\n')
    (root / "tests" / "test_it.py").write_text('"""A test."""\n')
    (root / "broken.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "unimportable"


def test_every_documented_object_is_a_document(package: str, tmp_path: Path) -> None:
    documents, account = read(tmp_path / "read", kind="python_docs", packages=[package], tolerance=0.5)
    found = [(json.loads(document["meta"]), document["text"]) for document in documents]
    assert [(meta["module"], meta["qualname"], meta["kind"], text) for meta, text in found] == [
        ("unimportable", "", "module", "A module."),
        ("unimportable", "Old", "class", "A class."),
        ("unimportable", "Old.size", "method", "Its size."),
        ("unimportable", "Old.size", "method", "Set its size."),
        ("unimportable", "old", "function", "Do it.\n\nThis way:\n    Indented."),
        ("unimportable", "new", "function", "Do it well.\n\n.. deprecated:: 3.0"),
        ("unimportable.sub.deep", "", "module", "Deep."),
    ]
    assert [meta["deprecated"] for meta, _ in found] == [False, False, False, False, True, True, False]
    assert found[4][0]["signature"] == "(a, *b: int, c=1, **d) -> 'str'"
    assert {document["group"] for document in documents} == {"unimportable:__init__.py", "unimportable:sub/deep.py"}
    assert len({document["id"] for document in documents}) == len(documents)
    assert account.dropped == {"unparsable_file": 1}
    assert package not in sys.modules


def test_lone_surrogates_become_replacement_characters(package: str, tmp_path: Path) -> None:
    """Source code may name them by escape; no UTF-8 file can hold them."""
    (tmp_path / package / "__init__.py").write_text('"""Half \\ud800 a pair, and a whole one \\ud83d\\ude00."""\n')
    documents, account = read(tmp_path / "read", kind="python_docs", packages=[package], tolerance=0.5)
    assert documents[0]["text"] == "Half \ufffd a pair, and a whole one \U0001f600."
    assert account.changed == {"lone_surrogates": 1}


def test_ids_survive_an_edit_above(package: str, tmp_path: Path) -> None:
    """Ids once held line numbers: a new comment on top of a file gave every document below it another id."""
    before, _ = read(tmp_path / "1", kind="python_docs", packages=[package], tolerance=0.5)
    path = tmp_path / package / "__init__.py"
    path.write_text("# a comment\n\n" + path.read_text())
    after, _ = read(tmp_path / "2", kind="python_docs", packages=[package], tolerance=0.5)
    assert [document["id"] for document in after] == [document["id"] for document in before]


def test_dotted_names_do_not_import_their_parents(package: str) -> None:
    assert [name for _, name in python_files(f"{package}.sub", "sample")] == ["deep.py"]
    assert [name for _, name in python_files(f"{package}.sub.deep", "sample")] == ["deep.py"]
    assert package not in sys.modules


@pytest.mark.parametrize("name", ["no_such_package", "sys", "numpy.nothing_here"])
def test_packages_without_sources_are_an_error(name: str) -> None:
    with pytest.raises(DataError, match=f"source sample, field packages: '{name}'"):
        python_files(name, "sample")


def test_worker_processes_give_the_same_documents() -> None:
    """The standard library, by one process and by two, byte for byte; in a program of its own, as workers need one."""
    program = (
        "import sys, pathlib, tempfile, hashlib\n"
        "from tests.corpora.reading import source\n"
        "from lifecycle.corpora.read import read_source\n"
        "if __name__ == '__main__':\n"
        "    for workers in (1, 2):\n"
        "        with tempfile.TemporaryDirectory() as name:\n"
        "            out = pathlib.Path(name) / 'out'\n"
        "            out.mkdir()\n"
        "            entry = source(kind='python_docs', packages=['email', 'json', 'asyncio', 'numpy'])\n"
        "            read_source(entry, out, pathlib.Path(name), workers)\n"
        "            print(hashlib.sha256(b''.join(p.read_bytes() for p in sorted(out.iterdir()))).hexdigest())\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, two = done.stdout.split()
    assert one == two
