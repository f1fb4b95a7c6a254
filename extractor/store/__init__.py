"""Model weights: which there are, where they are, and how they get there."""

from extractor.store.manifest import Entry, Template, default_id, entry, manifest
from extractor.store.progress import Progress, on_stderr, silent
from extractor.store.weights import Checked, Listed, Weights, list_models, locate, pull, verify

__all__ = [
    "Checked",
    "Entry",
    "Listed",
    "Progress",
    "Template",
    "Weights",
    "default_id",
    "entry",
    "list_models",
    "locate",
    "manifest",
    "on_stderr",
    "pull",
    "silent",
    "verify",
]
