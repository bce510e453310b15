"""Figures of every conversation, each by itself: what the rules compare with their thresholds, and a sidecar keeps."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.curation.blocklists import blocked_category
from lifecycle.curation.language import language_of
from lifecycle.curation.measures import MEASURES
from lifecycle.curation.statistics import statistics
from lifecycle.errors import DataError
from lifecycle.instructions.conversations import Conversation
from lifecycle.instructions.phrases import holds
from lifecycle.recipe.curation import Blocklist

FILE = "scores.parquet"
TEXT_COLUMNS = ("id", "source", "language", "answer_language", "sensitive", "decision")
"""`language` is that of the questions; `sensitive` the first category of the recipe's lists, or null; `decision` is `kept`
or the rule that dropped the conversation."""
REPETITION = {
    "duplicate_line_share": "duplicate_line_share",
    "top_bigram_share": "covered_bigram_share",
    "repeated_10gram_share": "repeated_10gram_share",
}
"""Figures that are those of curation's kernel, of the answer in which they are largest."""
MIN_REPETITION = 100
"""Characters below which an answer is too short to go in loops."""
FIGURES = (
    "turns",
    "shortest_question",
    "longest_question",
    "shortest_answer",
    "longest_answer",
    "refusal_share",
    "disclaimer_share",
    "echo_share",
    "cut_off",
    "language_mismatch",
    "broken_characters",
    "placeholders",
    *REPETITION,
)
"""Lengths in characters; shares from 0 to 1; what each is, the thresholds of the recipe say."""
SCHEMA = pa.schema([(name, pa.string()) for name in TEXT_COLUMNS] + [(name, pa.float64()) for name in FIGURES])

