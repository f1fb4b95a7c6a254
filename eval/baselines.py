"""Systems without a language model, scored by the same code: what a model must beat to be worth its cost."""

import hashlib
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from eval.answers import Given
from eval.gold import AnnotatedSet, book, form
from eval.makers import reader
from eval.systems import Kinds, Outcome
from extractor.folding import fold, words
from extractor.form import Leaf, Members
from extractor.plan import Plan, bind
from extractor.report import Report
from extractor.terms import compiled, spoken
from extractor.wording import NUMBER, Bound, Wording
from schemas.fields import NOT_STATED


def _own_sha256() -> str:
    folder = Path(__file__).parent
    return hashlib.sha256(
        b"".join((folder / name).read_bytes() for name in ("baselines.py", "keywords.toml"))
    ).hexdigest()


class _Baseline:
    kind: ClassVar[Kinds] = "baseline"
    decode: str | None = None
    batch: ClassVar[int] = 64
    name = ""

    def __init__(self, schema: str, train: AnnotatedSet | None = None) -> None:
        self._schema = schema
        self._train = train

    @cached_property
    def _terms(self) -> Mapping[str, Sequence[str]]:
        return book(self._schema).terms(form(self._schema))

    @cached_property
    def maker(self) -> dict[str, Any]:
        trained = self._train.sha256 if self._train else None
        return reader(self._schema) | {"baseline": self.name, "own": _own_sha256(), "train": trained}

    def answer(self, texts: Sequence[str]) -> list[Outcome]:
        return [Outcome(self._answers(text)) for text in texts]

    def _answers(self, text: str) -> dict[str, Given]:
        raise NotImplementedError


class Learned(_Baseline):
    """A classifier for each category field, fitted on the training set. Lists and numbers are not attempted."""

    def __init__(self, schema: str, train: AnnotatedSet) -> None:
        super().__init__(schema, train)

    def _model(self) -> Any:
        raise NotImplementedError

    @cached_property
    def _fitted(self) -> dict[str, Any]:
        assert self._train is not None  # noqa: S101  by the constructor
        rows = [(case.text, self._train.gold(case, self._schema)) for case in self._train.cases]
        fitted = {}
        for leaf in form(self._schema).leaves():
            pairs = [(text, gold[leaf.path]) for text, gold in rows if leaf.path in gold]
            if isinstance(leaf, Leaf) and leaf.kind == "category" and pairs:
                labels = [label for _, label in pairs]
                model = self._model() if len(set(labels)) > 1 else DummyClassifier(strategy="prior")
                fitted[leaf.path] = model.fit([text for text, _ in pairs], labels)
        return fitted

    def _answers(self, text: str) -> dict[str, Given]:
        given = {}
        for path, model in self._fitted.items():
            chances = dict(zip(model.classes_.tolist(), model.predict_proba([text])[0].tolist(), strict=True))
            label = max(chances, key=lambda one: chances[one])
            given[path] = Given(value=label, probability=min(1.0, chances[label]), distribution=chances)
        return given


class Majority(Learned):
    """Always the commonest label of the training set."""

    name = "majority class"

    def _model(self) -> Any:
        return DummyClassifier(strategy="prior")


class TfIdf(Learned):
    """TF-IDF of words and pairs of words, and logistic regression with the classes weighted alike."""

    name = "TF-IDF + logistic regression"

    def _model(self) -> Any:
        return make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, strip_accents="unicode"),
            LogisticRegression(class_weight="balanced", max_iter=2000, random_state=0),
        )


