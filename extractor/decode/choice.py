"""`choice`: score every field's options after its cue. No generation: one engine batch a stage, all reports in it."""

import math
from collections.abc import Sequence
from itertools import islice

from extractor.decode.reading import Choice, Reading, score
from extractor.engine.base import Engine
from extractor.form import Members
from extractor.lists import close_list
from extractor.plan import Answer, Question


def choice(engine: Engine, readings: Sequence[Reading]) -> None:
    """Answer every question of every reading in place, a stage at a time.

    Which sentence speaks of a field is asked in the same batch as what it says: on a CPU one more batch costs more
    than the few sentences that turn out not to be needed.

    Raises:
        EngineError: the engine could not answer.
    """
    last = max((question.stage for reading in readings for question in reading.plan.questions), default=0)
    for stage in range(last + 1):
        now = [(r, q) for r in readings for q in r.plan.questions if q.stage == stage]
        left = [(reading, question) for reading, question in now if not reading.settle(question)]
        asked = [(reading, question) for reading, question in left if question.path not in reading.sure]
        cited = [(reading, question) for reading, question in left if reading.can_cite(question)]
        chances = score(engine, [_cue(*pair) for pair in asked] + [_evidence(*pair) for pair in cited])
        for (reading, question), raw in zip(asked, chances, strict=False):
            one = reading.shifted(question, _by_option(reading, question, raw))
            reading.answers[question.path] = Answer.likeliest(question.options, one)
        for reading, question in left:
            if known := reading.sure.get(question.path):
                chance = [known[option.label] for option in question.options]
                reading.answers[question.path] = Answer.likeliest(question.options, chance)
            reading.show(question)
        for (reading, question), one in zip(cited, chances[len(asked) :], strict=True):
            reading.cite(question, one)
    for reading in readings:
        _close_lists(reading)


def _cue(reading: Reading, question: Question) -> Choice:
    ways = [way for option in question.options for way in reading.layout.ways(question, option)]
    return Choice(reading, reading.base + reading.layout.cue(question), tuple(ways))


def _by_option(reading: Reading, question: Question, chances: Sequence[float]) -> tuple[float, ...]:
    """Sum the chances of an option's kinds, where one has several."""
    if len(chances) == len(question.options):
        return tuple(chances)
    rest = iter(chances)
    counts = [len(reading.layout.ways(question, option)) for option in question.options]
    return tuple(math.fsum(islice(rest, count)) for count in counts)


def _evidence(reading: Reading, question: Question) -> Choice:
    return Choice(reading, reading.base + reading.layout.evidence(question), reading.source_options(question))


def _close_lists(reading: Reading) -> None:
    for leaf in reading.plan.form.leaves():
        if isinstance(leaf, Members):
            members = [reading.answers.pop(leaf.member(label)) for label in leaf.labels]
            reading.answers[leaf.path] = close_list(leaf, members)
