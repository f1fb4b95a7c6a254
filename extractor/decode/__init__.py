"""The two executors of a plan. Both answer every question from its closed options; neither writes free text."""

from collections.abc import Callable, Mapping, Sequence

from extractor.decode.choice import choice
from extractor.decode.grammar import grammar
from extractor.decode.reading import Reading
from extractor.engine.base import Engine
from extractor.result import Decode

EXECUTORS: Mapping[Decode, Callable[[Engine, Sequence[Reading]], None]] = {
    "choice": choice,
    "grammar": grammar,
}

__all__ = ["EXECUTORS", "Reading", "choice", "grammar"]