class Keywords(_Baseline):
    """Words and negation, as rule-based readers have it; for a measurement, the first number the code offers for it
    in a sentence that holds one of its terms.

    A finding is spoken of where its prompt's terms stand. Each mention is denied, doubted or affirmed by the words
    around it, up to eight before and four behind, and no further than a "but" (after NegEx, Chapman et al. 2001).
    Of several mentions one that affirms wins.
    """

    name = "keyword rules"

    @cached_property
    def _words(self) -> dict[str, Any]:
        return tomllib.loads((Path(__file__).parent / "keywords.toml").read_text("utf-8"))

    def _answers(self, text: str) -> dict[str, Given]:
        plan = bind(form(self._schema), Report.parse(text), self._terms)
        given: dict[str, Given] = {}
        for leaf in form(self._schema).leaves():
            if isinstance(leaf, Members):
                continue
            labels = {option.label for option in leaf.options}
            if leaf.kind == "quantity":
                given[leaf.path] = self._number(plan, leaf.path)
            elif {"normal", "indeterminate"} <= labels:
                given[leaf.path] = Given(value=self._diagnosis(plan, labels))
            elif {"present", "absent", "uncertain"} <= labels:
                given[leaf.path] = self._finding(plan, leaf.path, labels)
        return given

    def _diagnosis(self, plan: Plan, labels: set[str]) -> str:
        """The disease with most affirmed mentions; none at all is `normal` where something is called so."""
        texts = [fold(sentence.text).lower for sentence in plan.sentences]
        hits = {
            label: sum(
                self._status(text, found.start(), found.end(), labels) != "absent"
                for text in texts
                for found in _pattern(tuple(terms)).finditer(text)
            )
            for label, terms in self._words["diagnosis"].items()
        }
        best = max(hits, key=lambda label: hits[label])
        if hits[best]:
            return best if best in labels else "other"
        return "normal" if any("normal" in text for text in texts) else "indeterminate"

    def _number(self, plan: Plan, path: str) -> Given:
        terms = compiled(((path, tuple(self._terms[path])),))
        for option in plan.supplied[path]:
            place = plan.sentence_of(option.value)
            if place and terms.mentioned(spoken(place.text)):
                return Given(value=option.value["value"])
        return Given(value=NOT_STATED)

    def _finding(self, plan: Plan, path: str, labels: set[str]) -> Given:
        terms = compiled(((path, tuple(self._terms[path])),))
        read = []
        for index in plan.spoken_of.get(path, ()):
            text = fold(plan.sentences[index].text).lower
            read += [(self._status(text, m.start, m.end, labels), index) for m in terms.find(text, [])]
        if not read:
            return Given(value=NOT_STATED)
        status, index = min(read, key=lambda pair: _ORDER.index(pair[0]))
        sentence = plan.sentences[index]
        return Given(value=status, evidence=(sentence.start, sentence.end))

    def _status(self, text: str, start: int, end: int, labels: Collection[str]) -> str:
        """What the words around a mention make of it."""
        before = " ".join(_BUT.split(text[:start])[-1].split()[-8:])
        around = f"{before} {' '.join(_BUT.split(text[end:])[0].split()[:4])}"
        if _pattern(tuple(self._words["denial"])).search(around):
            return "absent"
        if _pattern(tuple(self._words["doubt"])).search(around):
            return "uncertain"
        degrees: Mapping[str, Sequence[str]] = self._words["degrees"]
        found = (one for one in _ORDER[:3] if _pattern(tuple(degrees[one])).search(around))
        return next((one for one in found if one in labels), "present")


class Words(_Baseline):
    """The second reader of the default model (`extractor.wording`), alone."""

    name = "wording alone"

    def __init__(self, schema: str, wording: Wording) -> None:
        super().__init__(schema)
        self._wording = wording

    @cached_property
    def maker(self) -> dict[str, Any]:
        return super().maker | {"wording": str(self._wording)}

    @cached_property
    def _terms_of(self) -> Mapping[str, Mapping[str, Sequence[str]]]:
        return {ref: book(ref).terms(form(ref)) for ref in (self._schema, self._wording.basis)}

    def _answers(self, text: str) -> dict[str, Given]:
        report = Report.parse(text)
        own, basis = (
            Bound(ref, bind(form(ref), report, self._terms_of[ref]), self._terms_of[ref])
            for ref in (self._schema, self._wording.basis)
        )
        read, asked = self._wording.chances(own, basis), self._wording.asked.get(self._schema, {})
        given = {}
        for question in own.plan.questions:
            if chances := read.get(question.path):
                label, chance = max(chances.items(), key=lambda pair: pair[1])
                value = next(option.value for option in question.options if option.label == label)
                if isinstance(value, dict):
                    value = value["value"]
                # A number's options are pieces of the report.
                known = None if asked[question.path].by == NUMBER else chances
                given[question.path] = Given(value=value, probability=chance, distribution=known)
            elif question.path in asked and len(question.options) == 1:
                given[question.path] = Given(value=question.options[0].label, status="forced")
        return given


_ORDER = ("severe", "moderate", "mild", "present", "uncertain", "absent")
_BUT = re.compile(r"[;:]|\b(?:but|however|although|with|aber|jedoch|mit|pero|con|aunque)\b")


@cache
def _pattern(terms: tuple[str, ...]) -> re.Pattern[str]:
    return words("|".join(re.escape(fold(term).lower).replace(r"\*", r"\w*") for term in terms))
