"""Fit what `extractor.wording` applies, on the reports that the adapter learnt from.

    python -m training wording --out extractor/store/adapters/cmr-1.5b-6

Nothing is chosen here by how well it does: the settings stand below, and `docs/results.md` says on which sets they were tried.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from eval.gold import AnnotatedSet, book, form, load, under
from extractor.form import Leaf
from extractor.pipeline import find_schema
from extractor.plan import bind
from extractor.report import Report
from extractor.wording import FILE, REPORT, Linear, of_finding, of_report, save
from schemas.migrate import ways
from schemas.registry import BUILT_IN

WEIGHT: Final = 0.5
"""Half a voice: on texts unlike those it learnt from, wording is the poorer reader by far."""
DISEASES: Final = "cmr-diagnosis@3"
STATUSES: Final = "cmr-report@1"
STATUS: Final = "status"
_STATUS: Final = ("present", "absent", "uncertain", "not_stated")
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
    return Linear(
        tuple(found.classes_.tolist()),
        columns,
        found.coef_.T.astype(np.float32),
        found.intercept_.astype(np.float32),
    )


def diagnoses(annotated: AnnotatedSet) -> Iterator[tuple[set[str], str]]:
    """Yield what a report holds, and its diagnosis."""
    for case in annotated.cases:
        gold = annotated.gold(case, DISEASES)
        if "primary" in gold:
            yield of_report(case.text), gold["primary"]


def findings(annotated: AnnotatedSet) -> Iterator[tuple[str, set[str], str]]:
    """Yield the path of a finding that a report speaks of, what stands around its terms, and its label."""
    own = form(STATUSES)
    terms = book(STATUSES).terms(own)
    for case in annotated.cases:
        gold = annotated.gold(case, STATUSES)
        if not any(path.startswith("findings.") for path in gold):
            continue
        plan = bind(own, Report.parse(case.text), terms)
        for path in sorted(gold.keys() & plan.spoken_of.keys()):
            if path.startswith("findings.") and plan.spoken_of[path]:
                yield path, of_finding(plan, path, terms[path]), gold[path]


def asked(classifiers: Mapping[str, Linear]) -> dict[str, dict[str, Any]]:
    """Return, by released schema and path, which classifier speaks of a field, and the classes of each label."""
    found: dict[str, dict[str, Any]] = {}
    for version in BUILT_IN:
        ref, fields = version.ref, dict[str, Any]()
        for disease in classifiers[REPORT].classes:
            for path, label in under({"diagnosis": disease}, ref).items():
                of = fields.setdefault(path, {"by": REPORT, "labels": {}})
                of["labels"].setdefault(label, []).append(disease)
        if version.name == find_schema(STATUSES).name:
            down = ways(version, find_schema(STATUSES))
            for leaf in form(STATUSES).leaves():
                by = leaf.path if leaf.path in classifiers else STATUS
                if isinstance(leaf, Leaf) and leaf.kind == "category" and leaf.path.startswith("findings."):
                    labels = {label: [to] for label, to in down[leaf.path].labels.items()}
                    fields[down[leaf.path].path] = {"by": by, "labels": labels}
        found[ref] = fields
    return found


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
    features, right = zip(*diagnoses(annotated), strict=True)
    classifiers = {REPORT: fit(features, right, _LEAST_REPORTS, balanced=True)}
    _say(REPORT, classifiers[REPORT], len(right))
    rows = list(findings(annotated))
    own = {path for path, _, label in rows if label not in _STATUS}
    for by in (STATUS, *sorted(own)):
        mine = [row for row in rows if (row[0] if row[0] in own else STATUS) == by]
        near, labels = [row[1] for row in mine], [row[2] for row in mine]
        classifiers[by] = fit(near, labels, _LEAST_MENTIONS, balanced=False)
        _say(by, classifiers[by], len(mine))
    save(out, {"set": annotated.name, "weight": WEIGHT, "asked": asked(classifiers)}, classifiers)
    click.echo(f"Written: {out / FILE}.", err=True)


def _say(name: str, one: Linear, examples: int) -> None:
    click.echo(
        f"{name}: {examples} examples, {len(one.columns)} features, {len(one.classes)} classes", err=True
    )
