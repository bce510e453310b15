"""Pictures that are written as text: well-formed whatever the labels, and as long as the counts say."""

from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.charts import length_chart
from lifecycle.plots import pictures_of
from lifecycle.svg import BARS, write_bars, write_lines, write_shares

SVG = "{http://www.w3.org/2000/svg}"
NAMES = st.text("aB9_ß中🎉<&>\"' ", max_size=20)


def drawn(run_dir: Path) -> ElementTree.Element:
    (path,) = pictures_of(run_dir)
    return ElementTree.parse(path).getroot()


def texts(root: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(NAMES, st.integers(0, 10**12)), max_size=8), NAMES)
def test_bars_are_as_long_as_their_counts_and_say_their_labels(bars: list[tuple[str, int]], title: str) -> None:
    with TemporaryDirectory() as directory:
        write_bars(Path(directory), "bars", title, [(label, count, f"{count:,}") for label, count in bars], "documents")
        root = drawn(Path(directory))
    most = max((count for _, count in bars), default=0)
    widths = [float(each.get("width") or 0) for each in root.findall(f"{SVG}rect")[1:]]
    assert widths == pytest.approx([BARS * count / most for _, count in bars if count], abs=0.06)
    assert set(texts(root)) == {title, "documents", *(label for label, _ in bars), *(f"{count:,}" for _, count in bars)}
    right = float(root.get("width") or 0)
    assert all(float(each.get("x") or 0) < right for each in root.iter(f"{SVG}text"))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**9), min_size=3, max_size=3), min_size=1, max_size=6))
def test_shares_of_a_row_make_up_its_bar(rows: list[list[int]]) -> None:
    parts = [("kept", "#000001"), ("held out", "#000002"), ("dropped", "#000003")]
    with TemporaryDirectory() as directory:
        write_shares(Path(directory), "shares", "title", [("row", counts) for counts in rows], parts, "%")
        root = drawn(Path(directory))
    by_row: dict[str, float] = {}
    for bar in (each for each in root.findall(f"{SVG}rect") if each.get("height") not in ("11", "100%")):
        by_row[bar.get("y") or ""] = by_row.get(bar.get("y") or "", 0.0) + float(bar.get("width") or 0)
    assert list(by_row.values()) == pytest.approx([BARS for counts in rows if sum(counts)], abs=0.2)


def test_lines_keep_their_colours_and_names(tmp_path: Path) -> None:
    chart = length_chart({"read": {64: 10, 128: 20}, "kept": {128: 20}, "nothing": {}})
    write_lines(tmp_path, "lengths", "Documents & <lengths>", chart, ("#000001", "#000002", "#000003"), "characters")
    root = drawn(tmp_path)
    paths = {each.get("stroke"): each.get("d") for each in root.iter(f"{SVG}path") if each.get("stroke-width")}
    assert paths == dict(zip(("#000001", "#000002", "#000003"), (path for _, path in chart.lines), strict=True))
    assert {"read", "kept", "nothing", "Documents & <lengths>"} <= set(texts(root))
