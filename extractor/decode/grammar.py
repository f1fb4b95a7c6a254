"""`grammar`: write the whole JSON object under the plan's grammar, then score each field at its place in the text.

The generated object decides the values. Their probabilities come from one more batch: at each field's place, the
probability of every option given the text before it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from extractor.decode.reading import Choice, Reading, score
from extractor.engine.base import Engine, Generation
from extractor.form import NO, YES, Group, Leaf, Members, Option
from extractor.grammar import compile_grammar
from extractor.lists import list_answer
from extractor.plan import Answer


def grammar(engine: Engine, readings: Sequence[Reading]) -> None:
    """Write and score every reading's object; answers and evidence go into the readings.

    Raises:
        EngineError: the engine could not answer, or its text is not in the grammar.
    """
    grammars = [compile_grammar(reading.plan) for reading in readings]
    jobs = [Generation(r.base, g.regex, g.longest, r.group) for r, g in zip(readings, grammars, strict=True)]
    written = engine.generate(jobs)
    places: list[tuple[Reading, _Place]] = []
    for reading, one, output in zip(readings, grammars, written, strict=True):
        reading.prompt_tokens += output.prompt_tokens
        reading.cached_tokens += output.cached_tokens
        reading.output_tokens += output.output_tokens
        places += [(reading, place) for place in _settle(reading, one.parse(output.text))]
    chances = score(engine, [_choice(reading, place) for reading, place in places])
    for (reading, place), one_chances in zip(places, chances, strict=True):
        _answer(reading, place, one_chances)
    _cite(engine, readings, [output.text for output in written])


def _settle(reading: Reading, picked: Mapping[str, Option]) -> Iterator["_Place"]:
    """Take the written options as answers; yield the places where the model had a choice."""
    for path, option in picked.items():
        reading.answers[path] = Answer(option, (option,), (1.0,), "answered")
    settled = {q.path for q in reading.plan.questions if isinstance(q.leaf, Leaf) and reading.settle(q)}
    text = _Text(reading, picked)
    text.write_group(reading.plan.form.root)
    yield from (place for place in text.places if place.path not in settled)


@dataclass(frozen=True)
class _Place:
    """A choice that was made: after `before`, `literals[chosen]` was written for the field at `path`."""

    path: str
    before: str
    literals: tuple[str, ...]
    chosen: int
    options: tuple[Option, ...]


@dataclass
class _Text:
    """Writes an object again, as the grammar does, noting each place where something else could have stood."""

    reading: Reading
    picked: Mapping[str, Option]
    text: str = ""
    places: list[_Place] = field(default_factory=list)

    def _pick(
        self, path: str, literals: Sequence[str], chosen: int, options: tuple[Option, ...] = ()
    ) -> None:
        self.places.append(_Place(path, self.text, tuple(literals), chosen, options))
        self.text += literals[chosen]

    def write_group(self, group: Group) -> None:
        if group.presence:
            absent = not self.picked[group.presence.path].value
            self._pick(group.presence.path, ("{", "null"), int(absent), (YES, NO))
            if absent:
                return
        else:
            self.text += "{"
        for index, (name, node) in enumerate(group.children):
            self.text += ("," if index else "") + json.dumps(name, ensure_ascii=False) + ":"
            if isinstance(node, Group):
                self.write_group(node)
            elif isinstance(node, Members):
                self._write_list(node)
            else:
                options = self.reading.plan.supplied.get(node.path, node.options)
                chosen = options.index(self.picked[node.path])
                self._pick(node.path, [option.literal for option in options], chosen, options)
        self.text += "}"

    def _write_list(self, node: Members) -> None:
        shut = node.gate and self.picked[node.gate.path].label not in node.gate.labels
        literals = [] if shut else [option.literal for option in self.reading.plan.open_labels(node)]
        written = [json.dumps(value, ensure_ascii=False) for value in self.picked[node.path].value]
        if not literals:
            self.reading.answers[node.path] = list_answer([], 1.0, "implied" if shut else "forced")
        self.text += "["
        for index in range(node.high if literals else 0):
            allowed = ["," * bool(index) + literal for literal in literals] + ["]"] * (index >= node.low)
            if index == len(written):
                self._pick(node.path, allowed, len(allowed) - 1)
                return
            self._pick(node.path, allowed, literals.index(written[index]))
        self.text += "]"


def _choice(reading: Reading, place: _Place) -> Choice:
    options = tuple(reading.layout.literal(literal) for literal in place.literals)
    return Choice(reading, reading.base + reading.layout.literal(place.before), options)


def _answer(reading: Reading, place: _Place, chances: tuple[float, ...]) -> None:
    """Give an answer its probabilities; a list's is the product over its places."""
    answer = reading.answers[place.path]
    if isinstance(answer.option.value, list):
        reading.answers[place.path] = list_answer(answer.option.value, answer.chance * chances[place.chosen])
    else:
        reading.answers[place.path] = Answer(answer.option, place.options, chances, "answered")


def _cite(engine: Engine, readings: Sequence[Reading], texts: Sequence[str]) -> None:
    """Ask for evidence after the finished object."""
    pairs = [
        (reading, question, text)
        for reading, text in zip(readings, texts, strict=True)
        for question in reading.plan.questions
        if reading.can_cite(question) and reading.stated(question)
    ]
    choices = []
    for reading, question, text in pairs:
        prompt = reading.base + reading.layout.literal(text + "\n") + reading.layout.evidence(question)
        choices.append(Choice(reading, prompt, reading.source_options(question)))
    for (reading, question, _), chances in zip(pairs, score(engine, choices), strict=True):
        reading.cite(question, chances)
