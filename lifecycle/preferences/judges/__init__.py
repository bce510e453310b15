"""Judges: each scores every candidate by itself or against the others, from 0 to 1."""
