"""Files of one web page each."""

from lifecycle.corpora.decoded import whole_parts
from lifecycle.corpora.pages import main_text
from lifecycle.corpora.paths import Files
from lifecycle.corpora.records import Damage, Notes, Records, make_document
from lifecycle.recipe.corpora import HtmlSource


def read(source: HtmlSource, notes: Notes, files: Files | None = None) -> Records:
    """One document a file or archive member: the page's main text. Damage: that of `whole_parts` and of `main_text`."""
    for item in whole_parts(source, notes, files):
        if isinstance(item, Damage):
            yield item
            continue
        name, data = item
        page = main_text(data, source.language)
        if page.encoding:
            notes.encodings[page.encoding] += 1
        if page.rule:
            yield Damage(page.rule, name, page.text, page.expected)
        else:
            yield make_document(source.name, source.language, name, page.text, meta={"file": name})
