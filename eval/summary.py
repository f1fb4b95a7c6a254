"""One run's figures, as JSON data: the same for a model, a baseline and a human reader."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from statistics import fmean, median
from typing import Any

from eval.answers import FAILED, Record, Run
from eval.calibration import calibration, judged
from eval.gold import AnnotatedSet, form
from eval.metrics import classification, lists, share
from eval.scoring import RESULTS, Result, Scored, score
from extractor.form import Leaf
from schemas.fields import NOT_STATED

_STATED_WRONG: Sequence[Result] = (
    "invented",
    "wrong_study",
    "wrong_ventricle",
    "unit_error",
    "wrong_field",
    "unstated",
    "other_number",
)


def headline(ref: str) -> str:
    """The schema's first category, which is its diagnosis: what reports are compared by."""
    leaves = form(ref).leaves()
    return next((leaf.path for leaf in leaves if isinstance(leaf, Leaf) and leaf.kind == "category"), "")


def summarise(run: Run, annotated: AnnotatedSet) -> dict[str, Any]:
    """Compute every figure of a run on its set."""
    ref = run.about.schema_ref
    rows = score(run, annotated)
    texts = {case.id: case.text for case in annotated.cases}
    records = run.of(texts)
    main = [row for row in rows if row.path == headline(ref)]
    cited = [row for row in rows if row.cited is not None]
    return {
        "run": run.folder.name,
        "about": run.about.model_dump(exclude={"folder"}),
        "set_sha256": annotated.sha256,
        "reports": len(records),
        "reports_in_set": len(texts),
        "failed": dict(Counter(record.error for record in records.values() if record.error)),
        "headline": headline(ref),
        "diagnosis": classification(main, ref) if main else None,
        "groups": groups(rows),
        "pooled": pooled(rows, ref),
        "fields": fields(rows, ref),
        "measurements": measurements(rows),
        "evidence": share(cited, [bool(row.cited) for row in cited]),
        "calibration": {
            "diagnosis": calibration(main),
            "categories": calibration([row for row in rows if row.kind == "category"]),
        },
        "strata": strata(rows, ref),
        "repeatability": repeatability(run, texts),
        "speed": speed(list(records.values())),
    }


def groups(rows: Sequence[Scored]) -> dict[str, Any]:
    """The share right of each part of the schema (`findings`, `previous` …), its categories, lists and numbers apart.

    Most fields of most reports are not stated: so each part also comes with the share of what is.
    """

    def part(row: Scored) -> str:
        return f"{row.path.partition('.')[0]} {'' if row.kind == 'category' else row.kind}".strip()

    found: dict[str, Any] = {}
    ordered = sorted((row for row in rows if "." in row.path), key=part)
    for name, own in ((name, list(grouped)) for name, grouped in groupby(ordered, key=part)):
        found[name] = share(own)
        found[f"{name}, stated"] = share([row for row in own if row.gold not in (NOT_STATED, [])])
    return found


def pooled(rows: Sequence[Scored], ref: str) -> dict[str, Any]:
    """Fields that share their labels, taken together: what a `Finding`'s `uncertain` is read as, whatever the finding."""
    fields_of: dict[str, set[str]] = {}
    for leaf in form(ref).leaves():
        if isinstance(leaf, Leaf) and leaf.kind == "category" and leaf.labels_of:
            fields_of.setdefault(leaf.labels_of, set()).add(leaf.path)
    several = {name: [row for row in rows if row.path in paths] for name, paths in fields_of.items()}
    return {
        name: classification(own, ref) for name, own in several.items() if len({row.path for row in own}) > 1
    }


def fields(rows: Sequence[Scored], ref: str) -> dict[str, Any]:
    """Each field's own figures, in the schema's order."""
    found: dict[str, Any] = {}
    for leaf in form(ref).leaves():
        own = [row for row in rows if row.path == leaf.path]
        if not own:
            continue
        base = {"kind": own[0].kind, "n": len(own), "right": share(own)}
        found[leaf.path] = base | (_field(own, ref) or {})
    return found


def _field(own: Sequence[Scored], ref: str) -> dict[str, Any] | None:
    match own[0].kind:
        case "category":
            return classification(own, ref) | {"calibration": calibration(own)}
        case "list":
            return lists(own)
        case "quantity":
            return measurements(own)


def measurements(rows: Sequence[Scored]) -> dict[str, Any] | None:
    """What became of the numbers, by `RESULTS`: `stated` is the share exact of those that the report states."""
    numbers = [row for row in rows if row.kind == "quantity"]
    if not numbers:
        return None
    stated = [row for row in numbers if row.gold != NOT_STATED]
    silent = [row for row in numbers if row.gold == NOT_STATED]
    counts = Counter(row.result for row in numbers)
    return {
        "stated": share(stated),
        "left_out": share(silent),
        "results": {name: counts[name] for name in RESULTS},
        "wrong_numbers": sum(counts[name] for name in _STATED_WRONG),
        "reports_wholly_right": share(_by_report(numbers)),
    }


def _by_report(rows: Sequence[Scored]) -> list[Scored]:
    """One row a report: its first wrong one, or its first."""
    ordered = sorted(rows, key=lambda row: row.case)
    return [
        min(own, key=lambda row: row.right)
        for own in (list(found) for _, found in groupby(ordered, key=lambda row: row.case))
    ]


def strata(rows: Sequence[Scored], ref: str) -> dict[str, dict[str, Any]]:
    """Diagnosis, findings and stated measurements by language, style and length."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in sorted({pair for row in rows for pair in row.strata}):
        own = [row for row in rows if (name, value) in row.strata]
        found.setdefault(name, {})[value] = {
            "reports": len({row.case for row in own}),
            "diagnosis": share([row for row in own if row.path == headline(ref)]),
            "categories": share([row for row in own if row.kind == "category"]),
            "measurements": share([r for r in own if r.kind == "quantity" and r.gold != NOT_STATED]),
        }
    return found


def repeatability(run: Run, texts: dict[str, str]) -> dict[str, Any] | None:
    """How many answers changed when the same reports were read again in other company; None if they were not."""
    first = run.of(texts)
    changed, compared, moved, times = 0, 0, 0.0, 0
    while again := run.of(texts, times + 1):
        times += 1
        for id_, record in again.items():
            before = first[id_].answers
            for path, given in record.answers.items():
                compared += 1
                changed += path not in before or before[path].value != given.value
                if path in before:
                    moved = max(moved, abs((before[path].probability or 0) - (given.probability or 0)))
    return (
        {"times": times, "answers": compared, "changed": changed, "largest_change_of_probability": moved}
        if times
        else None
    )


def speed(records: Sequence[Record]) -> dict[str, Any] | None:
    """Seconds and tokens a report, read in batches."""
    timed = [record for record in records if record.seconds is not None]
    if not timed:
        return None
    return {
        "seconds_mean": fmean(record.seconds or 0 for record in timed),
        "seconds_median": median(record.seconds or 0 for record in timed),
        "tokens_computed": fmean(r.prompt_tokens - r.cached_tokens for r in timed),
        "tokens_cached": fmean(r.cached_tokens for r in timed),
        "tokens_written": fmean(r.output_tokens for r in timed),
    }


def worst(rows: Sequence[Scored], count: int = 20) -> list[Scored]:
    """The mistakes that the system was surest of; the diagnosis first where nothing tells them apart."""
    wrong = [row for row in rows if not row.right and row.given.value != FAILED]
    sure = {id(row): row.given.probability for row in judged(wrong)}
    return sorted(wrong, key=lambda row: (-(sure.get(id(row)) or 0), "." in row.path, row.case))[:count]
