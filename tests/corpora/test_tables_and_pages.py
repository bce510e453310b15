"""CSV, JSON and HTML files, fsspec URLs, and Hugging Face datasets."""

import csv
import io
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.corpora.read import records
from lifecycle.corpora.records import Damage, Notes
from lifecycle.corpora.snapshot import snapshot
from lifecycle.errors import DataError
from tests.corpora.fixtures import CHINESE, PARAGRAPH, page, zipped
from tests.corpora.reading import read, source
from tests.shared_data import shared

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0\ufeff"), min_size=1).filter(str.strip)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_what_is_written_as_csv_is_read(rows: list[tuple[str, str]], delimiter: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows([("id", "body"), *rows])
    with TemporaryDirectory() as name:
        (Path(name) / "a.csv").write_bytes(out.getvalue().encode())
        settings = source(kind="csv", path=name, text_field="body", delimiter=delimiter)
        texts = [item["text"] for item in records(settings, Notes(), 1) if not isinstance(item, Damage)]
    assert texts == [text for _, text in rows]


def test_damaged_rows_and_encodings(tmp_path: Path) -> None:
    table = f'编号,正文\n1,{CHINESE}\n2\n3,"{CHINESE}，再来\n一行"\n4, \n'.encode("gb18030")
    (tmp_path / "a.csv").write_bytes(table)
    documents, account = read(
        tmp_path, kind="csv", path=str(tmp_path / "a.csv"), text_field="正文", tolerance=1, language="zh"
    )
    assert [document["text"] for document in documents] == [CHINESE, f"{CHINESE}，再来\n一行"]
    assert account.dropped == {"wrong_field_count": 1, "empty_text": 1}
    assert account.samples["wrong_field_count"][0].id == "a.csv:3"
    assert account.notes["encodings"] == {"gb18030": 1}


def test_an_open_quote_is_loud(tmp_path: Path) -> None:
    """A single quotation mark once swallowed the rest of a table as one cell, and the table was taken for short."""
    (tmp_path / "a.csv").write_text('text,n\nfirst,1\n"second,2\n' + "third,3\n" * 50)
    documents, account = read(tmp_path, kind="csv", path=str(tmp_path / "a.csv"), tolerance=1)
    assert len(documents) == 1
    assert account.dropped == {"invalid_csv": 51}
    with pytest.raises(DataError, match=r"no column 'body'.*'text', 'n'"):
        read(tmp_path / "2", kind="csv", path=str(tmp_path / "a.csv"), text_field="body")


def test_parallel_text_without_a_header(tmp_path: Path) -> None:
    path = shared("raw/zh/news_commentary_v13_en_zh.txt")
    same = {"kind": "csv", "path": str(path), "columns": ("en", "zh"), "delimiter": "\t", "quotes": False}
    english, _ = read(tmp_path / "en", text_field="en", **same)
    chinese, account = read(tmp_path / "zh", text_field="zh", language="zh", **same)
    assert len(english) == len(chinese) == 1000
    assert (english[0]["text"], chinese[0]["text"]) == ("1929 or 1989?", "1929年还是1989年?")
    assert account.dropped == {}


def test_json_records_by_path(tmp_path: Path) -> None:
    value = {
        "data": {
            "rows": [
                {"a": {"b": "deep"}, "u": "http://x/"},
                {"a": [{"b": "one"}, {"b": ["two", "three"]}]},
                {"other": "second name"},
                {"a": {"b": 7}},
                {"a": {"b": " "}},
                {},
                "text",
            ]
        }
    }
    (tmp_path / "a.json").write_bytes(json.dumps(value, ensure_ascii=False).encode("utf-16"))
    documents, account = read(
        tmp_path,
        kind="json",
        path=str(tmp_path / "a.json"),
        records_field="data.rows",
        text_field=("a.b", "other"),
        url_field="u",
        tolerance=1,
    )
    assert [document["text"] for document in documents] == ["deep", "one\ntwo\nthree", "second name"]
    assert documents[0]["url"] == "http://x/"
    assert account.dropped == {"text_not_a_string": 1, "empty_text": 1, "missing_text_field": 1, "not_an_object": 1}
    assert account.samples["text_not_a_string"][0].id == "a.json:4"
    for content, rule in (("{", "invalid_json"), ("[" * 100_000, "invalid_json"), ('"x"', "no_list_of_records")):
        (tmp_path / "b.json").write_text(content)
        with pytest.raises(DataError, match=rf"{rule} at b\.json"):
            read(tmp_path / rule / str(len(content)), kind="json", path=str(tmp_path / "b.json"))


