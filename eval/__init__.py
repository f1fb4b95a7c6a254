"""Scoring models on annotated reports: `python -m eval`."""
