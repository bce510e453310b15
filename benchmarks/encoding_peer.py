"""The peer's side of `benchmarks/encoding.py`; runs in an environment of its own that has datatrove, not this project.

    python encoding_peer.py PARQUET_DIRECTORY TOKENIZER.json END_TOKEN OUT_DIRECTORY

Writes what DocumentTokenizer writes (`00000_unshuffled.ds`) and prints the CPU seconds of reading, encoding and writing.
"""

import sys
import time

from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.tokens import DocumentTokenizer


def main() -> None:
    corpus, tokenizer, end, out = sys.argv[1:]
    step = DocumentTokenizer(out, tokenizer, eos_token=end, shuffle_documents=False)
    _ = step.tokenizer, step.token_size  # loaded when first asked for
    started = time.process_time()
    step.run(ParquetReader(corpus, glob_pattern="*.parquet").run())
    print(time.process_time() - started)


if __name__ == "__main__":
    main()
