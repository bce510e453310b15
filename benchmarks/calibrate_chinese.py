"""Thresholds of the quality rules for Chinese, measured: the papers' under jieba's words against ours under characters.

    python benchmarks/calibrate_chinese.py --input DIRECTORY [--peer-env DIRECTORY]

`--input` is the folder that holds raw/ (as LIFECYCLE_DATA of deploy/recipes/bilingual-sample.yaml). Writes
`benchmarks/results/chinese-thresholds.json` and, from it alone, `docs/chinese-thresholds.md` with its plots.

- A rule that counts words gets the threshold under which it drops the same share of real documents as the paper's does under
  jieba's words (of those that pass the length rule), or the strictest that stays within a budget of good text.
- A rule of Chinese text keeps its seed's threshold, where that costs no more good text than the budget and catches what can
  be caught of the damage that it is for; else it gets the nearest threshold that does.
- C4's sentences, FineWeb's short lines and Gopher's repetition are also compared on text that exists in both languages.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import chinese_text as real  # noqa: E402
from chinese_cuts import affordable, best_agreement, same_share, within_budget  # noqa: E402
from chinese_page import write_page  # noqa: E402

from benchmarks.curation import PEER_PACKAGES  # noqa: E402
from benchmarks.peer import peer_python  # noqa: E402
from lifecycle.curation.quality import RULES, Rule  # noqa: E402
from lifecycle.curation.statistics import statistics  # noqa: E402
from lifecycle.recipe.corpora import CurationConfig  # noqa: E402

RESULT, PAGE = ROOT / "benchmarks" / "results" / "chinese-thresholds.json", ROOT / "docs" / "chinese-thresholds.md"
BUDGET = {real.PROSE: 0.01, real.TECHNICAL: 0.05}
"""Share of good documents that one rule, other than that of length, may cost."""
TIGHT = {real.PROSE: 0.005, real.TECHNICAL: 0.01}
"""Another budget, to show how much the choice of one decides."""
ASKED_WORDS = 50
"""Repetition and ratios of shorter documents say nothing: the length rule drops these first."""
MEANINGLESS = "gopher_short_words"
"""At the paper's three letters every Chinese document goes, whatever the words."""
C4_SENTENCES = 5
SEED = {
    "min_han_share": (0.6, "gb18030_as_latin1"),
    "min_common_share": (0.2, "utf8_as_gb18030"),
    "min_sentences": (1, "menu"),
    "min_sentence_line_share": (0.1, "menu"),
    "min_mean_sentence_length": (5, "menu"),
    "max_mean_sentence_length": (500, "no_punctuation"),
    "max_contents_lines": (10, "contents"),
    "max_contents_line_share": (0.25, "contents"),
    "min_mean_segment_length": (10, "table"),
    "max_script_switch_rate": (0.15, "letters_between"),
}
"""Thresholds of the cleaning scripts that this project succeeds, and the damage that each is for."""


@dataclass(frozen=True)
class Sample:
    """All documents, with the figures of both sides; vectors of shape (documents,)."""

    group: NDArray[np.str_]
    """Source, or kind of damage."""
    kind: NDArray[np.str_]
    """Of real text; `damaged` else."""
    counts: dict[str, NDArray[np.int64]]
    peer: dict[str, NDArray[np.float64]]

    def figures(self, rule: Rule) -> NDArray[np.float64]:
        return rule.figures(self.counts, np.full(len(self.group), "zh"))


def load(data: Path, peer_env: Path, scratch: Path) -> Sample:
    """Read the text, damage some of it, and count under both rules of what a word is."""
    text = real.real_text(data)
    groups = text | real.damaged_text(text)
    texts = [each for some in groups.values() for each in some]
    given, result = scratch / "texts.jsonl", scratch / "figures.json"
    given.write_text("".join(json.dumps({"text": each}) + "\n" for each in texts), encoding="utf-8")
    script = Path(__file__).with_name("calibrate_chinese_peer.py")
    subprocess.run([str(peer_python(peer_env, PEER_PACKAGES)), str(script), str(given), str(result)], check=True)
    peer = {name: np.array(values, float) for name, values in json.loads(result.read_text(encoding="utf-8")).items()}
    names = [name for name, some in groups.items() for _ in some]
    kinds = [real.KINDS.get(name, "damaged") for name in names]
    return Sample(np.array(names), np.array(kinds), statistics(texts, ["zh"] * len(texts)), peer)


def papers(rule: Rule) -> float:
    """The paper's threshold: that for English."""
    return float(getattr(getattr(CurationConfig(), rule.set).en, rule.threshold))


