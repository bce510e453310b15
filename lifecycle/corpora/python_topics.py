"""The language reference topics that ship with Python."""

from lifecycle.corpora.records import Records, make_document
from lifecycle.recipe.corpora import PythonTopicsSource


def read(source: PythonTopicsSource) -> Records:
    """One document a topic, in alphabetical order."""
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield make_document(source.name, source.language, name, topics[name].strip(), meta={"topic": name})
