"""What curation costs when there is more text, and when only a little of it is new.

    python benchmarks/curation_scale.py --input en=FILE [--times 8] [--json FILE] [--quick]

The input (JSON lines with a field `text`) is taken once and `--times` times, the copies with their lines shuffled so that
they are other documents. Peak memory and CPU seconds are those of a whole process, imports included. One document of a
hundred is held back, with its copies; then they are added as one file, and everything runs again with the results that the
first run kept.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.curation import QUICK_BYTES, _input, read_texts
from benchmarks.whole import run, write_files

NEW_SHARE = 0.01


def measure(language: str, texts: list[str], times: int, scratch: Path) -> list[dict[str, Any]]:
    """The records of one language; the new documents are as unlike the old ones as these are unlike each other."""
    new = texts[:: round(1 / NEW_SHARE)]
    old = [text for number, text in enumerate(texts) if number % round(1 / NEW_SHARE)]
    found = []
    for factor in (1, times):
        files, home = scratch / f"{language}-{factor}", scratch / f"{language}-{factor}-home"
        size = write_files(old, files, factor)
        cache = home / "cache"
        done = run(files, language, home / "first", cache)
        found.append({"work": f"whole path, {factor} x", "language": language, "megabytes": round(size / 1e6, 1), **done})
    added = write_files(new, scratch / f"{language}-new", times)
    with (files / "99999-new.jsonl").open("wb") as file:
        file.writelines(path.read_bytes() for path in sorted((scratch / f"{language}-new").iterdir()))
    done = run(files, language, home / "second", cache)
    ratio = done["cpu_seconds"] / found[-1]["cpu_seconds"]
    work = f"again with {added / size:.1%} new text"
    found.append({"work": work, "language": language, **done, "share_of_the_first_run": round(ratio, 4)})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=_input, action="append", required=True, help="en=FILE or zh=FILE, repeatable")
    parser.add_argument("--times", type=int, default=8, help="how much larger the large input is")
    parser.add_argument("--quick", action="store_true", help="less text, under a minute")
    parser.add_argument("--json", type=Path, help="also write the records to this file")
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="curation-scale-") as temporary:
        for language, path in arguments.input:
            texts = read_texts(path, QUICK_BYTES if arguments.quick else sys.maxsize)
            found += measure(language, texts, arguments.times, Path(temporary))
    print("| work | language | MB | CPU seconds | peak MB | of the first run |\n|---|---|---|---|---|---|")
    for each in found:
        share = f"{each['share_of_the_first_run']:.1%}" if "share_of_the_first_run" in each else ""
        size = each.get("megabytes", "")
        print(
            f"| {each['work']} | {each['language']} | {size} | {each['cpu_seconds']} | {each['peak_megabytes']} | {share} |"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
