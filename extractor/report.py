"""A report as the model sees it: sentences and quantities, each a span of the original text."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Sentence:
    """`report.text[start:end] == text`; sentences never overlap and come in order."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Number:
    """A number as written, with its unit, anywhere in the report (see `extractor.quantities`)."""

    text: str
    value: float
    unit: str | None
    start: int
    end: int


@dataclass(frozen=True)
class Report:
    text: str

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]: ...

    @cached_property
    def numbers(self) -> tuple[Number, ...]: ...
