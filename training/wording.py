"""Fit what `extractor.wording` applies, on the set that adapters learn from.

    python -m training wording --out extractor/store/adapters/cmr-1.5b-6

Nothing is chosen here by how well it does: the settings stand below, and `docs/results.md` says on which sets they were tried.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from eval.cases import Case
from eval.gold import AnnotatedSet, book, form, load, under
from eval.scoring import option_of, quoted
from extractor.form import Leaf
from extractor.pipeline import find_schema
from extractor.plan import Plan, bind
from extractor.report import Report
from extractor.wording import (
    FILE,
    FINDINGS,
    NUMBER,
    PROOF,
    QUOTED,
    REPORT,
    RIGHT,
    Asked,
    Bound,
    Linear,
    Wording,
    of_finding,
    of_number,
    of_report,
    save,
)
from schemas.fields import NOT_STATED, Quantity
from schemas.migrate import ways
from schemas.registry import BUILT_IN
from schemas.version import SchemaVersion

WEIGHTS: Final = {REPORT: 0.5, NUMBER: 0.5}
"""Half a voice for the diagnosis: on texts unlike those it learnt from, wording is the poorer reader of it by far. It has half
of one in numbers as well, and a whole one in all else.
"""
DISEASES: Final = "cmr-diagnosis@3"
STATUSES: Final = "cmr-report@1"
STATUS: Final = "status"
_LEAST_REPORTS: Final = 10  # that hold a feature of a whole report
_LEAST_MENTIONS: Final = 3
_STRENGTH: Final = 30.0  # C: the inverse of L2 regularisation


def fit(features: Sequence[set[str]], right: Sequence[str], least: int, *, balanced: bool) -> Linear:
    """Fit a classifier on what at least `least` examples hold; `balanced` gives every class the same say."""
    counts = CountVectorizer(analyzer=sorted, binary=True, min_df=least, dtype=np.float32)
    rows = normalize(counts.fit_transform(features))
    found = LogisticRegression(C=_STRENGTH, max_iter=500, class_weight="balanced" if balanced else None)
    return _linear(found.fit(rows, right), counts.get_feature_names_out().tolist())


def fit_weighed(values: Sequence[Mapping[str, float]], right: Sequence[str]) -> Linear:
    """Fit a classifier on features that have values."""
    rows = DictVectorizer(dtype=np.float32)
    found = LogisticRegression(max_iter=1000).fit(rows.fit_transform(values), right)
    return _linear(found, rows.get_feature_names_out().tolist())


def _linear(found: LogisticRegression, names: Sequence[str]) -> Linear:
    weights, bias = found.coef_, found.intercept_
    if len(found.classes_) == 2:  # scikit-learn has one row for two classes: the second's, over the first
        weights, bias = np.vstack([0 * weights, weights]), np.append(0 * bias, bias)
    columns = {name: i for i, name in enumerate(names)}
    return Linear(
        tuple(found.classes_.tolist()), columns, weights.T.astype(np.float32), bias.astype(np.float32)
    )


def examples(annotated: AnnotatedSet) -> Iterator[tuple[str, set[str], str]]:
    """Yield a classifier's name, what it counts in a report, in a sentence of it or around a number, and what is right.

    Of the sentences that speak of a stated field those teach what is quoted that stand beside others, some of them quoted.
    """
    for case in annotated.cases:
        plan = _plan(case)
        gold, disease = annotated.gold(case, STATUSES), annotated.gold(case, DISEASES).get("primary")
        spoken = [path for path in gold if path.startswith("findings.") and plan.spoken_of.get(path)]
        if disease:
            yield REPORT, of_report(case.text), disease
        for path in spoken:
            texts = [plan.sentences[i].text for i in plan.spoken_of[path]]
            yield _by(path), of_finding(path, _terms()[path], texts), gold[path]
        for path in (*spoken, *[REPORT] * bool(disease)):
            whole = path == REPORT
            sentences = plan.sentences if whole else [plan.sentences[i] for i in plan.spoken_of[path]]
            right = [quoted(case, path, (one.start, one.end)) for one in sentences]
            if gold[path] == NOT_STATED or len(right) < 2 or not any(right):
                continue
            for one, is_right in zip(sentences, right, strict=True):
                near = of_report(one.text) if whole else of_finding(path, _terms()[path], [one.text])
                yield PROOF[whole], near, QUOTED if is_right else "passed over"
        yield from _numbers(plan, gold)


def _numbers(plan: Plan, gold: Mapping[str, Any]) -> Iterator[tuple[str, set[str], str]]:
    for question in plan.questions:
        if question.path not in gold or not (isinstance(question.leaf, Leaf) and question.leaf.measure):
            continue
        stated = [option.value for option in question.options if option.stated]
        numbers = [Quantity.model_validate(value) for value in stated]
        right = option_of(stated, gold[question.path])
        for i in range(len(numbers)):
            around = of_number(question.path, _terms()[question.path], plan.report, numbers, i)
            yield NUMBER, around, RIGHT if i == right else "another"


def told(annotated: AnnotatedSet, wording: Wording) -> Iterator[tuple[dict[str, float], str]]:
    """Yield what `FINDINGS` is told of a report, and what is right.

    The wording reads statuses that it was fitted on a little too well; that it would have read them otherwise makes no difference
    to what is learnt here (`docs/results.md`).
    """
    for case in annotated.cases:
        if disease := annotated.gold(case, DISEASES).get("primary"):
            yield wording.findings(Bound(STATUSES, _plan(case), _terms())), disease


def _plan(case: Case) -> Plan:
    return bind(form(STATUSES), Report.parse(case.text), _terms())


@cache
def _terms() -> Mapping[str, tuple[str, ...]]:
    return book(STATUSES).terms(form(STATUSES))


def _by(path: str) -> str:
    """One classifier for the statuses of all findings; a pattern has its own."""
    leaf = next(leaf for leaf in form(STATUSES).leaves() if leaf.path == path)
    statuses = isinstance(leaf, Leaf) and {"present", "absent"} <= {option.label for option in leaf.options}
    return STATUS if statuses else path


def asked(classifiers: Mapping[str, Linear]) -> dict[str, dict[str, Asked]]:
    """Return, by released schema and path, which classifier speaks of a field, and the classes of each label."""
    found = {}
    for version in BUILT_IN:
        fields = _diagnosis(version.ref, classifiers) | _of_report(version, classifiers)
        for leaf in form(version.ref).leaves():
            one = fields.get(leaf.path)
            if isinstance(leaf, Leaf) and one and one.by != NUMBER:
                unlabelled = {option.label: () for option in leaf.options}  # what no report is labelled with
                fields[leaf.path] = Asked(one.by, unlabelled | dict(one.labels))
        found[version.ref] = fields
    return found


def _diagnosis(ref: str, classifiers: Mapping[str, Linear]) -> dict[str, Asked]:
    fields: dict[str, dict[str, list[str]]] = {}
    for disease in _classes(classifiers, REPORT):
        for path, label in under({"diagnosis": disease}, ref).items():
            fields.setdefault(path, {}).setdefault(label, []).append(disease)
    return {path: Asked(REPORT, labels) for path, labels in fields.items()}


def _of_report(version: SchemaVersion, classifiers: Mapping[str, Linear]) -> dict[str, Asked]:
    """Findings, and numbers, whose options are the report's own."""
    if version.name != find_schema(STATUSES).name:
        return {}
    fields = {}
    measured = {leaf.path for leaf in form(STATUSES).leaves() if isinstance(leaf, Leaf) and leaf.measure}
    for path, way in ways(version, find_schema(STATUSES)).items():
        if path.startswith("findings."):
            known = _classes(classifiers, _by(path))
            labels = {label: [to] for label, to in way.labels.items() if to in known}
            if labels:
                fields[way.path] = Asked(_by(path), labels)
        elif path in measured and NUMBER in classifiers:
            fields[way.path] = Asked(NUMBER, {})
    return fields


