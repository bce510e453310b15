"""From raw text to an aligned, evaluated, registered language model. The engine: no Dagster, no Kubernetes."""

import os

# Arrow looks at it once, at its first allocation. Its own choice (mimalloc) hands the pages of every text back to the kernel
# and asks for them again: twice the page faults of malloc, and 140 MB more at the peak of curating 208 MB.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

# The threads of OpenBLAS, one for each core, stay awake for 2^26 cycles after numpy was imported: 0.07 seconds of each core.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")
