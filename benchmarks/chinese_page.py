"""`docs/chinese-thresholds.md` and its plots, from the figures of `calibrate_chinese.py` alone."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lifecycle.plots import COLOURS, plot

Record = dict[str, Any]

HEAD = """# Thresholds for Chinese

Measured on {date} with `{command}` on {documents:,} real and {damaged:,} damaged documents; the figures are those of
[`benchmarks/results/chinese-thresholds.json`](../benchmarks/results/chinese-thresholds.json), and a test holds this
page and the defaults of `lifecycle/recipe/rules.py` to them.

The papers count words between blanks. Toolkits split Chinese with jieba for them, which is most of their time; here
each Han character is a word (`lifecycle/curation/words.py`). So the thresholds have to be others. Text: prose (CLUE
news, reviews, questions and encyclopaedia; laws; prospectuses; news commentary), technical documentation (five
Markdown manuals), verse, and unsorted web pages with gambling and adverts among them. Of each source up to 400 documents
are drawn by hash; they are cut after 30,000
characters.
"""

WORDS = """
## Rules that count words

"Same share" is the threshold that drops as many real documents as the paper's does under jieba's words (datatrove's
splitter and repetition code, tokens of punctuation left out), among documents that pass the length rule; where none
breaks the paper's (marked *), it is the paper's times the median ratio of both figures. Where that threshold costs
more than {prose:.0%} of the prose or {technical:.0%} of the technical documents, ours is the strictest that does not;
a recipe that wants the paper's severity takes the column "same share". Agreement is that of ours with the paper's
rule under jieba's words; "best" is what the best of all thresholds reaches; "as the paper" what the paper's number
does as it is. datatrove as it ships counts tokens of punctuation in its repetition rules: "shipped" is what it keeps,
and how often ours agrees with it. Not calibrated: `gopher_short_words`, because at three letters a word the paper's
rule drops every Chinese text, under jieba's words as well; it stays off (1).
"""

BOTH = """
## Text that exists in both languages

A second way to the same numbers, without jieba: English at the paper's thresholds, and the same text in Chinese.

{repetition}

C4's five sentences are {sentences[ours]} in Chinese, on {sentences[documents]:,} windows of one to twelve sentences
of the parallel news: agreement {sentences[agreement]:.1%}, {sentences[ratio]:.2f} Chinese sentences to an English
one. FineWeb's short line of 30 characters is one of {short_lines[best]} on {short_lines[headings]:,} headings
({short_lines[agreement]:.1%}); the kernel's 10 agrees on {short_lines[agreement_of_10]:.1%}. A Chinese character
stands for {short_lines[english_per_chinese_character]} English ones.
"""

CHINESE = """
## Rules of Chinese text

The thresholds of the cleaning scripts that came before (seed) were held against the damage that each rule is for. One
stays where it costs at most {prose:.0%} of the prose and {technical:.0%} of the technical documents and catches what
can be caught at that price; else the nearest that does takes its place. Where nothing is caught at that price (marked
†) the seed's stays, and its cost is shown. Half of the CLUE documents are one line without a mark at its end:
`min_sentence_line_share` drops these at any value above 0.
"""

LIMITS = """
## How far to trust this

- The thresholds are chosen and measured on the same documents; nothing was held out. Damage is made by us, one kind
  at a time.
- The procedure was settled on these data, not before. Tried first and given up after seeing the results: the
  threshold of best agreement (for repetition the agreement is nearly flat, and the maximum lost up to 39 % of the
  prose); datatrove's repetition with tokens of punctuation as the reference (the column "shipped" says what it keeps);
  all kinds of damage as the aim of every rule of Chinese text (rules drifted to what others catch better); and a
  tighter budget, {tight[prose]:.1%} of prose and {tight[technical]:.0%} of technical documents, under which the rule
  against tables caught none. What that budget would give:

{sensitivity}

- `min_mean_segment_length` at its new value catches {caught:.0%} of tables instead of {caught_before:.0%}: cells of
  tables and short Markdown lines look the same to it. Tables without a sentence are still dropped by
  `min_sentence_line_share`.
- Sources weigh by their number of documents, so laws decide much of what "prose" says about repetition.
"""

EFFECTS = """
## What every rule drops