def _classes(classifiers: Mapping[str, Linear], name: str) -> Sequence[str]:
    return classifiers[name].classes if name in classifiers else ()


@click.command()
@click.option(
    "--set", "name", default="cmr-train", show_default=True, help="The annotated set to learn from."
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where wording.npz goes: the adapter's folder, or the model's.",
)
def wording(*, name: str, out: Path) -> None:
    """Fit the second reader, which counts words, and write it to OUT. Calibrate after it: it changes probabilities."""
    annotated = load(name, Path(".eval"))
    click.echo(f"{annotated.name}: {len(annotated.cases)} reports", err=True)
    rows = list(examples(annotated))
    classifiers: dict[str, Linear] = {}

    def learn(by: str, features: Sequence[Any], right: Sequence[str], fitted: Callable[..., Linear]) -> None:
        if len(set(right)) < 2:
            click.echo(f"{by}: every example is the same, so there is nothing to learn", err=True)
            return
        classifiers[by] = one = fitted(features, right)
        said = f"{len(right)} examples, {len(one.columns)} features, {len(one.classes)} classes"
        click.echo(f"{by}: {said}", err=True)

    for by in dict.fromkeys(by for by, _, _ in rows):
        features, right = zip(*((one, label) for of, one, label in rows if of == by), strict=True)
        least = _LEAST_REPORTS if by in (REPORT, PROOF[True]) else _LEAST_MENTIONS
        learn(by, features, right, partial(fit, least=least, balanced=by == REPORT))
    weights = {by: WEIGHTS.get(by, 1.0) for by in classifiers}
    found = Wording(annotated.name, weights, STATUSES, classifiers, asked(classifiers))
    if REPORT in classifiers:
        values, right = zip(*told(annotated, found), strict=True)
        learn(FINDINGS, values, right, fit_weighed)
    save(out, found)
    click.echo(f"Written: {out / FILE}.", err=True)
