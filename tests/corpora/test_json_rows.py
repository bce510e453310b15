"""A text that compiled code takes out of a line is the one that orjson gives, and what orjson refuses is refused."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle.corpora import json_rows
from lifecycle.corpora.encoded_text import EncodedText
from lifecycle.corpora.json_rows import RowReader
from lifecycle.ledger import SourceLedger
from tests.corpora.reading import read

HAN = "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。" * 8
ESCAPES = [
    r"\n",
    r"\"",
    r"\\",
    r"\/",
    r"\b\f\r\t",
    r"\u00e9",
    r"\u4e2d\u0041\u0000",
    r"\u007f\u0080\u07fF\u0800\uFFff",
    r"\ud7ff\ue000",
    r"\ud83d\ude00",
    r"\ud800",
    r"\u12g4",
    r"\x",
]
PIECES = [*ESCAPES, "\x7f", "é", "中", "𝄞", "\U0010ffff", "\ud7ff", "\ue000"]
ENDS = ["\x00", "\x1f", "\n", '"', "\\", '"}', '","a":1', '","text":"b']
KEYS = st.sampled_from(['"text"', '"text"', r'"te\u0078t"', '"a"', '"context"', r'"a \"text"', '"text.a"', '"é"', "text"])
BLANKS = st.sampled_from(["", "", " ", "\t ", "\r", "\n"])
STRINGS = st.lists(st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=["Cs"])), max_size=6).map("".join)
VALUES = st.recursive(
    STRINGS.map(lambda text: f'"{text}"') | st.sampled_from(["17", "null", "-1e5", "true", "nul"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: f"[{','.join(each)}]")
        | st.tuples(KEYS, inner).map("{{{0[0]}:{0[1]}}}".format)
    ),
    max_leaves=4,
)
MEMBERS = st.lists(st.tuples(BLANKS, KEYS, BLANKS, BLANKS, VALUES).map("{0[0]}{0[1]}{0[2]}:{0[3]}{0[4]}".format), max_size=4)
LINES = MEMBERS.map(lambda members: f"{{{','.join(members)}}}") | VALUES


@pytest.fixture(autouse=True)
def _every_line_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "LONG_LINE", 0)
    monkeypatch.setattr(json_rows, "PLAIN_BYTES", 0)


def _whole(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return str(error)


def _row(line: bytes, field: str = "text") -> Any:
    try:
        row = RowReader(field).row(line)
    except orjson.JSONDecodeError as error:
        return str(error)
    for key, value in row.items() if isinstance(row, dict) else ():
        if isinstance(value, EncodedText):
            assert key == field
            assert len(value) == len(str(value))
            assert value.isspace() == str(value).isspace()
            row[key] = str(value)
    return row


def _takes_out(line: bytes) -> bool:
    return isinstance(RowReader("text").row(line)["text"], EncodedText)


@settings(max_examples=400, deadline=None)
@given(LINES, st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=4)), max_size=2), st.booleans())
@example('{"text":"é","text":"b"}', [], False)
@example('{"a":{"text":"é"},"text":"b"}', [], False)
@example('{"text":"é"', [], False)
def test_a_row_is_what_orjson_makes_of_the_line(line: str, edits: list[tuple[float, int, bytes]], long: bool) -> None:
    """Keys given twice, in objects below, or with escapes; bytes cut out and put in, also in the middle of characters."""
    data = line.replace('"text":"', '"text":"' + HAN).encode() if long else line.encode()
    for where, size, put in edits:
        at = int(where * len(data))
        data = data[:at] + put + data[at + size :]
    assert _row(data) == _whole(data)
    assert _row(data, "text.a") == _whole(data)


@pytest.mark.parametrize("filler", ["x", "é", "中", "𝄞", r"\n"])
def test_every_place_of_what_is_looked_at_at_once(filler: str) -> None:
    """Sixty-four bytes are one block: what ends one, or is cut by its end, may stand anywhere in it."""
    taken = 0
    for before, piece, behind in product(range(70), PIECES + ENDS, (0, 1, 60, 64, 130)):
        line = f'{{"text": "é{filler * before}{piece}{"y" * behind}", "n": 1}}'.encode()
        assert _row(line) == _whole(line), line
        taken += isinstance(_whole(line), dict) and _takes_out(line)
    assert taken > 70 * len(PIECES)


def test_bytes_that_are_no_characters_are_refused() -> None:
    """What follows a lead byte of UTF-8 is bound by it; overlong forms and surrogates are none of it."""
    edges = (0x20, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xF0)
    for lead, second, third, fourth in product(range(0xC0, 0x100), edges, edges[:3:2], edges[1:8:6]):
        for before in (1, 59, 60, 61, 62, 63):
            line = b'{"text":"' + b"a" * before + bytes((lead, second, third, fourth)) + b'bcd"}'
            assert _row(line) == _whole(line), line


def test_ordinary_lines_are_taken_out() -> None:
    """Else everything above would hold for orjson alone."""
    for line in ({"text": HAN}, {"id": 3, "text": HAN + '\n"', "meta": {"a": "b"}}, {"text": "é" * 500 + "\\"}):
        assert _takes_out(json.dumps(line, ensure_ascii=False).encode())
    assert not _takes_out(f'{{"text": "{HAN}", "text": "b"}}'.encode())


def _all_of(directory: Path, path: Path, **fields: Any) -> tuple[list[bytes], SourceLedger]:
    _, account = read(directory, kind="jsonl", path=str(path), tolerance=1.0, **fields)
    return [shard.read_bytes() for shard in sorted((directory / "out").glob("*.parquet"))], account


@pytest.mark.parametrize("fields", [{}, {"id_field": "text", "url_field": "u"}, {"text_field": "a.b"}], ids=str)
def test_shards_and_ledger_do_not_depend_on_how_lines_are_parsed(
    tmp_path: Path, fields: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [HAN, "\u3000\n" * 40, "", 7, [HAN, "b"], {"text": HAN}, HAN + "@", HAN, "é" * 3]
    rows = [{"u": "v", "text": value, "a.b": value, "a": {"b": HAN}} for value in values] + [{"a": {"b": HAN}}, {"c": HAN}]
    lines = [json.dumps(row, ensure_ascii=False).replace("@", r"\ud800") for row in rows]
    lines.insert(2, "\ufeff" + lines[0])
    lines.insert(3, lines[0].replace("天", "\x01"))
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    taken_out = _all_of(tmp_path / "taken_out", tmp_path / "a.jsonl", **fields)
    monkeypatch.setattr(json_rows, "LONG_LINE", 1 << 30)
    assert taken_out == _all_of(tmp_path / "whole", tmp_path / "a.jsonl", **fields)
    assert taken_out[1].kept > 2
    assert taken_out[1].dropped["empty_text"] == 2


def test_compiled_code_is_asked_for_when_there_is_much_text(monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps({"text": HAN}, ensure_ascii=False).encode()
    monkeypatch.setattr(json_rows, "PLAIN_BYTES", 3 * len(line))
    monkeypatch.setattr(RowReader, "plain_bytes", 0)
    assert [_takes_out(line) for _ in range(5)] == [False, False, False, True, True]
