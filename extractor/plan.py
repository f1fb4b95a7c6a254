"""A schema bound to one report: closed questions in stages, and how their answers become a validated object.

    form = compile_form(CmrReportV1)     # once for a schema
    plan = bind(form, report, terms)     # once for a report: every option is now a closed set

A question with one option is never asked. `When` (`schemas.fields`) and optional nested models become gates, and gates
put questions in stages.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from extractor.candidates import Wanted, candidates
from extractor.chambers import (
    Side,
    about,
    elsewhere,
    goes_on,
    normal_as_a_whole,
    parts,
    right_heart,
    unremarkable_right,
)
from extractor.errors import EngineError
from extractor.form import NO, YES, Form, Gate, Group, Leaf, Members, Option
from extractor.report import Report, Sentence
from extractor.terms import Terms, compiled, doubts, spoken
from schemas.fields import Evidence, Quantity


def bind(
    form: Form, report: Report, terms: Mapping[str, Sequence[str]], part: Sequence[Sentence] | None = None
) -> "Plan":
    """Close every question over this report (or over a part of its sentences).

    `terms` gives, for a field's path, the words by which reports speak of it.
    """
    sentences = tuple(report.sentences if part is None else part)
    wanted = {
        leaf.path: Wanted(leaf.measure, tuple(terms.get(leaf.path, ())))
        for leaf in form.leaves()
        if isinstance(leaf, Leaf) and leaf.measure is not None
    }
    numbers = candidates(report, wanted) if wanted else {}
    first = report.sentences.index(sentences[0])
    finders, said = _finders(form, terms), [spoken(sentence.text) for sentence in sentences]
    spoken_of = _spoken_of(finders, said)
    in_doubt = [doubts(text, finders) for text in said]
    doubted = frozenset(path for path, own in spoken_of.items() if any(path in in_doubt[i] for i in own))
    supplied = _silent(form, spoken_of) | dict(_spans(form, sentences, first, numbers))
    return Plan(form, report, sentences, first, spoken_of, doubted, supplied)


_OF_NORMAL = ("size", "function")
"""What "LV: normal" speaks of: fields with one of these among their terms."""


def _finders(form: Form, terms: Mapping[str, Sequence[str]]) -> dict[str, Terms]:
    """The terms of each category, and of each label of a list, that has any."""
    return {
        path: compiled(((path, tuple(terms[path])),))
        for leaf in form.leaves()
        if isinstance(leaf, Members) or leaf.kind == "category"
        for path in ([leaf.path] if isinstance(leaf, Leaf) else map(leaf.member, leaf.labels))
        if terms.get(path)
    }


def _spoken_of(finders: Mapping[str, Terms], said: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """For each path, the sentences (by index) that hold one of its terms.

    "Size", "dilated", "thickened" are words for many parts of the heart: they say nothing of a ventricle where the report never
    speaks of it, or says them of something else.
    """
    said_in = [parts(text) for text in said]
    aside = {i for i, text in enumerate(said) if elsewhere(text)}
    unseen = not any(map(right_heart, said))
    normal = any(unremarkable_right(part) for own in said_in for part in own)
    found = {}
    for path, finder in finders.items():
        own = tuple(i for i, text in enumerate(said) if finder.mentioned(text))
        side = finder.sides.get(path)
        silent = side is not None and not any(
            _speaks(said_in[i], finder, side) for i in own if side != "left" or i not in aside
        )
        if side == "right":
            silent = unseen or (silent and not normal)
        own = () if silent else own
        if side and not own and any(map(finder.mentioned, _OF_NORMAL)):
            own = tuple(
                i
                for i, several in enumerate(said_in)
                if any(normal_as_a_whole(part, side) for part in several)
            )
        found[path] = own
    return found


def _speaks(several: Sequence[str], finder: Terms, side: Side) -> bool:
    """Whether a part of a sentence holds a term that may be said of a ventricle, or a number of it for a term before."""
    named = False
    for part in several:
        mentioned = finder.mentioned(part)
        if (mentioned and about(part, side)) or (named and goes_on(part, side)):
            return True
        named = mentioned or (named and (goes_on(part, "left") or goes_on(part, "right")))
    return False


def _silent(form: Form, spoken_of: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[Option, ...]]:
    """Close the fields that no sentence speaks of to `not_stated`, as a measurement without a number is.

    A label of a list is closed to "no", unless the list may not be empty. Where nothing at all is spoken of, the report is in a language that the terms do not know: all stay open.
    """
    if not any(spoken_of.values()):
        return {}
    unstated: dict[str, tuple[Option, ...]] = {}
    for leaf in form.leaves():
        if isinstance(leaf, Leaf):
            unstated[leaf.path] = tuple(option for option in leaf.options if not option.stated)
        elif not leaf.low:
            unstated |= {leaf.member(label): (NO,) for label in leaf.labels}
    return {path: options for path, options in unstated.items() if options and spoken_of.get(path) == ()}


def _spans(
    form: Form, sentences: Sequence[Sentence], first: int, numbers: Mapping[str, Sequence[Quantity]]
) -> Iterator[tuple[str, tuple[Option, ...]]]:
    """Yield the options that are spans of this report, by path."""
    for leaf in form.leaves():
        if isinstance(leaf, Members) or leaf.kind not in ("quantity", "evidence"):
            continue
        if leaf.kind == "evidence":
            ids = [sentence_id(i, len(sentences)) for i in range(len(sentences))]
            found = [(ids[i], evidence(first + i, s).model_dump()) for i, s in enumerate(sentences)]
        else:
            start, end = sentences[0].start, sentences[-1].end
            inside = [q for q in numbers[leaf.path] if start <= q.start and q.end <= end]
            # "35 %" and later "35%" are one answer; its best place comes first.
            same = {q.value: q for q in reversed(inside)}
            found = [(q.text, q.model_dump()) for q in inside if same[q.value] is q]
        unique = {label: Option(label, value) for label, value in reversed(found)}
        yield leaf.path, (*reversed(unique.values()), *leaf.options)


def evidence(index: int, sentence: Sentence) -> Evidence:
    """A sentence of the report, by its index in the whole report."""
    return Evidence(sentence=index, text=sentence.text, start=sentence.start, end=sentence.end)


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def sentence_id(index: int, count: int) -> str:
    """Name a sentence in letters, all of one width, so that no id begins another and most are one token."""
    width = max(1, math.ceil(math.log(max(count, 2), len(_LETTERS)) - 1e-9))
    digits = [_LETTERS[index // len(_LETTERS) ** place % len(_LETTERS)] for place in range(width)]
    return "".join(reversed(digits))


@dataclass(frozen=True)
class Question:
    """Pick one of `options`, or take `otherwise` where a gate is shut.

    `stage` counts the answers that must come first, `leaf` is the field it comes from.
    """

    path: str
    options: tuple[Option, ...]
    leaf: Leaf | Members
    otherwise: Option
    gates: tuple[Gate, ...] = ()
    stage: int = 0


Status = Literal["answered", "forced", "implied"]


def best(chances: Sequence[float]) -> int:
    """Index of the highest; the first of equals, so that ties always break the same way."""
    return max(range(len(chances)), key=chances.__getitem__)


@dataclass(frozen=True)
class Answer:
    """The option taken, all options of the question, and their probabilities in the same order."""

    option: Option
    options: tuple[Option, ...]
    probabilities: tuple[float, ...]
    status: Status

    @property
    def chance(self) -> float:
        """The probability of the option that was taken."""
        return self.probabilities[self.options.index(self.option)]

    @property
    def distribution(self) -> dict[str, float]:
        """Probability by label, in the options' order."""
        return {option.label: p for option, p in zip(self.options, self.probabilities, strict=True)}

    @classmethod
    def likeliest(cls, options: tuple[Option, ...], probabilities: Sequence[float]) -> "Answer":
        """What the model says."""
        return cls(options[best(probabilities)], options, tuple(probabilities), "answered")

    @classmethod
    def certain(cls, question: Question, option: Option, status: Literal["forced", "implied"]) -> "Answer":
        """An answer that needed no model."""
        return cls(option, question.options, tuple(float(o == option) for o in question.options), status)


