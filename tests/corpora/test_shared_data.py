"""Real text in Chinese and English through the readers."""

from pathlib import Path
from typing import Any

import pytest

from lifecycle.corpora.opening import open_bytes
from lifecycle.corpora.paths import expand
from tests.corpora.reading import read
from tests.shared_data import shared

RAW_CONTENT = {"zh/flagdata_ccnet_spam.jsonl", "zh/flagdata_long_docs.jsonl"}
JSON_LINES = [
    "en/c4_demo.jsonl.gz",
    "en/dolma_cc_en_head-0091.jsonl",
    "en/dolma_cc_en_head-0174.jsonl",
    "en/python_peps.jsonl.gz",
    "en/rust_rfcs.jsonl.gz",
    "multi/dj_arxiv_latex.jsonl",
    "multi/dj_dedup.jsonl",
    "multi/dj_demo_dataset_zh_en.jsonl",
    "multi/dj_redpajama_cc.jsonl",
    "multi/dj_stack_exchange.jsonl",
    "zh/d2l_zh.jsonl.gz",
    "zh/flagdata_ccnet_spam.jsonl",
    "zh/flagdata_long_docs.jsonl",
    "zh/flagdata_text_demo_input.jsonl",
    "zh/javaguide.jsonl.gz",
    "zh/laws.jsonl.gz",
    "zh/oi_wiki.jsonl.gz",
    "zh/pingcap_docs_cn.jsonl.gz",
    "zh/react_docs_zh.jsonl.gz",
]
TEXT = [
    "en/gutenberg/*.txt*",
    "en/tinyshakespeare.txt.gz",
    "en/wiki_demo.txt.gz",
    "zh/cluecorpussmall_bert_sampled.txt.gz",
    "zh/cluecorpussmall_sampled.txt.gz",
    "zh/flagdata_html_demo_input.txt",
    "zh/news_commentary_v13_en_zh.txt",
]


@pytest.mark.parametrize("name", JSON_LINES)
def test_json_lines(name: str, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"text_field": "raw_content"} if name in RAW_CONTENT else {}
    path = shared(f"raw/{name}")
    # Four of the 465 pages of oi_wiki are empty.
    documents, account = read(tmp_path, kind="jsonl", path=str(path), tolerance=0.02, language=name[:2], **fields)
    assert documents
    assert set(account.dropped) <= {"empty_text"}


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize("unit", ["file", "paragraph"])
def test_text(name: str, unit: str, tmp_path: Path) -> None:
    shared("raw/en/gutenberg")
    path = shared("raw") / name
    documents, account = read(tmp_path, kind="text", path=str(path), document=unit, language=name[:2])
    assert account.dropped == {}
    text = "".join(document["text"] for document in documents)
    # news_commentary holds U+FFFD itself: somebody before us decoded it badly. The reader must not add any.
    raw = b"".join(open_bytes(file).read() for file, _ in expand(str(path), "test"))
    assert text.count("\ufffd") == raw.count("\ufffd".encode())
    letters = sum(map(str.isalpha, text))
    assert letters > 0.5 * len(text)
