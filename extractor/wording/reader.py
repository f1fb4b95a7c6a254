"""What the classifiers together say of a report under a schema."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extractor.plan import Plan, Question, best
from extractor.wording.features import of_finding, of_findings, of_number, of_report
from extractor.wording.linear import Linear
from schemas.fields import Quantity

REPORT: Final = "diagnosis"
"""The classifier that reads whole reports."""
FINDINGS: Final = "diagnosis by findings"
"""The one that goes from a report's findings and numbers to its diagnosis."""
NUMBER: Final = "number"
"""The one that says of a number whether it is a field's. All others read what stands around a finding's terms."""
RIGHT: Final = "right"
"""Its class of such numbers."""
PROOF: Final = {True: "report evidence", False: "finding evidence"}
"""The classifiers that know how a sentence is worded that a reader would quote: of a whole report's field, of a finding."""
QUOTED: Final = "quoted"
"""Their class of such sentences."""
FLOOR: Final = 1e-4
"""The least chance that wording may give: no word rules a label out."""
SURE: Final = 0.99
"""From this chance on wording answers alone: fewer of such answers are wrong than may pass without review."""


@dataclass(frozen=True)
class Bound:
    """A report under a schema: its reference, the plan, and the terms of its fields."""

    ref: str
    plan: Plan
    terms: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Asked:
    """Which classifier speaks of a field, and the classes that each of the field's labels stands for, if it has any."""

    by: str
    labels: Mapping[str, Sequence[str]]

    @property
    def whole(self) -> bool:
        """Whether all of a report counts, and not only what speaks of the field."""
        return self.by == REPORT

    def features(self, path: str, terms: Sequence[str], sentences: Sequence[str]) -> set[str]:
        """Name what the classifier counts in these sentences."""
        return of_report(" ".join(sentences)) if self.whole else of_finding(path, terms, sentences)

    def chances(self, own: Mapping[str, float]) -> dict[str, float]:
        """Return the chance of each label, from those of the classes."""
        return {label: math.fsum(own[one] for one in classes) for label, classes in self.labels.items()}


