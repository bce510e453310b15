"""The ledger of the whole way: its tables balance, and its page shows what happened without trusting the texts."""

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lifecycle.curation.account import Way, ways
from lifecycle.curation.clean import clean_source
from lifecycle.curation.cluster_samples import read_clusters
from lifecycle.curation.corpus import build_corpus
from lifecycle.curation.ledger_page import write_ledger
from lifecycle.curation.ledger_tables import DESCRIPTIONS, limits
from lifecycle.curation.quality import RULES
from lifecycle.ledger import SAMPLES_PER_RULE
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig, TextSource
from lifecycle.recipe.curation import PiiConfig
from lifecycle.recipe.recipe import Recipe, load_recipe
from tests.curation.cleaning import write_documents
from tests.graph_home import RECIPE

ATTACK = '<script>alert("ours")</script>'
CHINESE = "图书馆里收藏了大量珍贵的古籍，其中不少来自明代和清代，研究人员每天都在整理这些书。"
QUESTION = "which of these fourteen words in a row stands in the evaluation file and in a document"


def english(seed: int, size: int) -> str:
    """Words of letters only, drawn by chance."""
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randrange(3, 9))) for _ in range(size))


def han(seed: int, size: int) -> str:
    """Han characters drawn by chance."""
    return "".join(chr(code) for code in random.Random(seed).choices(range(0x4E00, 0x8000), k=size))


def recipe(evaluation: Path) -> Recipe:
    sources = tuple(
        TextSource(kind="text", name=name, path="x", language=language, licence=f"licence of {name} & others")
        for name, language in (("english", "en"), ("chinese", "zh"))
    )
    curation = CurationConfig(
        heldout=HeldoutConfig(share=0.3),
        decontaminate=(str(evaluation),),
        pii=PiiConfig(),
        min_language_score=1.0,  # the texts are words drawn by chance: their source says what language they are in
        workers=1,
    )
    return load_recipe(RECIPE).model_copy(update={"name": "shown", "sources": sources, "curation": curation})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, dict[str, Way], Path]:
    """Two sources, read, cleaned and joined by the real stages."""
    root = tmp_path_factory.mktemp("ledger")
    evaluation = root / "evaluation.jsonl"
    evaluation.write_text(json.dumps({"question": QUESTION.title()}) + "\n", encoding="utf-8")
    config = recipe(evaluation)
    base = [english(seed, 80) for seed in range(24)]
    texts = {
        "english": [*base, base[0], base[1] + " tail", "short", ATTACK, f"{base[2]}\u200b mark",
                    f"{english(90, 60)} {QUESTION} {english(91, 60)}", f"{english(92, 50)} write to jo@uni.edu"],
        "chinese": [f"第{number}篇。{CHINESE}{han(200 + number, 120)}。" for number in range(12)],
    }  # fmt: skip
    raw = {
        name: write_documents(root / "raw" / name, each, source=name, language=name[:2].replace("ch", "zh"))
        for name, each in texts.items()
    }
    cleaned = {}
    for name, directory in raw.items():
        cleaned[name] = root / "cleaned" / name
        clean_source(directory, name, config.curation.of(config.source(name)), cleaned[name], root / "run")
    corpus = root / "corpus"
    corpus.mkdir()
    build_corpus(cleaned, config.curation, corpus, root / "run")
    return config, ways(raw, cleaned, corpus), corpus


