"""Look-alike letters and HTML remnants; Markdown, LaTeX and code of real documents survive all repairs."""

import gzip
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.curation.html_remnants import html_remnants
from lifecycle.curation.look_alikes import look_alikes
from lifecycle.curation.markup import pieces
from lifecycle.curation.normalise import repaired
from lifecycle.recipe.corpora import CurationConfig
from tests.shared_data import shared

ALL = CurationConfig(html_remnants=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("p\u0430yp\u0430l", "paypal"),
        ("\u0421\u041eVID-19", "COVID-19"),
        ("\u0391pple", "Apple"),
        ("пр\u006fдажа", "продажа"),
    ],
)
def test_look_alikes_inside_a_word(before: str, after: str) -> None:
    assert look_alikes(before) == after


@pytest.mark.parametrize(
    "text", ["Δx αβ λx μm", "SQL\u0430", "кВт и Вт", "\u0421\u0421\u0421\u0420 and USSR", "naïve café", "中文ABC"]
)
def test_words_of_one_script_and_formulas_stay(text: str) -> None:
    assert look_alikes(text) == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a &amp;amp; b &lt; c&nbsp;&copy; &#20013;", "a & b < c\u00a0© 中"),
        ("<p>Hello<br/>world</p>\n<div class='x'>中文</div>", "Hello\nworld\n中文"),
        ('<a href="https://a.cn/x">链接</a><img src=x.png alt="a" />后文', "链接后文"),
        ("| a<br>b | c |", "| a b | c |"),
        ("a <!-- secret\n --> b<script>var x = '<p>';</script>", "a  b"),
    ],
)
def test_html_remnants_go(before: str, after: str) -> None:
    assert html_remnants(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "```html\n<p>&amp;</p>\n```\nUse `<div>` and `&lt;`.",
        "The escaped &lt;div&gt; is text.",
        "    <p>indented code</p>\n",
        "Vec<p>, Option<T>, HashMap<a, b>, a<b && c>d, R&D; AT&T",
        "$0<j<i\n$$ and $P_i>\\max$, x<sup>2</sup>, <https://a.org>, <T: Into<U>>",  # an element `<i … >` was seen here
        "<pre><b>&lt;</b></pre>",
    ],
)
def test_what_only_looks_like_html_stays(text: str) -> None:
    assert html_remnants(text) == text


FRAGMENTS = [
    "<p>",
    "</p>",
    "<br>",
    "&lt;",
    "&amp;",
    "&gt;",
    "div",
    "`",
    "\n",
    "```",
    "中文",
    " ",
    "a < b",
    "<a href='x'>",
    "<!--",
    "-->",
]


@given(st.lists(st.sampled_from(FRAGMENTS)).map("".join) | st.text())
def test_html_once_is_enough(text: str) -> None:
    once = html_remnants(text)
    assert html_remnants(once) == once
    assert "".join(piece for _, piece in pieces(text)) == text


@given(st.text(st.sampled_from("abcABCаеорсАВСοΑΒхлπ中1 \n")))
def test_look_alikes_once_is_enough(text: str) -> None:
    once = look_alikes(text)
    assert look_alikes(once) == once
    assert len(once) == len(text)


CODE = re.compile(r"^```[^\n]*\n.*?^```$", re.MULTILINE | re.DOTALL)
MATH = re.compile(r"\$\$?[^$\n]+\$\$?")
KEPT = re.compile(r"^(?:#{1,6} .*|\|.*\|)$", re.MULTILINE)


@pytest.mark.parametrize("path", ["en/rust_rfcs", "zh/d2l_zh", "zh/oi_wiki"])
def test_code_formulas_and_headings_of_real_documents_survive(path: str) -> None:
    with gzip.open(shared(f"raw/{path}.jsonl.gz"), "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file][::4]
    total = lost_in_code = lost_to_html = 0
    for text in texts:
        lines = "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n"))
        plain = repaired(CurationConfig(), text)
        html = repaired(ALL, plain)
        for pattern in (CODE, MATH, KEPT):
            total += len(pattern.findall(lines))
            lost_in_code += sum(piece not in plain for piece in pattern.findall(lines))
            lost_to_html += sum(piece not in html and "<" not in piece for piece in pattern.findall(plain))
    assert total > 1000
    assert lost_in_code <= 0.006 * total  # full-width signs and odd spaces in comments of code
    assert lost_to_html <= 0.001 * total  # headings inside HTML comments
