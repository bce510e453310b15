"""A small corpus of real text in the corpus format: documentation strings of this environment and some Chinese prose."""

import ast
import hashlib
import inspect
import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lifecycle.corpora.documents import DocumentWriter

PACKAGES = ("asyncio", "collections", "concurrent", "email", "http", "importlib", "json", "logging", "unittest", "numpy.lib")
HAN = (
    "语言模型从大量文本中学习词语之间的关系，然后用来生成新的句子。",
    "分词器把文本切成更小的单位，每个单位对应一个编号。",
    "训练之前要先清洗数据，去掉重复的段落和广告。",
    "评测使用从未参加训练的文本，例如2024年的新闻和12月的报告。",
)


def write_corpus(directory: Path) -> Path:
    """Write `train/` and `heldout/` below `directory`; every fifth file is held out."""
    sides = {"train": [], "heldout": []}
    for document in (*_documented(), *_chinese()):
        number = int(hashlib.sha256(document["group"].encode()).hexdigest(), 16)
        sides["heldout" if number % 5 == 0 else "train"].append(document)
    for side, documents in sides.items():
        with DocumentWriter(directory / side) as writer:
            for document in documents:
                writer.add(document)
    return directory


def _chinese() -> Iterator[dict[str, Any]]:
    for number in range(60):
        text = "".join(HAN[(number * step) % len(HAN)] for step in range(1, 5)) + f"这是第{number}篇。"
        yield _row(f"zh:{number}", text, "chinese", "zh", f"zh:{number}", {})


@cache
def _documented() -> tuple[dict[str, Any], ...]:
    rows = []
    seen: set[str] = set()
    for package in PACKAGES:
        spec = find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations
        root = Path(spec.submodule_search_locations[0])
        for path in sorted(root.rglob("*.py")):
            if "test" in path.relative_to(root).as_posix():
                continue
            module = ".".join([package, *path.relative_to(root).with_suffix("").parts]).removesuffix(".__init__")
            for qualname, kind, text in _objects(ast.parse(path.read_text(encoding="utf-8")), "", False):
                if text not in seen and len(text) > 40:
                    seen.add(text)
                    meta = {"module": module, "qualname": qualname, "kind": kind, "signature": None, "deprecated": False}
                    rows.append(_row(f"{module}:{qualname}", text, "docs", "en", f"{package}:{path.name}", meta))
    return tuple(rows)


def _objects(node: Any, qualname: str, in_class: bool) -> Iterator[tuple[str, str, str]]:
    text = ast.get_docstring(node)
    if text:
        plain = "method" if in_class else "function"
        kind = {"Module": "module", "ClassDef": "class"}.get(type(node).__name__, plain)
        yield qualname, kind, inspect.cleandoc(text)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _objects(child, f"{qualname}.{child.name}".lstrip("."), isinstance(node, ast.ClassDef))


def _row(locator: str, text: str, source: str, language: str, group: str, meta: dict[str, Any]) -> dict[str, Any]:
    identifier = hashlib.sha256(f"{source}:{locator}".encode()).hexdigest()[:24]
    return {
        "id": identifier,
        "text": text,
        "source": source,
        "url": None,
        "lang": language,
        "group": group,
        "meta": json.dumps(meta),
    }


def hashes(directory: Path) -> dict[str, str]:
    """SHA-256 of every file below `directory`."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
