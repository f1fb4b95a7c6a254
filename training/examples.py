"""A report and its gold as what `choice` decoding asks of it, packed behind one reading of the report.

    [ prefix ][ report ][ cue answer ][ cue answer ] …
                          each sees prefix, report and itself alone

The questions, their options and every token come from `extractor`, so that training asks what reading will ask.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.cases import Case
from eval.gold import book, form
from eval.scoring import quoted, same
from extractor.form import NO, YES, Leaf, Members, Option
from extractor.plan import Plan, Question, bind
from extractor.prompt import Layout
from extractor.report import Report
from extractor.trie import Tokens, branchings, ended
from training.askings import Asking

FINEST = "cmr-diagnosis@3"
"""The schema whose diagnoses gold has."""
DIAGNOSES = ("diagnosis", "primary")
"""The hardest question, and one of many in a report: asked always, and counted four times."""


@dataclass(frozen=True)
class Target:
    """After the token at `place` of the packed sequence, one of `right` (indices into `tokens`) should follow."""

    place: int
    tokens: Tokens
    right: tuple[int, ...]
    weight: float


@dataclass(frozen=True)
class Example:
    """Token ids after the prefix, their positions in it, which question each belongs to (0: the report), targets, and how
    much its questions count together.
    """

    prefix: Tokens
    tokens: Tokens
    positions: tuple[int, ...]
    question: tuple[int, ...]
    targets: tuple[Target, ...]
    weight: float


@dataclass(frozen=True)
class Asked:
    """One closed choice with its right options: what the cue is, and how much its loss counts."""

    cue: Tokens
    options: tuple[Tokens, ...]
    right: tuple[int, ...]
    path: str
    stated: bool
    weight: float = 1.0


def asked(case: Case, gold: Mapping[str, Any], layout: Layout, plan: Plan) -> Iterator[Asked]:
    """Every choice that reading this report would score, where gold says which option is right."""
    leaves = {leaf.path: leaf for leaf in plan.form.leaves()}
    for question in plan.questions:
        if question.leaf.path not in gold or len(question.options) < 2 or not _open(question, gold, leaves):
            continue
        ways = [(option, way) for option in question.options for way in layout.ways(question, option)]
        right = tuple(i for i, (option, _) in enumerate(ways) if _is(question, option, gold))
        if not right:
            continue  # the number stands in the text in a way that the parser does not read
        if len(right) > 1 and question.path in DIAGNOSES and (disease := case.gold.diagnosis):
            named = layout.literal(f" {_said(disease)}")
            right = tuple(i for i in right if ways[i][1] == named) or right
        first = ways[right[0]][0]
        stated = first.stated and first != NO
        options = tuple(way for _, way in ways)
        weight = 4.0 if question.path in DIAGNOSES else 1.0
        yield Asked(layout.cue(question), options, right, question.path, stated, weight)
        if stated and isinstance(question.leaf, Leaf) and question.leaf.kind == "category":
            yield from _evidence(case, question, layout, plan)


def _said(label: str) -> str:
    """How the disease of gold is said, by itself or as a kind of `other`."""
    leaf = next(leaf for leaf in form(FINEST).leaves() if leaf.path == "primary")
    return book(FINEST).word(leaf, label)


def _evidence(case: Case, question: Question, layout: Layout, plan: Plan) -> Iterator[Asked]:
    sources = plan.sources(question.path)
    cited = [plan.sentences[index] for index in sources]
    right = tuple(i for i, s in enumerate(cited) if quoted(case, question.path, (s.start, s.end)))
    if right and len(cited) > 1:
        options = tuple(layout.letter(index, len(plan.sentences)) for index in sources)
        yield Asked(layout.evidence(question), options, right, f"{question.path} in", stated=True, weight=0.5)


def _open(question: Question, gold: Mapping[str, Any], leaves: Mapping[str, Leaf | Members]) -> bool:
    """Whether gold opens the gates before a question."""
    for gate in question.gates:
        leaf = leaves[gate.path]
        if isinstance(leaf, Members) or gate.path not in gold:
            return False
        if not any(o.value == gold[gate.path] and o.label in gate.labels for o in leaf.options):
            return False
    return True


def _is(question: Question, option: Option, gold: Mapping[str, Any]) -> bool:
    value = gold[question.leaf.path]
    if isinstance(question.leaf, Members):
        label = question.path.removeprefix(question.leaf.path)[1:-1]
        member = next(one.value for one in question.leaf.labels if one.label == label)
        return option == (YES if member in value else NO)
    if isinstance(option.value, dict):
        return not isinstance(value, str) and same(option.value["value"], value)
    return bool(option.value == value)


def pack(base: Tokens, prefix: Tokens, several: Sequence[Asked], end: int) -> Example:
    """Put the report (`base` less `prefix`) and its questions into one sequence."""
    tokens = list(base[len(prefix) :])
    positions = list(range(len(prefix), len(base)))
    question = [0] * len(tokens)
    targets: list[Target] = []
    for number, one in enumerate(several, 1):
        parting = branchings(one.options, end)
        paths = ended(one.options, end)
        # Where several sentences are right, one leads the way and the others count where they part from it.
        path = paths[one.right[0]]
        start = len(tokens) + len(one.cue) - 1
        last = max(place for place in range(len(path)) if path[:place] in parting)
        own = (*one.cue, *path[:last])
        for place in range(last + 1):
            if options := parting.get(path[:place]):
                along = {paths[i][place] for i in one.right if paths[i][:place] == path[:place]}
                right = tuple(i for i, token in enumerate(options) if token in along)
                targets.append(Target(start + place, options, right, one.weight))
        tokens += own
        positions += range(len(base), len(base) + len(own))
        question += [number] * len(own)
    weight = sum(one.weight for one in several)
    return Example(prefix, tuple(tokens), tuple(positions), tuple(question), tuple(targets), weight)


def choose(several: Sequence[Asked], most: int, dice: random.Random) -> list[Asked]:
    """At most `most` questions: the diagnosis always, then stated ones, and others to the same number."""
    always = [one for one in several if one.path in DIAGNOSES]
    rest = [one for one in several if one not in always]
    dice.shuffle(rest)
    stated = [one for one in rest if one.stated]
    silent = [one for one in rest if not one.stated]
    room = most - len(always)
    half = max(room - len(silent), room * 3 // 5)
    kept = stated[:half]
    return always + kept + silent[: room - len(kept)]


def example(case: Case, asking: Asking, most: int, dice: random.Random) -> Example:
    """Make the packed example of one report, asked at most `most` questions."""
    layout = asking.layout
    plan = bind(asking.form, Report.parse(case.text), asking.terms)
    several = choose(list(asked(case, asking.gold(case), layout, plan)), most, dice)
    return pack(tuple(layout.open(plan)), layout.prefix, several, layout.engine.encode("\n")[-1])
