"""Code versions of the stages that keep results unit by unit, where processes that know nothing of the graph find them.

Each is raised when the stage's code would give other bytes for the same input; `lifecycle.stages` has those of all others.
"""

RAW_CORPORA = "6"
CLEANED_CORPORA = "7"
CORPUS = "6"
