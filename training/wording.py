"""Fit what `extractor.wording` applies, on the reports that the adapter learnt from.

    python -m training wording --out extractor/store/adapters/cmr-1.5b-6

Nothing is chosen here by how well it does: the settings stand below, and `docs/results.md` says on which sets they were tried.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from eval.gold import AnnotatedSet, book, form, load, under
from eval.scoring import quoted
from extractor.form import Leaf
from extractor.pipeline import find_schema
from extractor.plan import bind
from extractor.report import Report
from extractor.wording import FILE, PROOF, QUOTED, REPORT, Linear, of_finding, of_report, save
from schemas.fields import NOT_STATED
from schemas.migrate import ways
from schemas.registry import BUILT_IN
from schemas.version import SchemaVersion

WEIGHT: Final = 0.5
"""Half a voice: on texts unlike those it learnt from, wording is the poorer reader by far."""
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
    found = LogisticRegression(C=_STRENGTH, max_iter=200, class_weight="balanced" if balanced else None)
    found.fit(rows, right)
    columns = {name: i for i, name in enumerate(counts.get_feature_names_out().tolist())}
    weights, bias = found.coef_, found.intercept_
    if len(found.classes_) == 2:  # scikit-learn has one row for two classes: the second's, over the first
        weights, bias = np.vstack([0 * weights, weights]), np.append(0 * bias, bias)
    return Linear(
        tuple(found.classes_.tolist()), columns, weights.T.astype(np.float32), bias.astype(np.float32)
    )


def examples(annotated: AnnotatedSet) -> Iterator[tuple[str, set[str], str]]:
    """Yield a classifier's name, what it counts in a report or in a sentence of it, and what is right.

    Of the sentences that speak of a stated field those teach what is quoted that stand beside others, some of them quoted.
    """
    for case in annotated.cases:
        plan = bind(form(STATUSES), Report.parse(case.text), _terms())
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


@cache
def _terms() -> Mapping[str, tuple[str, ...]]:
    return book(STATUSES).terms(form(STATUSES))


def _by(path: str) -> str:
    """One classifier for the statuses of all findings; a pattern has its own."""
    leaf = next(leaf for leaf in form(STATUSES).leaves() if leaf.path == path)
    statuses = isinstance(leaf, Leaf) and {"present", "absent"} <= {option.label for option in leaf.options}
    return STATUS if statuses else path


def asked(classifiers: Mapping[str, Linear]) -> dict[str, dict[str, Any]]:
    """Return, by released schema and path, which classifier speaks of a field, and the classes of each label."""
    found = {}
    for version in BUILT_IN:
        fields = _diagnosis(version.ref, classifiers) | _findings(version, classifiers)
        for leaf in form(version.ref).leaves():
            if isinstance(leaf, Leaf) and leaf.path in fields:  # what no report is labelled with
                for option in leaf.options:
                    fields[leaf.path]["labels"].setdefault(option.label, [])
        found[version.ref] = fields
    return found


def _diagnosis(ref: str, classifiers: Mapping[str, Linear]) -> dict[str, dict[str, Any]]:
    fields: dict[str, dict[str, Any]] = {}
    for disease in _classes(classifiers, REPORT):
        for path, label in under({"diagnosis": disease}, ref).items():
            labels = fields.setdefault(path, {"by": REPORT, "labels": {}})["labels"]
            labels.setdefault(label, []).append(disease)
    return fields


def _findings(version: SchemaVersion, classifiers: Mapping[str, Linear]) -> dict[str, dict[str, Any]]:
    if version.name != find_schema(STATUSES).name:
        return {}
    fields = {}
    for path, way in ways(version, find_schema(STATUSES)).items():
        if path.startswith("findings."):
            known = _classes(classifiers, _by(path))
            labels = {label: [to] for label, to in way.labels.items() if to in known}
            if labels:
                fields[way.path] = {"by": _by(path), "labels": labels}
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
    classifiers = {}
    for by in dict.fromkeys(by for by, _, _ in rows):
        features, right = zip(*((one, label) for of, one, label in rows if of == by), strict=True)
        if len(set(right)) < 2:
            click.echo(f"{by}: every example is the same, so there is nothing to learn", err=True)
            continue
        whole = by in (REPORT, PROOF[True])
        least = _LEAST_REPORTS if whole else _LEAST_MENTIONS
        classifiers[by] = one = fit(features, right, least, balanced=by == REPORT)
        said = f"{len(right)} examples, {len(one.columns)} features, {len(one.classes)} classes"
        click.echo(f"{by}: {said}", err=True)
    save(out, {"set": annotated.name, "weight": WEIGHT, "asked": asked(classifiers)}, classifiers)
    click.echo(f"Written: {out / FILE}.", err=True)
