"""Fit what `extractor.calibration` applies, on annotated reports that the model was not trained on.

    python -m training calibrate --model FOLDER --set cmr-calibration --schema cmr-report@1 --out ADAPTER

A kind of field gets a temperature, then a threshold. What both are worth is printed as it is on reports that they
were not fitted on: each report's answers are judged by a calibration fitted on the others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from eval.answers import Given
from eval.calibration import ERROR, calibration
from eval.cases import HARD
from eval.gold import AnnotatedSet, book, form, load
from eval.progress import shown
from eval.scoring import Scored, option_of
from extractor.calibration import FILE, UNHEARD, Calibration, Calibrations, Fit, Kind, kind
from extractor.calibration import load as load_calibrations
from extractor.engine import open_engine
from extractor.errors import ExtractorError
from extractor.form import Leaf, Members, Option
from extractor.options import engine_options, reading_options, site_schemas, vllm_says
from extractor.pipeline import Extractor, Job
from extractor.plan import bind
from extractor.report import Report
from extractor.result import Decode, FieldResult
from extractor.store.cache import sha256
from extractor.store.manifest import ADAPTER_WEIGHTS
from extractor.terminal import own_terminal
from extractor.wording import load as load_wording
from schemas.version import SchemaVersion
from training.fitting import Row, fit, held_out, shifted, shifts

_BATCH: Final = 8
_KEPT: Final = "coverage_at_2_percent_error"
_SHARES: Final = (0.25, 0.5, 0.75, 0.9, 1.0)


def answers(
    extractor: Extractor,
    annotated: AnnotatedSet,
    ref: str,
    decode: Decode = "choice",
    told: Callable[[int], None] = lambda _: None,
) -> Iterator[Row]:
    """Read a set and hold every answer that the model was asked for against gold. `told` hears of finished reports.

    Raises:
        InputError: the set holds a label that the schema does not have.
        ExtractorError: a report could not be read.
    """
    terms = book(ref).terms(form(ref))
    for start in range(0, len(annotated.cases), _BATCH):
        cases = annotated.cases[start : start + _BATCH]
        results = extractor.extract([Job(case.text, ref, decode, distribution=True) for case in cases])
        for case, result in zip(cases, results, strict=True):
            if isinstance(result, ExtractorError):
                raise result
            plan = bind(form(ref), Report.parse(case.text), terms)
            said = extractor.said(ref, plan, decode)
            options = {question.path: question.options for question in plan.questions}
            gold = annotated.gold(case, ref)
            for leaf in form(ref).leaves():
                field = result.fields.get(leaf.path)
                if field and field.status == "answered" and leaf.path in gold:
                    known = options.get(leaf.path, ())
                    shift = decode == "choice" and not (said and leaf.path in said.sure)
                    for row in _row(case.cluster, leaf, field, known, gold[leaf.path], shift=shift):
                        yield replace(row, doubted=leaf.path in plan.doubted, hard=HARD in case.tags)
        told(len(cases))


def _row(  # noqa: PLR0913
    report: str,
    leaf: Leaf | Members,
    field: FieldResult,
    options: Sequence[Option],
    gold: Any,
    *,
    shift: bool,
) -> Iterator[Row]:
    """Yield one answer's row; none for what has no kind, and for options of which a part of a report had only some.

    What is not `shift`ed has no labels: `grammar` decoding writes them by itself, and wording may be sure without the model.
    """
    own, chances = kind(leaf), field.distribution or {}
    if own == "list":
        yield Row(report, own, tuple(chances.values()), 0, int(set(field.value) != set(gold)))
    elif own and list(chances) == [option.label for option in options]:
        values = [option.value for option in options]
        labels = tuple(chances) if own == "finding" and shift else ()
        taken, right = values.index(field.value), option_of(values, gold)
        yield Row(report, own, tuple(chances.values()), taken, right, leaf.path, labels)


def table(rows: Sequence[Row], fits: Mapping[Kind, Fit]) -> str:
    """Say in Markdown what a calibration does, kind by kind: its figures, then its risk-coverage curve."""
    judged = list(held_out(rows))
    figures: list[tuple[str, ...]] = [
        ("kind", "answers", "wrong", "T", "threshold", "ECE", "Brier", "kept at 2 % error", "not for review")
    ]
    curves: list[tuple[str, ...]] = [
        ("share wrong among the surest", "", *(f"{share:.0%}" for share in _SHARES))
    ]
    for one, own in fits.items():
        before = _figures([row for row in rows if row.kind == one])
        after = _figures([row for row, _ in judged if row.kind == one]) or before  # in one report only
        passed = [row for row, review in judged if row.kind == one and not review]
        wrong = sum(row.taken != row.right for row in passed)
        limit = "none: all are for review" if own.threshold is None else f"{own.threshold:.3f}"
        figures.append(
            (
                one, f"{own.answers}", f"{_wrong(rows, one)} → {_wrong([row for row, _ in judged], one)}",
                f"{own.temperature:.2f}", limit,
                *(f"{before[name]:.3f} → {after[name]:.3f}" for name in ("ece", "brier")),
                f"{before[_KEPT]:.0%} → {after[_KEPT]:.0%}",
                f"{len(passed)}, {wrong} of them wrong",
            )
        )  # fmt: skip
        for name, found in (("before", before), ("after", after)):
            risks = [next(p["risk"] for p in found["risk_coverage"] if p["coverage"] >= s) for s in _SHARES]
            curves.append((one, name, *(f"{risk:.1%}" for risk in risks)))
    parts = [[part[0], tuple("---" for _ in part[0]), *part[1:]] for part in (figures, curves)]
    return "\n".join("".join(f"| {' | '.join(row)} |\n" for row in part) for part in parts)


def _wrong(rows: Sequence[Row], of: Kind) -> int:
    return sum(row.taken != row.right for row in rows if row.kind == of)


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the figures that an evaluation gives of probabilities (`eval.calibration`)."""
    scored = []
    for row in rows:
        chances = {str(i): p for i, p in enumerate(row.probabilities)}
        given = Given(value=str(row.taken), probability=row.chance, distribution=chances)
        scored.append(Scored(row.report, row.report, (), row.kind, "category", str(row.right), given))
    return calibration(scored) or {}