@dataclass(frozen=True)
class Plan:
    """A schema bound to one report: all its questions, in stages, and how answers become a validated object.

    `sentences` are the report's, or a part of them whose first is the report's `first`-th. `doubted` are the paths that a
    clause of theirs speaks of with doubt.
    """

    form: Form
    report: Report
    sentences: tuple[Sentence, ...]
    first: int
    spoken_of: Mapping[str, tuple[int, ...]]
    doubted: frozenset[str]
    supplied: Mapping[str, tuple[Option, ...]]
    questions: tuple[Question, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "questions", tuple(self._questions(self.form.root, ())))

    def _questions(self, group: Group, gates: tuple[Gate, ...]) -> Iterator[Question]:
        stage = len(gates)
        if group.presence:
            yield Question(group.presence.path, (YES, NO), group.presence, NO, gates, stage)
            gates = (*gates, Gate(group.presence.path, frozenset({YES.label})))
            stage += 1
        stages: dict[str, int] = {}
        for _, node in group.children:
            if isinstance(node, Group):
                yield from self._questions(node, gates)
                continue
            own = (*gates, node.gate) if node.gate else gates
            stages[node.path] = now = stages[node.gate.path] + 1 if node.gate else stage
            if isinstance(node, Members):
                for path in map(node.member, node.labels):
                    yield Question(path, self.supplied.get(path, (YES, NO)), node, NO, own, now)
            else:
                options = self.supplied.get(node.path, node.options)
                yield Question(node.path, options, node, node.otherwise or options[-1], own, now)

    def open_labels(self, node: Members) -> tuple[Option, ...]:
        """The labels that may be in a list in this report."""
        return tuple(label for label in node.labels if self.supplied.get(node.member(label)) != (NO,))

    def sources(self, path: str) -> tuple[int, ...]:
        """Which of `sentences` may be evidence for a field: those that speak of it, or all where none does."""
        return self.spoken_of.get(path) or tuple(range(len(self.sentences)))

    def sentence_of(self, value: Any) -> Evidence | None:
        """The sentence in which a quantity stands; None for anything that has no span in the report."""
        if not isinstance(value, dict) or "sentence" in value:
            return None
        inside = (i for i, s in enumerate(self.report.sentences) if s.start <= value["start"] < s.end)
        return next((evidence(i, self.report.sentences[i]) for i in inside), None)

    def assemble(self, answers: Mapping[str, Answer]) -> dict[str, Any]:
        """Return the validated object, as JSON data, that these answers (by question path) make.

        Raises:
            EngineError: the answers do not validate, which closed options should make impossible.
        """
        data = self._object(self.form.root, answers)
        try:
            return self.form.model.model_validate_json(json.dumps(data)).model_dump(mode="json")
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise EngineError(
                "the answers do not fit the schema", code="decode_invalid", field=where
            ) from None

    def _object(self, group: Group, answers: Mapping[str, Answer]) -> dict[str, Any] | None:
        if group.presence and answers[group.presence.path].option == NO:
            return None
        return {
            name: self._object(node, answers) if isinstance(node, Group) else answers[node.path].option.value
            for name, node in group.children
        }
