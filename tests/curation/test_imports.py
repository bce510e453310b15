"""What curation imports is paid by every process, and is most of what a run costs that finds all its results kept."""

import json
import random
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from pathlib import Path
from lifecycle.corpora.read import read_source
from lifecycle.curation.clean import clean_source
from lifecycle.curation.corpus import build_corpus
from lifecycle.recipe.corpora import CurationConfig, HeldoutConfig, JsonlSource

texts, home = sys.argv[1], Path(sys.argv[2])
raw, cleaned, corpus, run = (home / name for name in ("raw", "cleaned", "corpus", "run"))
corpus.mkdir(parents=True)
source = JsonlSource(name="texts", kind="jsonl", path=texts, licence="made up")
config = CurationConfig(heldout=HeldoutConfig(share=0.5), workers=1)
read_source(source, raw, run, 1)
clean_source(raw, "texts", config, cleaned, run)
build_corpus({"texts": cleaned}, config, corpus, run)
print(sorted(set(sys.argv[3:]) & set(sys.modules)))
"""
WORDS = """
we went along an old road over the hill until a river lay below us with two boats and men who sold fish while
children threw stones at birds that rose from grass near our feet so nobody spoke for some time
"""
DEAR = (
    "pandas",
    "pyarrow.compute",
    "pyarrow.dataset",
    "scipy.linalg",
    "numba.np.arraymath",
    "matplotlib",
    "lifecycle.recipe.recipe",
)
"""Each takes 0.05 to 0.4 seconds of the processor, and nothing of a run needs it whose compiled functions are kept."""


def test_a_run_of_curation_imports_nothing_dear(tmp_path: Path) -> None:
    """`Table.filter`, `Array.to_numpy`, an annotation with the whole recipe, `searchsorted` in a kernel: each was one."""
    path = tmp_path / "texts.jsonl"
    drawn = random.Random(5)
    texts = [" ".join(drawn.choices(WORDS.split(), k=300)) for _ in range(30)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    for home in ("compiles", "loads"):
        command = [sys.executable, "-c", PROGRAM, str(path), str(tmp_path / home), *DEAR]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
