"""Preferences from files, in any format of `lifecycle.preferences.formats`."""

from lifecycle.instructions.records import read_rows
from lifecycle.ledger import LedgerWriter, SourceLedger
from lifecycle.preferences.formats import FORMATS, Label
from lifecycle.preferences.table import Labelled, Pair, pair_id
from lifecycle.recipe.preference_files import PreferenceFiles


def file_preferences(config: PreferenceFiles) -> tuple[list[Pair], list[Labelled], SourceLedger]:
    """The pairs and the labelled answers of one file source, in file and record order; the ledger's unit is the record.

    Records that do not fit are counted by their reason, ties under `tie`, pairs whose two answers are equal under
    `equal_answers`; the last two are not held against the tolerance.

    Raises:
        DataError: the path matches nothing, there is no record, or more records do not fit than the tolerance allows;
            the message names the first of them by file and line.
    """
    ledger = LedgerWriter(config.name)
    pairs: list[Pair] = []
    labels: list[Labelled] = []
    for place, found in read_rows(config, FORMATS, "preferences", ledger):
        common = {"id": pair_id(config.name, place), "prompt": found.prompt, "source": config.name, "task": config.task}
        if isinstance(found, Label):
            labels.append(Labelled(**common, answer=found.answer, wanted=found.wanted))
            ledger.keep(labels[-1].text())
            continue
        pair = Pair(**common, chosen=found.chosen, rejected=found.rejected)
        if pair.chosen.strip() == pair.rejected.strip():
            ledger.drop("equal_answers", place, pair.text())
            continue
        pairs.append(pair)
        ledger.keep(pair.text())
    return pairs, labels, ledger.close()