Each rule by itself at the threshold above (or the paper's, where words play no part): share of good documents lost,
and of damaged ones caught. Kinds of damage of which it catches under 2 % are left out.
"""

SETS = """
## What every set drops

Any rule of the set broken. The sets are for different text: a source names its own with `quality_sets`.

![shares dropped by set](chinese-thresholds-sets.png)
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def words_table(record: Record) -> str:
    """Rule, the paper's threshold, ours, agreement, kept shares, and where the disagreements are."""
    names = (
        "rule",
        "paper",
        "same share",
        "ours",
        "prose lost (same)",
        "technical lost (same)",
        "agreement",
        "as the paper",
    )
    return table(
        (*names, "best", "kept", "jieba keeps", "shipped keeps (agrees)", "only jieba drops", "only we drop"),
        (
            (
                f"`{row['rule']}`",
                f"{row['paper']:g}",
                f"{row['same_share']:g}{'*' if row['method'] == 'ratio' else ''}",
                f"**{row['ours']:g}**",
                *(f"{row['cost'][kind]:.1%} ({row['cost_of_same'][kind]:.1%})" for kind in row["cost"]),
                *(f"{row[key]:.1%}" for key in ("agreement", "agreement_of_paper", "best_agreement", "kept", "peer_kept")),
                f"{row['shipped_kept']:.1%} ({row['shipped_agreement']:.1%})",
                *(_counts(row[key]) for key in ("only_peer_drops", "only_we_drop")),
            )
            for row in record["words"]
        ),
    )


def repetition_table(record: Record) -> str:
    """The parallel book beside the calibration with jieba."""
    jieba = {row["rule"]: row["same_share"] for row in record["words"]}
    return table(
        ("rule", "English dropped", "same share by the book", "agreement", "by jieba"),
        (
            (
                f"`{row['rule']}`",
                f"{row['english_dropped']:.1%}",
                f"{row['ours']:g}",
                f"{row['agreement']:.1%}",
                f"{jieba[row['rule']]:g}",
            )
            for row in record["repetition_in_both"]
        ),
    ).rstrip()


def chinese_table(record: Record) -> str:
    """Seed and calibrated thresholds with what they catch and cost."""
    return table(
        (
            "threshold",
            "seed",
            "ours",
            "against",
            "caught",
            "prose lost",
            "technical lost",
            "seed: caught",
            "prose",
            "technical",
        ),
        (
            (
                f"`{row['threshold']}`",
                f"{row['seed']:g}",
                f"{row['ours']:g}{'' if row['within_budget'] else '†'}",
                row["damage"].replace("_", " "),
                *(f"{share:.1%}" for share in (row["caught"], *row["cost"].values())),
                *(f"{share:.1%}" for share in (row["caught_by_seed"], *row["cost_of_seed"].values())),
            )
            for row in record["chinese"]
        ),
    )


def sensitivity_table(record: Record) -> str:
    """The thresholds that another budget would change."""
    rows = [*record["words"], *record["chinese"]]
    changed = [
        row
        for row in rows
        if row["tight"] != row["ours"] and not (row["tight"] is None and row.get("within_budget") is False)
    ]
    cells = (
        (f"`{row['rule']}`", f"{row['ours']:g}", "none" if row["tight"] is None else f"{row['tight']:g}") for row in changed
    )
    return table(("rule", "ours", "under the tighter budget"), cells).rstrip()


def effects_table(record: Record) -> str:
    """Rule × cost by kind of good text, and the damage that it catches."""
    kinds = list(record["effects"][0]["cost"])
    return table(
        ("rule", "at", *kinds, "catches"),
        (
            (f"`{row['rule']}`", f"{row['value']:g}", *(f"{row['cost'][kind]:.1%}" for kind in kinds), _caught(row["catch"]))
            for row in record["effects"]
        ),
    )


def tables(record: Record) -> tuple[str, ...]:
    """Every table of the page, in order."""
    return (
        words_table(record),
        repetition_table(record),
        chinese_table(record),
        effects_table(record),
        sensitivity_table(record),
    )


def page(record: Record) -> str:
    """The whole page."""
    words, repetition, chinese, effects, sensitivity = tables(record)
    real = sum(count for name, count in record["documents"].items() if name in record["kinds"])
    head = HEAD.format(**record | {"documents": real, "damaged": sum(record["documents"].values()) - real})
    both = BOTH.format(repetition=repetition, **{key: record[key] for key in ("sentences", "short_lines")})
    tables_rule = next(row for row in record["chinese"] if row["threshold"] == "min_mean_segment_length")
    caught = {"caught": tables_rule["caught"], "caught_before": tables_rule["caught_by_seed"]}
    limits = LIMITS.format(tight=record["tight"], sensitivity=sensitivity, **caught)
    parts = (
        head,
        WORDS.format(**record["budget"]),
        "\n",
        words,
        both,
        CHINESE.format(**record["budget"]),
        "\n",
        chinese,
        EFFECTS,
        "\n",
        effects,
        SETS,
        limits,
    )
    return "".join(parts)


def write_page(record: Record, path: Path) -> None:
    """Write the page, and its plot beside it."""
    path.write_text(page(record), encoding="utf-8")
    groups = list(record["documents"])
    names = [entry["set"] for entry in record["sets"]]
    scratch = path.parent
    with plot(scratch, "chinese-thresholds-sets", "Share of documents dropped", size=(7.5, 5.2)) as axes:
        shares = [[entry["dropped"][group] for entry in record["sets"]] for group in groups]
        axes.grid(visible=False)
        axes.imshow(shares, aspect="auto", cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
        axes.set_yticks(range(len(groups)), [f"{group} ({record['kinds'].get(group, 'damaged')})" for group in groups])
        for row, values in enumerate(shares):
            for column, value in enumerate(values):
                colour = "white" if value > 0.6 else COLOURS[5]
                axes.text(column, row, f"{value:.0%}", ha="center", va="center", fontsize=8, color=colour)
    (scratch / "plots" / "chinese-thresholds-sets.png").replace(scratch / "chinese-thresholds-sets.png")
    (scratch / "plots").rmdir()


def _counts(some: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in some.items())


def _caught(catch: dict[str, float]) -> str:
    shown = sorted(((share, name) for name, share in catch.items() if share >= 0.02), reverse=True)
    return ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for share, name in shown)
