"""From raw text to an aligned, evaluated, registered language model. The engine: no Dagster, no Kubernetes."""
