"""Public benchmarks in the files that their authors publish, as the tables that lm-eval asks of.

Each takes the path of one file (`dataset_kwargs.file` of the task file) and returns the splits of a data set.
"""

import csv
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import datasets

from lifecycle.corpora.opening import UnreadableError, open_bytes
from lifecycle.errors import DataError

LETTERS = "ABCD"
COT_ANSWER = re.compile(r"[Ss]o the answer is (.+?)\.?\s*$")
"""How each worked example of BIG-Bench Hard ends (Suzgun et al. 2022)."""
ACTIVITY = re.compile(r"\[.*?\]|\s+")


def cmmlu(file: str, **_: Any) -> dict[str, datasets.Dataset]:
    """CMMLU (Li et al. 2023): `test`, and `dev` with five worked examples of each subject; column `subject`."""
    splits: dict[str, list[dict[str, Any]]] = {"dev": [], "test": []}
    for name, content in _members(file, ".csv"):
        split, subject = PurePosixPath(name).parts[-2], PurePosixPath(name).stem
        for row in csv.DictReader(io.StringIO(content, newline="")):
            answer = row["Answer"].strip()
            if answer not in LETTERS:
                raise DataError(f"{file}: {name}: the answer {answer!r} is none of {', '.join(LETTERS)}")
            choices = {letter: row[letter].strip() for letter in LETTERS}
            splits[split].append({"subject": subject, "question": row["Question"].strip(), **choices, "answer": answer})
    return _tables(file, splits)


def bbh(file: str, **_: Any) -> dict[str, datasets.Dataset]:
    """BIG-Bench Hard (Suzgun et al. 2022): `test`, and `dev` with three worked examples of each of its 27 tasks.

    Column `solution` of `dev` is the whole chain of thought; `description` is what the task says first.
    """
    rows: list[dict[str, Any]] = []
    worked: list[dict[str, Any]] = []
    descriptions: dict[str, str] = {}
    for name, content in _members(file, ".txt"):
        subject = PurePosixPath(name).stem
        description, *examples = content.partition("-----\n")[2].strip().split("\n\nQ: ")
        descriptions[subject] = description.strip()
        for example in examples:
            question, solution = (part.strip() for part in example.split("\nA: ", 1))
            answer = COT_ANSWER.search(solution)
            if answer is None:
                raise DataError(f"{file}: {name}: a worked example does not end in 'So the answer is'")
            answered = {"input": question, "target": answer.group(1).strip(), "solution": solution}
            worked.append({"subject": subject, **answered})
    for name, content in _members(file, ".json"):
        subject = PurePosixPath(name).stem
        rows += [{"subject": subject, "input": e["input"], "target": e["target"]} for e in json.loads(content)["examples"]]
    for row in (*rows, *worked):
        row["description"] = descriptions[row["subject"]]
    return _tables(file, {"dev": worked, "test": rows})


def hellaswag(file: str, **_: Any) -> dict[str, datasets.Dataset]:
    """HellaSwag (Zellers et al. 2019) in llama.cpp's layout: context, number of the right ending, four endings."""
    lines = _text(file).removesuffix("\n").split("\n")
    if len(lines) % 6:
        raise DataError(f"{file}: {len(lines)} lines are no whole number of items of six lines")
    rows = [
        {
            "context": _plain(lines[at]),
            "gold": int(lines[at + 1]),
            "endings": [_plain(each) for each in lines[at + 2 : at + 6]],
        }
        for at in range(0, len(lines), 6)
    ]
    return _tables(file, {"test": rows})


def cmrc(file: str, **_: Any) -> dict[str, datasets.Dataset]:
    """CMRC 2018 (Cui et al. 2019), reading comprehension in SQuAD's layout: context, question, every answer given."""
    rows = [
        {
            "context": paragraph["context"].strip(),
            "question": item["question"].strip(),
            "answers": list(dict.fromkeys(answer["text"] for answer in item["answers"])),
        }
        for article in json.loads(_text(file))["data"]
        for paragraph in article["paragraphs"]
        for item in paragraph["qas"]
    ]
    return _tables(file, {"test": rows})


def truthfulqa(file: str, **_: Any) -> dict[str, datasets.Dataset]:
    """TruthfulQA (Lin et al. 2021), multiple choice: `mc1` with one true answer, which stands first, `mc2` with several."""
    rows = []
    for item in json.loads(_text(file)):
        one, many = item["mc1_targets"], item["mc2_targets"]
        named = {"question": item["question"], "mc1": list(one), "mc2": list(many), "mc2_true": list(many.values())}
        rows.append(named | {"gold": list(one.values()).index(1)})
    return _tables(file, {"test": rows})


def truthfulqa_pairs(file: str, **_: Any) -> dict[str, datasets.Dataset]:
    """TruthfulQA's table: the best answer against the best incorrect one."""
    rows = [
        {"question": row["Question"], "best": row["Best Answer"], "incorrect": row["Best Incorrect Answer"]}
        for row in csv.DictReader(io.StringIO(_text(file), newline=""))
    ]
    return _tables(file, {"test": rows})


def cold(file: str, **_: Any) -> dict[str, datasets.Dataset]:
    """COLD (Deng et al. 2022): Chinese sentences, `label` 1 where one is offensive."""
    rows = [
        {"text": row["TEXT"].strip(), "label": int(row["label"]), "topic": row["topic"]}
        for row in csv.DictReader(io.StringIO(_text(file), newline=""))
    ]
    return _tables(file, {"test": rows})


def mt_bench_references(questions: str, answers: str, **_: Any) -> dict[str, datasets.Dataset]:
    """MT-Bench (Zheng et al. 2023): first questions with the reference answer to each."""
    first = {row["question_id"]: row["turns"][0] for row in _lines(questions)}
    rows = [{"prompt": first[row["question_id"]], "reference": row["choices"][0]["turns"][0]} for row in _lines(answers)]
    return _tables(answers, {"test": rows})


def mt_bench_own_references(file: str, **_: Any) -> dict[str, datasets.Dataset]:
    """Of an MT-Bench file that holds its references: first questions that have one."""
    rows = [{"prompt": row["turns"][0], "reference": row["reference"][0]} for row in _lines(file) if row.get("reference")]
    return _tables(file, {"test": rows})


def _tables(file: str, splits: dict[str, list[dict[str, Any]]]) -> dict[str, datasets.Dataset]:
    for split, rows in splits.items():
        if not rows:
            raise DataError(f"{file}: holds no item for the split {split!r}; is it the benchmark's own file?")
    return {split: datasets.Dataset.from_list(rows) for split, rows in splits.items()}


def _plain(text: str) -> str:
    """HellaSwag's WikiHow marks ([header], [title]) and runs of blanks away, as the harness does."""
    return ACTIVITY.sub(" ", text.replace(" [title]", ". ")).strip()


def _lines(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _text(file).split("\n") if line.strip()]


def _text(file: str) -> str:
    try:
        with open_bytes(Path(file)) as stream:
            return stream.read().decode("utf-8-sig")
    except (UnreadableError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error


def _members(file: str, suffix: str) -> Iterator[tuple[str, str]]:
    """The members of a tar archive whose names end so, in the order of their names."""
    try:
        with open_bytes(Path(file)) as stream, tarfile.open(fileobj=io.BytesIO(stream.read())) as archive:
            for name in sorted(member.name for member in archive if member.isfile() and member.name.endswith(suffix)):
                found = archive.extractfile(name)
                assert found is not None
                yield name, found.read().decode("utf-8-sig")
    except (UnreadableError, tarfile.TarError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as an archive: {error}") from error