def default(rule: Rule) -> float:
    """The recipe's threshold for Chinese as it is now."""
    return float(getattr(getattr(CurationConfig(), rule.set).zh, rule.threshold))


def words_rules(sample: Sample) -> Iterator[dict[str, Any]]:
    """One record for each rule whose figure depends on what a word is."""
    natural = sample.kind != "damaged"
    long_enough = natural & (sample.peer["words"] >= ASKED_WORDS)
    for rule in RULES:
        if rule.set == "light" or rule.measure not in sample.peer or rule.name == MEANINGLESS:
            continue
        asked = natural if rule.measure == "words" else long_enough
        theirs, ours, paper = sample.peer[rule.measure][asked], sample.figures(rule)[asked], papers(rule)
        dropped = rule.broken(theirs, paper)
        ratio = float(np.median(ours[theirs > 0] / theirs[theirs > 0]))
        # Some rules are broken by no real document: then words are as many times more as they are elsewhere.
        same = same_share(ours, dropped, rule.drops_below) if dropped.any() else float(f"{paper * ratio:.2g}")
        good = {kind: ours[sample.kind[asked] == kind] for kind in BUDGET}
        chosen = same if rule.measure == "words" else affordable(same, good, BUDGET, rule.drops_below)
        shipped = rule.broken(sample.peer.get(f"shipped_{rule.measure}", sample.peer[rule.measure])[asked], paper)
        mine, literal = rule.broken(ours, chosen), rule.broken(ours, paper)
        share = float(dropped.mean())
        yield {
            "set": rule.set,
            "rule": rule.name,
            "threshold": rule.threshold,
            "paper": paper,
            "same_share": same,
            "ours": chosen,
            "tight": same if rule.measure == "words" else affordable(same, good, TIGHT, rule.drops_below),
            "cost_of_same": {kind: _share(rule.broken(some, same)) for kind, some in good.items()},
            "cost": {kind: _share(mine[sample.kind[asked] == kind]) for kind in BUDGET},
            "method": "share" if dropped.any() else "ratio",
            "ratio": round(ratio, 3),
            "documents": int(asked.sum()),
            "agreement": round(float((mine == dropped).mean()), 4),
            "best_agreement": round(best_agreement(ours, dropped, rule.drops_below), 4),
            "agreement_of_paper": round(float((literal == dropped).mean()), 4),
            "kept": round(1 - float(mine.mean()), 4),
            "peer_kept": round(1 - share, 4),
            "shipped_kept": round(1 - float(shipped.mean()), 4),
            "shipped_agreement": round(float((mine == shipped).mean()), 4),
            "only_peer_drops": dict(Counter(sample.group[asked][dropped & ~mine].tolist()).most_common(3)),
            "only_we_drop": dict(Counter(sample.group[asked][mine & ~dropped].tolist()).most_common(3)),
        }


def chinese_rules(sample: Sample) -> Iterator[dict[str, Any]]:
    """One record for each rule of the set `chinese_quality`."""
    for rule in RULES:
        if rule.set != "chinese_quality":
            continue
        seed, damage = SEED[rule.threshold]
        figures = sample.figures(rule)
        good = {kind: figures[sample.kind == kind] for kind in BUDGET}
        found = within_budget(seed, figures[sample.group == damage], good, BUDGET, rule.drops_below)
        tight = within_budget(seed, figures[sample.group == damage], good, TIGHT, rule.drops_below)
        yield {
            "set": rule.set,
            "rule": rule.name,
            "threshold": rule.threshold,
            "seed": seed,
            "tight": tight,
            "ours": seed if found is None else found,
            "within_budget": found is not None,
            "damage": damage,
            "caught": _share(rule.broken(figures[sample.group == damage], seed if found is None else found)),
            "cost": {kind: _share(rule.broken(some, seed if found is None else found)) for kind, some in good.items()},
            "cost_of_seed": {kind: _share(rule.broken(some, seed)) for kind, some in good.items()},
            "caught_by_seed": _share(rule.broken(figures[sample.group == damage], seed)),
        }


def effects(sample: Sample, chosen: dict[str, float]) -> Iterator[dict[str, Any]]:
    """What each rule by itself drops of every kind of good and of damaged text, at its threshold for Chinese."""
    for rule in RULES:
        if rule.set == "light":
            continue
        value = chosen.get(rule.name, default(rule))
        broken = rule.broken(sample.figures(rule), value)
        cost = {kind: _share(broken[sample.kind == kind]) for kind in dict.fromkeys(real.KINDS.values())}
        catch = {group: _share(broken[sample.group == group]) for group in np.unique(sample.group[sample.kind == "damaged"])}
        yield {"set": rule.set, "rule": rule.name, "value": value, "cost": cost, "catch": catch}


