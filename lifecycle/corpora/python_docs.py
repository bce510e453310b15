"""Documentation strings of installed packages, parsed from their source files; nothing is imported."""

import ast
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lifecycle.corpora.documents import Document
from lifecycle.corpora.packages import module_name, python_files
from lifecycle.corpora.records import Damage, Records, make_document
from lifecycle.parallel import chunks, ordered_map
from lifecycle.recipe.corpora import PythonDocsSource

FILES_PER_TASK = 40
DEPRECATED = re.compile(r"\bdeprecated\b", re.IGNORECASE)
DEPRECATION_LINES = 6
Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def read(source: PythonDocsSource, workers: int) -> Records:
    """One document for every module, class, function and method with a documentation string, in order of the files.

    A file that Python cannot parse is damage under `unparsable_file`. The group of a document is its file, so that a
    module stays on one side of the held-out split.
    """
    files = [(package, path, name) for package in source.packages for path, name in python_files(package, source.name)]
    for records in ordered_map(partial(_read_files, source), chunks(files, FILES_PER_TASK), workers):
        yield from records


def _read_files(source: PythonDocsSource, files: list[tuple[str, Path, str]]) -> list[Document | Damage]:
    return [record for package, path, name in files for record in _read_file(source, package, path, name)]


def _read_file(source: PythonDocsSource, package: str, path: Path, name: str) -> Records:
    locator = f"{package}/{name}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(path.read_bytes(), filename=locator)
    except OSError as error:
        yield Damage("unreadable_file", locator, str(error.strerror))
        return
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        yield Damage("unparsable_file", locator, str(error))
        return
    module = module_name(package, name)
    met: Counter[str] = Counter()
    for qualname, kind, node in _definitions(tree, "", inside_class=False):
        text = ast.get_docstring(node, clean=True)
        if not text:
            continue
        met[qualname] += 1  # overloads, properties and their setters, definitions under if and else
        yield make_document(
            source.name,
            source.language,
            f"{locator}:{qualname}#{met[qualname]}",
            text,
            group=f"{package}:{name}",
            meta={
                "module": module,
                "qualname": qualname,
                "kind": kind,
                "signature": _signature(node),
                "deprecated": _is_deprecated(node, text),
            },
        )


def _definitions(node: Definition, qualname: str, inside_class: bool) -> Iterator[tuple[str, str, Definition]]:
    """Every documented kind of node below `node`, itself first: dotted name, kind, node."""
    if isinstance(node, ast.Module):
        kind = "module"
    elif isinstance(node, ast.ClassDef):
        kind = "class"
    else:
        kind = "method" if inside_class else "function"
    yield qualname, kind, node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    for child in _children(node.body):
        name = f"{qualname}.{child.name}" if qualname else child.name
        yield from _definitions(child, name, isinstance(node, ast.ClassDef))


def _children(body: list[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Definitions of a body, also those under `if`, `try` and `with`."""
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _children(statement.body)
        if isinstance(statement, ast.If | ast.Try):
            yield from _children(statement.orelse)
        if isinstance(statement, ast.Try):
            yield from _children([each for handler in statement.handlers for each in handler.body])
            yield from _children(statement.finalbody)


def _signature(node: Definition) -> str | None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"({ast.unparse(node.args)}){returns}"
    return None


def _is_deprecated(node: Definition, text: str) -> bool:
    if not isinstance(node, ast.Module) and any(DEPRECATED.search(ast.unparse(item)) for item in node.decorator_list):
        return True
    return bool(DEPRECATED.search("\n".join(text.splitlines()[:DEPRECATION_LINES])))
