"""How long the tests wait for what must come: never a measurement, a busy machine takes many times what a quiet one does."""

PATIENCE = 600.0
"""Seconds until something counts as never coming."""