@click.command()
@click.option(
    "--set", "name", default="cmr-calibration", show_default=True, help="An annotated set's name or folder."
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where calibration.json goes: the adapter's folder, or the model's.",
)
@click.option(
    "--unheard",
    is_flag=True,
    help="Without the wording of OUT: for schemas that it does not speak of.",
)
@reading_options
@site_schemas
@engine_options
def calibrate(  # noqa: PLR0913  one parameter an option
    *,
    name: str,
    out: Path,
    unheard: bool,
    schema: SchemaVersion,
    decode: Decode,
    model: str | None,
    urls: tuple[str, ...],
    verbose: bool,
) -> None:
    """Fit shifts, temperatures and review thresholds for a schema, write them to OUT beside those of other schemas, and
    print what they are worth.

    The set must hold nothing that the model was trained on, nor what it will be tested on.
    """
    annotated = load(name, Path(".eval"))
    wording = None if unheard or decode == "grammar" else load_wording(out)
    vllm_says(verbose=verbose)
    with own_terminal(verbose=verbose) as (results, messages):
        engine = open_engine(model, urls)
        try:
            with shown(messages) as progress:
                progress.start(f"{engine.info.model}, {annotated.name}", len(annotated.cases), 0)
                extractor = Extractor(engine, wording=wording)
                rows = list(answers(extractor, annotated, schema.ref, decode, progress.advance))
                by = shifts(rows)
        finally:
            engine.close()
        found = Calibration(
            set=annotated.name,
            set_sha256=annotated.sha256,
            reports=len(annotated.cases),
            schema=schema.ref,
            prompt=book(schema.ref).ref,
            decode=decode,
            model=engine.info.model,
            weights_sha256=engine.info.weights_sha256,
            adapter_sha256=_adapter_sha256(out),
            wording=str(wording) if wording else None,
            made=datetime.now(UTC).date(),
            error=ERROR,
            kinds=fit(shifted(rows, by)),
            shifts=by.plain,
            doubts=by.doubts,
        )
        out.mkdir(parents=True, exist_ok=True)
        (out / FILE).write_text(_beside(out, found, UNHEARD if unheard else schema.ref).text(), "utf-8")
        click.echo(table(rows, found.kinds), nl=False, file=results)
        click.echo(f"\nWritten: {out / FILE}.", file=messages)


def _beside(folder: Path, new: Calibration, ref: str) -> Calibrations:
    """Return a folder's calibrations with this one: other schemas keep theirs if they are of the same weights and wording."""
    known = load_calibrations(folder) or Calibrations({})
    outdated = known.outdated(load_wording(folder))
    kept = {
        of: one for of, one in known.root.items() if _weights(one) == _weights(new) and of not in outdated
    }
    return Calibrations(kept | {ref: new})


def _weights(one: Calibration) -> tuple[str | None, str | None]:
    return one.weights_sha256, one.adapter_sha256


def _adapter_sha256(folder: Path) -> str | None:
    """The hash by which the model store knows an adapter."""
    weights = folder / ADAPTER_WEIGHTS
    return sha256(weights) if weights.is_file() else None
