"""A home directory in which the tests run the whole graph of the tiny recipe."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "tests" / "recipes" / "tiny.yaml"

SENTENCES = (
    "今天的天气很好，我们决定去公园散步，路上看到了许多盛开的花朵。",
    "这座城市的历史可以追溯到一千多年以前，当时它是一个重要的港口。",
    "科学家发现，这种材料在低温下具有非常特殊的导电性质。",
    "图书馆里收藏了大量珍贵的古籍，其中不少来自明代和清代。",
    "为了提高粮食产量，农民们开始采用新的灌溉技术和种植方法。",
    "他每天早上六点起床，先跑步半个小时，然后再吃早饭去上班。",
)

SECRETS = {
    name: f"planted-{name.lower()}-7f3a9c" for name in ("LIFECYCLE_ENDPOINT_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY")
}
"""Set while the graph runs, to be looked for in all that it leaves behind."""


@dataclass(frozen=True)
class Home:
    """A home directory of the platform, and how to run commands in it."""

    path: Path
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "assets.cli", *arguments]

    def run(self, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment,
            input=input,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )

    def ask(self, *arguments: str) -> Result:
        """Run a command that reads, in this process, where what it imports is imported once; an error is in `exception`."""
        from assets.cli import app  # takes Ctrl-C for itself

        environment = {**self.environment, "DS_ACCELERATOR": os.environ.get("DS_ACCELERATOR", "cpu")}
        return CliRunner().invoke(app, arguments, env=environment)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.path / "output.log").open("ab")
        return subprocess.Popen(self.command(*arguments), cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    def summary(self) -> dict:
        return json.loads((self.path / "tiny-summary.json").read_text(encoding="utf-8"))


def home_without(finished: Home, path: Path, *stages: str) -> Home:
    """A home in which everything that `finished` has made exists, but for these stages and every trace of work on them."""
    home = make_home(path)
    ignored = shutil.ignore_patterns(".runs", ".refs", "sampling")
    shutil.copytree(finished.path / "store", home.path / "store", ignore=ignored)
    for stage in stages:
        shutil.rmtree(home.path / "store" / stage)
    return home


def make_home(path: Path) -> Home:
    """An empty home with a Chinese source of its own, in which the order of sentences makes every document different, and
    labelled answers."""
    path.mkdir(parents=True, exist_ok=True)
    chinese = path / "chinese.jsonl"
    with chinese.open("w", encoding="utf-8") as file:
        for number in range(120):
            order: Sequence[int] = [(number * 7 + step * (number % 5 + 1)) % len(SENTENCES) for step in range(4)]
            text = f"第{number}篇：" + "".join(SENTENCES[index] + f"（编号{number * 31 + index}）" for index in order)
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
        file.write("{broken json\n")
    labels = path / "labels.jsonl"
    answers = ({"prompt": f"What is object {n}?", "completion": f"Number {n}.", "label": n % 2 == 0} for n in range(16))
    labels.write_text("".join(json.dumps(answer) + "\n" for answer in answers), encoding="utf-8")
    environment = os.environ | {
        "TINY_CHINESE": str(chinese),
        "TINY_LABELS": str(labels),
        "LIFECYCLE_HOME": str(path),
        "LIFECYCLE_RECIPE": str(RECIPE),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "160",
        **SECRETS,
    }
    return Home(path, environment)
