"""What the Dagster pages of instructions and preferences show of their sources."""

from assets.ledger_metadata import sources_metadata
from lifecycle.ledger import LedgerWriter


def test_each_source_has_a_row_with_its_drops_and_changes_and_samples_stand_side_by_side():
    first, second = LedgerWriter("chat"), LedgerWriter("plain")
    first.notes["formats"] = {"sharegpt": 2}
    first.change("identity", "a", "I am ChatGPT.", "I am Lumen.")
    first.keep("I am Lumen.", "I am ChatGPT.", language="en")
    first.drop("refusal", "b", "I cannot | sing.")
    second.keep("A text.", language="zh")
    shown = sources_metadata([first.close(), second.close()], "instructions")
    rows = [record.data for record in shown["sources"].records]
    assert rows[0] == {
        "source": "chat",
        "read": "2",
        "kept": "1",
        "share": "50.0%",
        "dropped": "refusal 1",
        "changed": "identity 1",
        "format": "sharegpt",
        "languages": "en 1",
    }
    assert rows[1]["languages"] == "zh 1"
    assert "| identity | I am ChatGPT. | I am Lumen. |" in shown["samples: changed"].value
    assert "I cannot \\| sing." in shown["samples: dropped"].value


def test_a_stage_that_drops_and_changes_nothing_shows_no_empty_columns():
    ledger = LedgerWriter("plain")
    ledger.keep("A text.")
    (row,) = sources_metadata([ledger.close()], "raw_instructions")["sources"].records
    assert set(row.data) == {"source", "read", "kept", "share"}
