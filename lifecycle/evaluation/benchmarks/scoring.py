"""How the answers of shipped tasks are judged, where lm-eval's own metrics do not do: lm-eval's `process_results`.

Each takes one item and what the model said of it, and returns the item's metrics.
"""

import difflib
import re
import unicodedata
from typing import Any

import numpy as np

from lifecycle.evaluation.benchmarks.sandbox import run_program
from lifecycle.preferences.judges.maths import exact

Metrics = dict[str, Any]

SEGMENT = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")
ARTICLES = re.compile(r"\b(?:a|an|the)\b")
CONCLUSION = re.compile(r"(?:the answer is|答案(?:是|为|：|:))\s*(.+)", re.IGNORECASE)
FENCED = re.compile(r"```(?:python|py)?\n(.*?)(?:```|\Z)", re.DOTALL)


def plain(text: str) -> str:
    """`text` as answers are compared: full-width and half-width forms made one (NFKC), no case, punctuation or blanks."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return "".join(each for each in text if unicodedata.category(each)[0] not in "PZC")


def number(item: dict[str, Any], said: list[str]) -> Metrics:
    """Whether the answer ends in the number that the reference ends in (GSM8K, SVAMP)."""
    return {"exact_match": float(exact(said[0], item["answer"]) or False)}


def one_of(item: dict[str, Any], said: list[str]) -> Metrics:
    """Whether the first line is one of the answers that count, without articles (TriviaQA: Joshi et al. 2017)."""
    answers = {plain(ARTICLES.sub(" ", each.casefold())) for each in (item["answer"], *item["aliases"])}
    return {"exact_match": float(plain(ARTICLES.sub(" ", _first_line(said[0]).casefold())) in answers)}


def option(item: dict[str, Any], said: list[str]) -> Metrics:
    """Whether what was said, behind "the answer is" where that occurs, is the target (BIG-Bench Hard)."""
    concluded = CONCLUSION.findall(said[0])
    answer = _first_line(concluded[-1] if concluded else said[0]).rstrip(" .。")
    target = item["target"].strip()
    # Brackets and operators are the answers of some of its tasks: only blanks may differ, or a missing pair of brackets.
    same = "".join(answer.split()) == "".join(target.split())
    return {"exact_match": float(same or (f"({answer})" == target and len(answer) == 1))}


def chinese_span(item: dict[str, Any], said: list[str]) -> Metrics:
    """CMRC 2018's own measures: equality, and F1 by the longest common run of characters (words where Latin), best answer.

    Cui et al. 2019; the answers are compared after `plain`, as its evaluation script removes punctuation of both widths.
    """
    answer = _first_line(said[0])
    scores = [_span_f1(answer, each) for each in item["answers"]]
    return {"f1": max(scores), "exact_match": float(any(plain(answer) == plain(each) for each in item["answers"]))}


def true_mass(item: dict[str, Any], said: list[tuple[float, bool]]) -> Metrics:
    """The share of probability that true answers have of all answers' (TruthfulQA MC2: Lin et al. 2021)."""
    logs = np.array([each[0] for each in said], dtype=np.float64)
    shares = np.exp(logs - logs.max())
    true = np.array(item["mc2_true"], dtype=bool)
    return {"true_mass": float(shares[true].sum() / shares.sum())}


def reference_bits(item: dict[str, Any], said: list[tuple[float, bool]]) -> Metrics:
    """Log-likelihood in nats of a reference answer, and its bytes."""
    return _bits(said, item["reference"])


def output_bits(item: dict[str, Any], said: list[tuple[float, bool]]) -> Metrics:
    """The same where the reference is called `output` (AlpacaEval)."""
    return _bits(said, item["output"])


def program(item: dict[str, Any], said: list[str]) -> Metrics:
    """Whether the program passes its tests (HumanEval: Chen et al. 2021, one greedy sample): runs it, in the sandbox."""
    fenced = FENCED.search(said[0])
    source = fenced.group(1) if fenced and f"def {item['entry_point']}" in fenced.group(1) else item["prompt"] + said[0]
    outcome = run_program(f"{source}\n\n{item['test']}\n\ncheck({item['entry_point']})\n")
    return {"pass_at_1": float(outcome.passed)}


def _bits(said: list[tuple[float, bool]], reference: str) -> Metrics:
    return {"bits_per_byte": (said[0][0], len(reference.encode("utf-8")))}


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0].strip()


def _span_f1(answer: str, reference: str) -> float:
    said, wanted = _segments(answer), _segments(reference)
    common = difflib.SequenceMatcher(None, said, wanted, autojunk=False).find_longest_match().size
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


def _segments(text: str) -> list[str]:
    normal = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(each if unicodedata.category(each)[0] not in "PC" else " " for each in normal)
    return SEGMENT.findall(kept)