def test_poems_are_lines(tmp_path: Path) -> None:
    names = ("paragraphs", "content")
    path = str(shared("raw/zh/chinese_poetry.tar.gz"))
    documents, account = read(tmp_path, kind="json", path=path, members="*诗经*", text_field=names, language="zh")
    assert documents[0]["text"].splitlines()[0] == "关关雎鸠，在河之洲。窈窕淑女，君子好逑。"
    assert account.read == 305


@pytest.mark.parametrize("tag", ["div", "span", "table><tr><td", "b", "ul><li", "svg", "x-y"])
def test_deep_nesting_ends_soon(tmp_path: Path, tag: str) -> None:
    (tmp_path / "a.html").write_text(f"<html><body>{f'<{tag}>' * 60_000}<p>{PARAGRAPH * 5}")
    (tmp_path / "b.html").write_text(page(PARAGRAPH * 3))
    started = time.process_time()
    documents, _ = read(tmp_path, kind="html", path=str(tmp_path / "*.html"), tolerance=1)
    assert time.process_time() - started < 10
    assert documents[-1]["text"].startswith("The main text")


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_files_behind_a_url(tmp_path: Path, scheme: str) -> None:
    """Remote and local files give the same documents and, read by content, the same digest."""
    base = f"memory://{tmp_path}" if scheme == "memory" else f"file://{tmp_path}/remote"
    (tmp_path / "remote").mkdir()
    (tmp_path / "local").mkdir()
    pack = zipped({"d.txt": b"in the archive", "e.txt": b"second"})
    files = {"a.txt": b"one", "b/c.txt.gz": __import__("gzip").compress(b"two"), "p.zip": pack, ".h": b"hidden"}
    for name, data in files.items():
        for root in (base, f"file://{tmp_path}/local"):
            filesystem, path = fsspec.core.url_to_fs(f"{root}/{name}")
            filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            filesystem.pipe_file(path, data)
    remote, _ = read(tmp_path / "1", kind="text", path=base)
    local, _ = read(tmp_path / "2", kind="text", path=str(tmp_path / "local"))
    assert [(d["id"], d["text"]) for d in remote] == [(d["id"], d["text"]) for d in local]
    assert [d["text"] for d in remote] == ["one", "two", "in the archive", "second"]
    assert snapshot(source(kind="text", path=base)) == snapshot(source(kind="text", path=str(tmp_path / "local")))
    one, _ = read(tmp_path / "3", kind="text", path=f"{base}/*.zip")
    assert len(one) == 2
    with pytest.raises(DataError, match="source sample, field path"):
        snapshot(source(kind="text", path=f"{base}/none/*.txt"))


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(DataError, match=r"field path: 'nosuch://x/a\.txt' cannot be read"):
        snapshot(source(kind="text", path="nosuch://x/a.txt"))


def test_datasets_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    rows = datasets.Dataset.from_dict({"text": ["one", " ", "two"], "n": [1, 2, 3]})
    rows.save_to_disk(str(tmp_path / "plain"))
    datasets.DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(str(tmp_path / "dict"))
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "train.jsonl").write_text('{"text": "one", "n": 1}\n{"text": "two", "n": 2}\n')
    for name, split, expected in (
        ("plain", "train", ["one", "two"]),
        ("dict", "test", ["one"]),
        ("repository", "train", ["one", "two"]),
    ):
        fields = {"kind": "datasets", "path": str(tmp_path / name), "split": split, "id_field": "n"}
        documents, account = read(tmp_path / "out" / name, tolerance=1, **fields)
        assert [document["text"] for document in documents] == expected
        assert account.dropped == ({"empty_text": 1} if name == "plain" else {})
        assert snapshot(source(**fields)).bytes > 0
    with pytest.raises(DataError, match="no split 'dev'; it has"):
        read(tmp_path / "x", kind="datasets", path=str(tmp_path / "dict"), split="dev")
    with pytest.raises(DataError, match="no column 'body'"):
        read(tmp_path / "y", kind="datasets", path=str(tmp_path / "plain"), text_field="body")


def test_a_dataset_of_the_hub_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    fields = {"kind": "datasets", "dataset": "someone/some-dataset", "revision": "0" * 40}
    assert snapshot(source(**fields)).digest != snapshot(source(**fields, split="test")).digest
    with pytest.raises(DataError, match=r"someone/some-dataset cannot be opened.*give its `path`"):
        read(tmp_path, **fields)
    with pytest.raises(ValueError, match="full commit hash"):
        source(kind="datasets", dataset="someone/some-dataset")
