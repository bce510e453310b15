"""MLflow: one run per materialization, model versions with their lineage, and the champion.

`runs` is light and may be imported anywhere; `connection`, `writing`, `models`, `registry` and `lineage` import mlflow.
"""

import os

# Read once, when mlflow is first imported: without it mlflow reports usage to a server on the internet.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