def sets(sample: Sample, chosen: dict[str, float]) -> Iterator[dict[str, Any]]:
    """The same for each set as a whole, with every threshold as calibrated."""
    broken: dict[str, NDArray[np.bool_]] = {}
    for rule in RULES:
        if rule.set == "light":
            continue
        value = chosen.get(rule.name, default(rule))
        one = rule.broken(sample.figures(rule), value)
        broken[rule.set] = broken.get(rule.set, np.zeros(len(one), bool)) | one
    for name, some in broken.items():
        shares = {str(group): _share(some[sample.group == group]) for group in dict.fromkeys(sample.group.tolist())}
        yield {"set": name, "dropped": shares}


def sentences_in_both(data: Path) -> dict[str, Any]:
    """C4's five English sentences in Chinese: windows of one to twelve parallel sentences."""
    pairs = real.parallel_lines(data)
    windows = [pairs[at : at + size] for size in range(1, 13) for at in range(0, len(pairs) - size, 7)]
    english, chinese = (
        statistics(["\n".join(pair[side] for pair in window) for window in windows], [language] * len(windows))[
            "c4_sentences"
        ]
        for side, language in ((0, "en"), (1, "zh"))
    )
    dropped = english < C4_SENTENCES
    chosen = round(same_share(chinese.astype(float), dropped, below=True))
    return {
        "set": "c4_quality",
        "rule": "c4_sentences",
        "threshold": "min_sentences",
        "paper": C4_SENTENCES,
        "ours": chosen,
        "documents": len(windows),
        "agreement": round(float(((chinese < chosen) == dropped).mean()), 4),
        "ratio": round(float(chinese.sum() / english.sum()), 3),
    }


def short_lines_in_both(data: Path) -> dict[str, Any]:
    """FineWeb's short line of 30 characters in Chinese: headings of a book in both languages."""
    pairs = [(len(english), len(chinese)) for english, chinese in real.parallel_headings(data)]
    english, chinese = np.array(pairs).T
    agreement = {length: float(((chinese <= length) == (english <= 30)).mean()) for length in range(4, 21)}
    best = max(agreement, key=lambda length: agreement[length])
    median = round(float(np.median(english / np.maximum(chinese, 1))), 2)
    return {
        "headings": len(pairs),
        "best": best,
        "agreement": round(agreement[best], 4),
        "agreement_of_10": round(agreement[10], 4),
        "english_per_chinese_character": median,
    }


def repetition_in_both(data: Path) -> list[dict[str, Any]]:
    """Gopher's repetition on a book in both languages: English at the paper's thresholds, the same share of the Chinese."""
    pairs = real.parallel_documents(data)
    english, chinese = (
        statistics([pair[side] for pair in pairs], [language] * len(pairs)) for side, language in ((0, "en"), (1, "zh"))
    )
    found = []
    for rule in RULES:
        if rule.set != "gopher_repetition" or "gram" not in rule.name:
            continue
        theirs, ours = (
            rule.figures(counts, np.full(len(pairs), language)) for counts, language in ((english, "en"), (chinese, "zh"))
        )
        dropped = rule.broken(theirs, papers(rule))
        if dropped.any():
            value = same_share(ours, dropped, rule.drops_below)
            agreement = round(float((rule.broken(ours, value) == dropped).mean()), 4)
            found.append({"rule": rule.name, "english_dropped": _share(dropped), "ours": value, "agreement": agreement})
    return found


def _share(broken: NDArray[np.bool_]) -> float:
    return round(float(broken.mean()), 4) if broken.size else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, help="the folder that holds raw/zh")
    parser.add_argument("--peer-env", type=Path, help="where the peer's virtual environment is, or is to be made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="calibration-") as temporary:
        sample = load(arguments.input, arguments.peer_env or Path(temporary) / "peer", Path(temporary))
    words, chinese = list(words_rules(sample)), list(chinese_rules(sample))
    both = sentences_in_both(arguments.input)
    chosen = {record["rule"]: record["ours"] for record in (*words, *chinese, both)}
    record = {
        "date": date.today().isoformat(),
        "command": "python benchmarks/calibrate_chinese.py --input DIRECTORY",
        "budget": BUDGET,
        "tight": TIGHT,
        "documents": dict(Counter(sample.group.tolist())),
        "kinds": real.KINDS,
        "words": words,
        "chinese": chinese,
        "sentences": both,
        "repetition_in_both": repetition_in_both(arguments.input),
        "short_lines": short_lines_in_both(arguments.input),
        "effects": list(effects(sample, chosen)),
        "sets": list(sets(sample, chosen)),
    }
    RESULT.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_page(record, PAGE)
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