@pytest.fixture(scope="module")
def page(made: tuple[Recipe, dict[str, Way], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ledger(*made, tmp_path_factory.mktemp("page") / "out")


def test_the_tables_balance_for_every_source_and_stage(page: Path) -> None:
    """Anybody who adds the rows up must come to what was read, in documents and in characters."""
    rows = pq.read_table(page.parent / "ledger.parquet").to_pylist()
    for source in ("english", "chinese"):
        kept = None
        for stage in ("raw_corpora", "cleaned_corpora", "corpus"):
            of = [row for row in rows if (row["stage"], row["source"]) == (stage, source)]
            sums = {
                action: [sum(row[unit] for row in of if row["action"] == action) for unit in ("documents", "characters")]
                for action in ("read", "changed", "dropped", "kept", "held out")
            }
            assert sums["read"][0] == sums["kept"][0] + sums["dropped"][0]
            assert sums["read"][1] == sums["kept"][1] + sums["dropped"][1] + sums["changed"][1]
            assert kept in (None, sums["read"])
            kept = sums["kept"]
            assert all(row["share"] == pytest.approx(row["documents"] / sums["read"][0]) for row in of)
        assert 0 < sums["held out"][0] < kept[0]
    dropped = {row["rule"]: row["documents"] for row in rows if row["source"] == "english" and row["action"] == "dropped"}
    assert dropped["exact_duplicate"] == 1
    assert dropped["near_duplicate"] >= 1
    assert dropped["contaminated"] == 1


def test_samples_name_documents_and_show_changes(page: Path) -> None:
    samples = pq.read_table(page.parent / "ledger_samples.parquet").to_pylist()
    assert {sample["action"] for sample in samples} == {"dropped", "changed", "held out"}
    mail = [sample for sample in samples if sample["rule"] == "pii_email"]
    assert "jo@uni.edu" in mail[0]["before"]
    assert "<EMAIL>" in mail[0]["after"]
    groups = {(sample["stage"], sample["source"], sample["rule"]) for sample in samples}
    assert len(samples) <= SAMPLES_PER_RULE * len(groups)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "br", "img", "wbr", "line", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_beside_it(page: Path) -> None:
    """A stranger's page in a sample must be shown as text, never run, and nothing may be fetched."""
    html = page.read_text(encoding="utf-8")
    tags = _Tags()
    tags.feed(html)
    assert tags.open == []
    assert "script" not in tags.seen
    assert "&lt;script&gt;alert" in html
    assert all(address.startswith("#") for address in tags.addresses)
    assert not re.search(r"url\(|@import", html)
    assert "prefers-color-scheme: dark" in html
    assert "licence of chinese &amp; others" in html
    assert re.search(r"<ins>[^<]*EMAIL", html)
    assert "<del>⟨U+200B⟩</del>" in html
    assert CHINESE[:12] in html


def test_the_page_shows_both_texts_of_a_contaminated_document(page: Path) -> None:
    """Case differs between the document and the item; both stand there with the passage marked."""
    marked = re.findall(r"<mark>(.*?)</mark>", page.read_text(encoding="utf-8"), re.DOTALL)
    assert QUESTION in marked
    assert QUESTION.title() in marked


def test_the_same_page_every_time(made: tuple[Recipe, dict[str, Way], Path], page: Path, tmp_path: Path) -> None:
    again = write_ledger(*made, tmp_path / "again")
    for path in (page, page.parent / "ledger.parquet", page.parent / "ledger_samples.parquet"):
        assert (again.parent / path.name).read_bytes() == path.read_bytes()
    assert write_ledger(*made, tmp_path / "again") == again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again"]


def test_clusters_show_the_copy_that_is_least_alike(made: tuple[Recipe, dict[str, Way], Path]) -> None:
    clusters = read_clusters(made[2])
    assert clusters
    for cluster in clusters:
        assert cluster.exact + cluster.near == sum(cluster.by_source.values()) >= 1
        assert cluster.kept.id != cluster.least_alike.id
        assert 0 < cluster.similarity <= 1


def test_every_quality_rule_says_when_it_drops() -> None:
    every = CurationConfig(quality_sets=("light", "gopher_quality", "gopher_repetition", "c4_quality", "fineweb_quality",
                                         "chinese_quality"))  # fmt: skip
    words = limits(every)
    assert set(words) == {rule.name for rule in RULES}
    assert words["too_short"] == "below 50"
    assert words["too_long"] == "above 1,000,000"
    assert words["gopher_repeated_5gram"] == "above 0.15, in Chinese 0.44"
    assert words["chinese_han"] == "below 0.15 in Chinese"
    assert all(DESCRIPTIONS.values())
