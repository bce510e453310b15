"""Run a reader the way the stage does."""

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lifecycle.corpora.documents import iter_documents
from lifecycle.corpora.read import read_source
from lifecycle.ledger import Ledger, SourceLedger
from lifecycle.recipe.corpora import Source


def source(**fields: Any) -> Source:
    """A source of a recipe, with the fields that every source needs."""
    return TypeAdapter(Source).validate_python({"name": "sample", "licence": "test data", **fields})


def read(directory: Path, **fields: Any) -> tuple[list[dict[str, Any]], SourceLedger]:
    """The documents and the account of a source read into `directory`."""
    out = directory / "out"
    out.mkdir(parents=True)
    facts = read_source(source(**fields), out, directory / "run", workers=1)
    documents = list(iter_documents(out))
    account = Ledger.read(out).sources[0]
    assert facts["rows"] == account.kept == len(documents)
    assert account.characters_kept == sum(len(document["text"]) for document in documents)
    return documents, account