OPENING = 80
"""Characters of an answer in which it refuses, if it does."""
MIN_ECHO = 20
LONG_ANSWER = {"zh": 100}
LONG_ANSWER_ELSEWHERE = 300
"""Characters from which an answer without a mark at its end may have been cut off."""
MIN_LANGUAGE_SCORE = 0.5
APOSTROPHES = str.maketrans("’‘ʼ", "'''")
BROKEN = re.compile(r"[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
PLACEHOLDER = re.compile(r"\{\{\s*\w+\s*\}\}|<no ?(?:in|out)put>")
TAGS = re.compile(r"<(tool_call|tool_response|think|tools)>.*?</\1>", re.DOTALL)
CODE = re.compile(r"```.*?```|`[^`\n]+`|https?://\S+", re.DOTALL)
LANGUAGES_SPOKEN_OF = re.compile(
    r"translat|翻译|译[成为]|英语|英文|中文|汉语|法语|日语|德语|俄语|韩语|西班牙语|拼音|单词|\bpinyin\b|"
    r"\b(?:English|Chinese|Mandarin|Spanish|French|German|Italian|Japanese|Korean|Russian|Latin)\b",
    re.IGNORECASE,
)
LATIN_TEXT = re.compile(r"(?:[A-Za-z]+[ ,;:'’()-]+){2}[A-Za-z]+")
TEXT_IN = {"zh": re.compile(r"[\u4e00-\u9fff]"), "ja": re.compile(r"[\u3040-\u30ff]")}
"""What shows that a question holds text in a language; for those in Latin letters, three words in a row."""
MUST_GO_ON = re.compile(r"[,，、:：；(（\[【「『“《—]$|\b(?:and|or|the|of|to|with|a|an)$|(?:和|与|以及|因为|但是)$")
ENDS = re.compile(r"[.!?。！？…~～)）\]}】」』”\"'’`*>》|]$|\d$|[\U0001F300-\U0001FAFF☀-➿]\ufe0f?$|</\w+>$")


def score(conversations: Sequence[Conversation], sensitive: tuple[Blocklist, ...]) -> pa.Table:
    """The sidecar's rows in the order given; `decision` is null until rules have decided."""
    rows = [_figures(conversation, sensitive) for conversation in conversations]
    columns: dict[str, object] = {name: [row.get(name) for row in rows] for name in SCHEMA.names if name not in REPETITION}
    columns |= _repetition(conversations, [str(row["answer_language"]) for row in rows])
    return pa.Table.from_pydict(columns, schema=SCHEMA)


def read_scores(directory: Path) -> pa.Table:
    """The sidecar of cleaned instructions; raises DataError where there is none."""
    try:
        return pq.read_table(directory / FILE)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{directory / FILE}: not a readable sidecar: {error}; make instructions again") from error


def figure(table: pa.Table, name: str) -> NDArray[np.float64]:
    """One figure of every conversation, shape (conversations,)."""
    return table[name].to_numpy()


def _said(conversation: Conversation, role: str) -> list[str]:
    return [message.content for message in conversation.messages if message.role == role]


def _figures(conversation: Conversation, sensitive: tuple[Blocklist, ...]) -> dict[str, object]:
    questions, answers = _said(conversation, "user"), _said(conversation, "assistant")
    asked, answered = _prose(questions), _prose(answers)
    declared = conversation.language or "en"
    language = language_of(asked, declared, MIN_LANGUAGE_SCORE)
    answer_language = language_of(answered, language, MIN_LANGUAGE_SCORE)
    lengths = [[len(text.strip()) for text in texts] or [0] for texts in (questions, answers)]
    everything = "\n\n".join(message.content for message in conversation.messages)
    return {
        "id": conversation.id,
        "source": conversation.source,
        "language": language,
        "answer_language": answer_language,
        "sensitive": blocked_category(everything, sensitive),
        "turns": float(len(answers)),
        "shortest_question": float(min(lengths[0])),
        "longest_question": float(max(lengths[0])),
        "shortest_answer": float(min(lengths[1])),
        "longest_answer": float(max(lengths[1])),
        "refusal_share": _share(answers, refuses),
        "disclaimer_share": _share(answers, _disclaims),
        "echo_share": max(map(_echo, questions, answers), default=0.0),
        "cut_off": _cut_off(answers[-1], language) if answers else 0.0,
        "language_mismatch": float(answer_language != language and not _asks_for(answer_language, asked)),
        "broken_characters": float(len(BROKEN.findall(everything))),
        "placeholders": float(len(PLACEHOLDER.findall(everything))),
    }


def _share(answers: Sequence[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, answers)) / len(answers) if answers else 0.0


def _prose(texts: Sequence[str]) -> str:
    return CODE.sub(" ", TAGS.sub(" ", "\n".join(texts)))


def refuses(answer: str) -> bool:
    """Whether an answer begins with a refusal, by the phrases of `lifecycle/instructions/phrases/refusals_*.txt`."""
    opening = answer.lstrip()[:OPENING].translate(APOSTROPHES)
    return holds(opening, "refusals_en", "refusals_zh")


def _disclaims(answer: str) -> bool:
    return holds(answer.translate(APOSTROPHES), "disclaimers_en", "disclaimers_zh")


def _asks_for(language: str, asked: str) -> bool:
    """Whether a question speaks of languages, or holds text in the answer's own: it may want it continued or corrected."""
    return LANGUAGES_SPOKEN_OF.search(asked) is not None or TEXT_IN.get(language, LATIN_TEXT).search(asked) is not None


def _repetition(conversations: Sequence[Conversation], languages: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """The largest of each figure over the answers of each conversation."""
    answers = [(place, text) for place, each in enumerate(conversations) for text in _said(each, "assistant")]
    counts = statistics([text for _, text in answers], [languages[place] for place, _ in answers])
    places, asked = np.array([place for place, _ in answers], dtype=np.int64), counts["characters"] >= MIN_REPETITION
    largest = {}
    for name, measure in REPETITION.items():
        largest[name] = np.zeros(len(conversations))
        np.maximum.at(largest[name], places[asked], MEASURES[measure](counts)[asked])
    return largest


def _echo(question: str, answer: str) -> float:
    """How much of the answer is the beginning of the question, white space and case aside."""
    asked, answered = "".join(question.lower().split()), "".join(answer.lower().split())
    same = 0
    for one, other in zip(asked, answered, strict=False):
        if one != other:
            break
        same += 1
    return same / len(answered) if same >= MIN_ECHO else 0.0


def _cut_off(answer: str, language: str) -> float:
    text = answer.rstrip()
    if text.count("```") % 2 or MUST_GO_ON.search(text[-12:]):
        return 1.0
    last = text.rsplit("\n", 1)[-1]
    long = len(text) >= LONG_ANSWER.get(language, LONG_ANSWER_ELSEWHERE)
    return 0.5 if long and len(last) > 20 and not ENDS.search(text[-12:]) else 0.0
