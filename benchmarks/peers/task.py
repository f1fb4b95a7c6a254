"""What every peer is asked, and how its answer is judged: one form, one prompt, one limit, gold from an annotated set."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from eval.cases import Case
from eval.free import AROUND
from eval.gold import AnnotatedSet, book, form, load
from extractor.errors import EngineError
from extractor.form import Option
from extractor.grammar import Grammar, compile_grammar, json_schema
from extractor.plan import bind
from extractor.prompt import report_lines, system_text
from extractor.report import Report
from schemas.fields import NOT_STATED

SCHEMA = "cmr-report@1"
WARM_UP = 16
"""Tokens written for the report that is not counted: enough to put the instructions into a prefix cache."""

Message = dict[str, str]
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """One report as a chat, and the grammar of this report's own closed options."""

    messages: list[Message]
    grammar: Grammar

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the same options."""
        return json_schema(self.grammar.plan)


@dataclass(frozen=True)
class Answer:
    """What came back for a report: `seconds` since it was sent, `values` by path, `tokens` written in all `tries`."""

    case: Case
    seconds: float
    values: Values
    valid: bool
    tokens: int = 0
    tries: int = 1


class Reader(Protocol):
    """One peer with its model loaded. `weights` says which, and how precise."""

    weights: str

    def warm(self, case: Case) -> None:
        """Read one report that is not counted."""
        ...

    def read(self, cases: Sequence[Case]) -> Iterator[Answer]:
        """Take all `cases` at once, and yield each answer as it comes."""
        ...


class Task:
    """The form and its prompt. `max_tokens` is the same for all: the longest object in bytes, and what stands around it."""

    def __init__(self) -> None:
        self.form = form(SCHEMA)
        self._book = book(SCHEMA)
        self._terms = self._book.terms(self.form)
        self.system = system_text(self.form, self._book, "grammar")
        self.max_tokens = AROUND + compile_grammar(bind(self.form, Report.parse("-"), {})).longest

    def request(self, case: Case) -> Request:
        plan = bind(self.form, Report.parse(case.text), self._terms)
        base = self._book.base
        user = f"{base['report_heading']}{report_lines(plan.sentences)}{base['request']}"
        messages = [{"role": "system", "content": self.system}, {"role": "user", "content": user}]
        return Request(messages, compile_grammar(plan))


def judged(grammar: Grammar, text: str) -> tuple[bool, Values]:
    """Whether a text is one of the objects that the grammar allows, white space aside, and its values by path."""
    try:
        compact = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
        picked = grammar.parse(compact)
    except (ValueError, EngineError):
        return False, {}
    return True, {path: _plain(option) for path, option in picked.items()}


def _plain(option: Option) -> Any:
    """A measurement's number, or the label."""
    return option.value.get("value") if isinstance(option.value, dict) else option.value


def agreement(gold: Values, values: Values) -> tuple[bool | None, tuple[int, int]]:
    """Whether the diagnosis is gold's (None where gold has none), and how many of the findings that gold states are."""
    stated = {
        path: value
        for path, value in gold.items()
        if path.startswith("findings.") and value not in (NOT_STATED, [])
    }
    right = sum(_same(values.get(path), value) for path, value in stated.items())
    diagnosis = values.get("diagnosis") == gold["diagnosis"] if "diagnosis" in gold else None
    return diagnosis, (right, len(stated))


def _same(given: Any, wanted: Any) -> bool:
    both_lists = isinstance(given, list) and isinstance(wanted, list)
    return set(given) == set(wanted) if both_lists else bool(given == wanted)


def chosen(name: str, count: int) -> tuple[AnnotatedSet, list[Case]]:
    """Draw `count` reports of an annotated set, the same for every peer.

    Raises:
        ValueError: the set has fewer.
    """
    annotated = load(name, Path(".eval"))
    if count > len(annotated.cases):
        raise ValueError(f"{name} has {len(annotated.cases)} reports, and {count} are asked for")
    return annotated, random.Random(0).sample(annotated.cases, count)  # noqa: S311  a draw, no secret