@dataclass(frozen=True)
class Said:
    """What wording says of a report's open questions, by path and label: what to add to the model's log-probabilities, the chances
    of what it is sure of without the model, and which of the plan's sentences is evidence, where that was learnt.
    """

    shifts: Mapping[str, Mapping[str, float]]
    sure: Mapping[str, Mapping[str, float]]
    evidence: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Wording:
    """Classifiers by name, the weight of what each says beside the model, and the fields that they speak of by schema.

    `name` is that of the set they were fitted on and the file's hash, short. `basis` is the schema whose findings and numbers
    tell of the diagnosis.
    """

    name: str
    weights: Mapping[str, float]
    basis: str
    classifiers: Mapping[str, Linear]
    asked: Mapping[str, Mapping[str, Asked]]

    def __str__(self) -> str:
        return self.name

    def says(self, own: Bound, basis: Bound) -> Said:
        """Return what there is to say of a report under a schema; `basis` is the same report under the wording's basis."""
        chances = self.chances(own, basis)
        asked = self.asked.get(own.ref, {})
        return Said(
            shifts={
                path: {
                    label: self.weights[asked[path].by] * math.log(chance)
                    for label, chance in by_label.items()
                }
                for path, by_label in chances.items()
            },
            sure={
                path: by_label
                for path, by_label in chances.items()
                if not asked[path].whole and max(by_label.values()) >= SURE
            },
            evidence=self._evidence(own),
        )

    def chances(self, own: Bound, basis: Bound) -> dict[str, dict[str, float]]:
        """Return, for each open question that wording speaks of, the chance of each label, about `FLOOR` at least.

        That of a diagnosis is the product of what words say and what findings and numbers say, disease by disease: where they
        think of different ones, a label that holds both of them is none the likelier for it.
        """
        found = self._near(own)
        for question, asked in self._open(own):
            if asked.whole:
                classes = _floored(self._classes(own, question.path, asked))
                if FINDINGS in self.classifiers:
                    told = found if own.ref == basis.ref else self._near(basis)
                    others = self.classifiers[FINDINGS].weighed(self.findings(basis, told))
                    classes = {one: p * others[one] for one, p in classes.items()}
                found[question.path] = _floored(asked.chances(classes))
        return found

    def findings(
        self, basis: Bound, near: Mapping[str, Mapping[str, float]] | None = None
    ) -> dict[str, float]:
        """Return what `FINDINGS` is told of a report (`of_findings`): its statuses, closed ones too, and likeliest numbers."""
        near = self._near(basis) if near is None else near
        statuses: dict[str, Mapping[str, float]] = {}
        numbers: dict[str, float] = {}
        for question in basis.plan.questions:
            asked, options = self.asked[basis.ref].get(question.path), question.options
            if asked is None or asked.whole:
                continue
            chances = near.get(question.path) or ({options[0].label: 1.0} if len(options) == 1 else {})
            if asked.by != NUMBER:
                statuses[question.path] = chances
            elif chances:
                taken = max(options, key=lambda option: chances[option.label])
                if taken.stated:
                    numbers[question.path] = taken.value["value"]
        return of_findings(statuses, numbers)

    def _near(self, own: Bound) -> dict[str, dict[str, float]]:
        """Return the chances of what is told by the words around a term or a number."""
        found = {}
        for question, asked in self._open(own):
            if asked.by == NUMBER:
                found[question.path] = _floored(self._odds(own, question))
            elif not asked.whole:
                found[question.path] = _floored(asked.chances(self._classes(own, question.path, asked)))
        return found

    def _classes(self, own: Bound, path: str, asked: Asked) -> dict[str, float]:
        sentences = [own.plan.sentences[i].text for i in self._sources(own, path, asked)]
        features = asked.features(path, own.terms.get(path, ()), sentences)
        return self.classifiers[asked.by].chances(features)

    def _odds(self, own: Bound, question: Question) -> dict[str, float]:
        """Return the odds of each number that it is the field's, and 1 for that none is."""
        stated = [option for option in question.options if option.stated]
        numbers = [Quantity.model_validate(option.value) for option in stated]
        terms = own.terms.get(question.path, ())
        found = dict.fromkeys((option.label for option in question.options), 1.0)
        for i, option in enumerate(stated):
            features = of_number(question.path, terms, own.plan.report, numbers, i)
            chance = self.classifiers[NUMBER].chances(features)[RIGHT]
            found[option.label] = chance / max(1 - chance, FLOOR)
        return found

    def _evidence(self, own: Bound) -> dict[str, dict[str, int]]:
        found = {}
        for question, asked in self._open(own):
            proof = self.classifiers.get(PROOF[asked.whole])
            if proof is None or asked.by == NUMBER:
                continue
            path, sources = question.path, self._sources(own, question.path, asked)
            terms = own.terms.get(path, ())
            said = [asked.features(path, terms, [own.plan.sentences[i].text]) for i in sources]
            quoted = [proof.chances(features)[QUOTED] for features in said]
            each = [asked.chances(self.classifiers[asked.by].chances(features)) for features in said]
            found[path] = {
                label: sources[best([p * q[label] for p, q in zip(quoted, each, strict=True)])]
                for label in asked.labels
            }
        return found

    def _open(self, own: Bound) -> Iterator[tuple[Question, Asked]]:
        """Yield the questions that wording speaks of and that have more than one answer left."""
        for question in own.plan.questions:
            asked = self.asked.get(own.ref, {}).get(question.path)
            if asked is None or len(question.options) == 1:
                continue
            if asked.by == NUMBER or self._sources(own, question.path, asked):
                yield question, asked

    def _sources(self, own: Bound, path: str, asked: Asked) -> Sequence[int]:
        """Return which sentences count: all, or those that speak of the finding."""
        return range(len(own.plan.sentences)) if asked.whole else own.plan.spoken_of.get(path, ())


def _floored(chances: Mapping[str, float]) -> dict[str, float]:
    """Make chances add up to 1, with none far below `FLOOR`."""
    total = math.fsum(chances.values())
    raised = {label: max(FLOOR, chance / total) for label, chance in chances.items()}
    total = math.fsum(raised.values())
    return {label: chance / total for label, chance in raised.items()}
