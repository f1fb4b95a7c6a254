"""The main path: report in, `Extraction` out, many reports at a time on one engine.

text ─ Report ─ bind ─ Plan ─ Layout.open ─ EXECUTORS[decode] ─ merge ─ weigh ─ Plan.assemble ─ Extraction
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

import extractor
from extractor.calibration import Calibration, Calibrations, added, find_calibrations
from extractor.compile import compile_form
from extractor.cutoffs import Cutoff, weigh
from extractor.decode import EXECUTORS, Reading
from extractor.engine import open_engine
from extractor.engine.base import Engine, EngineInfo
from extractor.errors import ExtractorError, NotFoundError, SchemaError
from extractor.form import NO, Form
from extractor.grammar import compile_grammar
from extractor.merge import merge
from extractor.plan import Answer, Plan, bind
from extractor.prompt import Layout, PromptBook, parts, report_lines
from extractor.report import Report, Sentence
from extractor.result import Decode, Extraction, FieldResult, Provenance, Usage
from extractor.wording import Bound, Said, Wording, find_wording
from schemas import registry
from schemas.fields import Evidence
from schemas.version import SchemaVersion


@dataclass(frozen=True)
class Job:
    """One report to read, under a released schema's reference or any Pydantic model. `repr` never shows the text."""

    text: str
    schema: str | type[BaseModel] = "cmr-report@1"
    decode: Decode = "choice"
    distribution: bool = False
    id: str | None = None

    def __repr__(self) -> str:
        return f"Job(id={self.id!r}, schema={self.schema!r}, decode={self.decode!r}, {len(self.text)} characters)"


@dataclass(frozen=True)
class _Schema:
    """A schema made ready: its questions, its reference, and how it is asked."""

    form: Form
    ref: str
    book: PromptBook
    terms: Mapping[str, tuple[str, ...]]
    cutoffs: Mapping[str, tuple[Cutoff, ...]]

    @classmethod
    def load(cls, schema: str | type[BaseModel]) -> "_Schema":
        if isinstance(schema, str):
            released = find_schema(schema)
            form, ref = compile_form(released.model), released.ref
            book = PromptBook.load(ref, released.prompts)
        else:
            form, ref = compile_form(schema), schema.__name__
            book = PromptBook.load(ref)
        return cls(form, ref, book, book.terms(form), book.cutoffs(form))


@dataclass(frozen=True)
class _Task:
    """A job whose text and schema are known to be good."""

    job: Job
    form: Form
    ref: str
    layout: Layout
    plans: tuple[Plan, ...]


def find_schema(ref: str) -> SchemaVersion:
    """Return the schema version that `ref` names; the error lists the known ones and not `ref`."""
    try:
        return registry.get(ref)
    except registry.UnknownSchema as error:
        known = ", ".join(error.known)
        raise NotFoundError(
            "No schema has that name and version.",
            code="schema_unknown",
            field="schema",
            fix=f"Use one of: {known}.",
        ) from None


def open_extractor(model: str | None = None, urls: Sequence[str] = ()) -> "Extractor":
    """Open an engine (`extractor.engine.open_engine`) and put an `Extractor` with its wording and calibrations on it."""
    wording = find_wording(model)
    calibrations = find_calibrations(model, wording)
    return Extractor(open_engine(model, urls), calibrations, wording)


class Extractor:
    """Turns reports into validated categories with one engine. Not thread-safe: one caller at a time.

    Without calibrations probabilities are the model's own, and `review` is None.
    """

    def __init__(
        self, engine: Engine, calibrations: Calibrations | None = None, wording: Wording | None = None
    ) -> None:
        self.engine = engine
        self.calibrations = calibrations
        self.wording = wording
        self._schemas: dict[str | type[BaseModel], _Schema] = {}
        self._layouts: dict[tuple[str | type[BaseModel], Decode], Layout] = {}

    @property
    def info(self) -> EngineInfo:
        return self.engine.info

    def calibration(self, schema: str, decode: Decode) -> Calibration | None:
        """Return what a schema's answers are calibrated by, if anything is."""
        heard = self.wording is None or self.heard(schema, decode) is not None
        return self.calibrations.of(schema, decode, heard=heard) if self.calibrations else None

    def heard(self, schema: str, decode: Decode) -> Wording | None:
        """Return the wording that has a say under a schema: of those that it speaks of, and only by `choice`."""
        known = self.wording is not None and schema in self.wording.asked
        return self.wording if known and decode == "choice" else None

    def said(self, schema: str, plan: Plan, decode: Decode) -> Said | None:
        """Return what the wording says of a plan of a released schema, if it is heard."""
        heard = self.heard(schema, decode)
        if heard is None:
            return None
        known, basis = self._schema(schema), self._schema(heard.basis)
        own = Bound(schema, plan, known.terms)
        if schema == heard.basis:
            return heard.says(own, own)
        below = bind(basis.form, plan.report, basis.terms, plan.sentences)
        return heard.says(own, Bound(heard.basis, below, basis.terms))

    def _reading(self, task: _Task, plan: Plan) -> Reading:
        """Open a plan, with what wording and calibration say of the labels of this very schema."""
        found = self.calibration(task.ref, task.job.decode)
        reading = Reading(plan, task.layout, task.layout.open(plan))
        if found and found.schema_ == task.ref:
            reading.shifts = found.shifts_of(plan.doubted)
        if said := self.said(task.ref, plan, task.job.decode):
            own = {path: added(shift, reading.shifts.get(path, {})) for path, shift in said.shifts.items()}
            reading.shifts = {**reading.shifts, **own}
            reading.sure, reading.shown = said.sure, said.evidence
        return reading

    def prepare(self, schema: str | type[BaseModel], decode: Decode = "choice") -> None:
        """Compile the schema's plan and put its instructions into the engine's prefix cache.

        Raises:
            NotFoundError: no such schema or version.
            SchemaError: the model cannot become closed questions, or leaves no room for a report.
            EngineError: the engine could not answer.
        """
        (outcome,) = self.extract([Job("No findings.", schema, decode)])
        if isinstance(outcome, ExtractorError):
            raise outcome

    def extract(self, jobs: Sequence[Job]) -> list[Extraction | ExtractorError]:
        """Answer every job in order; a job that failed is an error in its own place, the others still answer."""
        tasks: dict[int, _Task] = {}
        results: dict[int, Extraction | ExtractorError] = {}
        for index, job in enumerate(jobs):
            try:
                tasks[index] = self._task(job)
            except ExtractorError as error:
                results[index] = error
        for decode in EXECUTORS:
            results |= self._run(decode, {i: task for i, task in tasks.items() if task.job.decode == decode})
        return [results[index] for index in range(len(jobs))]

    def _schema(self, schema: str | type[BaseModel]) -> "_Schema":
        if schema not in self._schemas:
            self._schemas[schema] = _Schema.load(schema)
        return self._schemas[schema]

    def _layout(self, schema: str | type[BaseModel], decode: Decode) -> Layout:
        if (schema, decode) not in self._layouts:
            known = self._schema(schema)
            self._layouts[schema, decode] = Layout(self.engine, known.form, known.book, decode)
        return self._layouts[schema, decode]

    def _task(self, job: Job) -> _Task:
        report = Report.parse(job.text)
        schema = self._schema(job.schema)
        layout = self._layout(job.schema, job.decode)
        whole = bind(schema.form, report, schema.terms)
        pieces = self._parts(whole, layout)
        several = len(pieces) > 1
        plans = (
            tuple(bind(schema.form, report, schema.terms, piece) for piece in pieces) if several else (whole,)
        )
        return _Task(job, schema.form, schema.ref, layout, plans)

    def _parts(self, whole: Plan, layout: Layout) -> list[tuple[Sentence, ...]]:
        """All sentences where they fit the context beside the longest possible output, else parts that do."""
        sentences = whole.sentences
        reserve = compile_grammar(whole).longest if layout.decode == "grammar" else 0
        room = self.info.context_length - len(layout.prefix) - reserve - layout.margin
        if room < layout.margin:
            raise SchemaError(
                f"instructions and output leave {max(room, 0)} of {self.info.context_length} tokens for a report",
                code="schema_too_large",
                field=str(layout.form.model.__name__),
                fix="Split the schema, or use a longer context.",
            )
        if len(self.engine.encode(report_lines(sentences))) <= room:
            return [sentences]
        return list(parts(sentences, layout.cost(sentences), room))

    def _run(self, decode: Decode, tasks: Mapping[int, _Task]) -> dict[int, Extraction | ExtractorError]:
        """Read all tasks in one batch; where one report's text breaks the batch, the others are read without it."""
        readings = {
            index: [self._reading(task, plan) for plan in task.plans] for index, task in tasks.items()
        }
        try:
            EXECUTORS[decode](self.engine, [reading for several in readings.values() for reading in several])
        except ExtractorError as error:
            if len(tasks) == 1 or error.code not in {"decode_failed", "engine_refused"}:
                return dict.fromkeys(tasks, error)
            alone = [self._run(decode, {index: task}) for index, task in tasks.items()]
            return {index: result for one in alone for index, result in one.items()}
        return {index: self._result(task, readings[index]) for index, task in tasks.items()}

    def _result(self, task: _Task, readings: Sequence[Reading]) -> Extraction | ExtractorError:
        answers, cited = merge(readings)
        evidence: dict[str, Evidence | None] = dict(cited)
        weighed = weigh(answers, self._schema(task.job.schema).cutoffs)
        for path, (answer, number) in weighed.items():
            if answer.option != answers[path].option:
                evidence[path] = task.plans[0].sentence_of(number) if answer.option.stated else None
        answers = dict(answers) | {path: answer for path, (answer, _) in weighed.items()}
        try:
            data = task.plans[0].assemble(answers)
        except ExtractorError as error:
            return error
        info, calibration = self.info, self.calibration(task.ref, task.job.decode)
        wording = self.heard(task.ref, task.job.decode)
        return Extraction(
            id=task.job.id,
            schema=task.ref,
            data=data,
            fields=dict(field_results(task, answers, evidence, calibration)),
            provenance=Provenance(
                extractor=extractor.__version__,
                schema=task.ref,
                prompt=task.layout.book.ref,
                decode=task.job.decode,
                model=info.model,
                weights_sha256=info.weights_sha256,
                precision=info.precision,
                adapter=info.adapter,
                wording=str(wording) if wording else None,
                calibration=str(calibration) if calibration else None,
                engine=info.engine,
            ),
            usage=Usage(
                prompt_tokens=sum(reading.prompt_tokens for reading in readings),
                cached_tokens=sum(reading.cached_tokens for reading in readings),
                output_tokens=sum(reading.output_tokens for reading in readings),
                parts=len(readings),
            ),
        )


def field_results(
    task: _Task,
    answers: Mapping[str, Answer],
    evidence: Mapping[str, Evidence | None],
    calibration: Calibration | None,
) -> Iterator[tuple[str, FieldResult]]:
    """Every field's answer in the schema's order; fields inside an absent optional model have none."""
    absent = tuple(f"{path}." for path, answer in answers.items() if answer.option is NO)
    for leaf in task.form.leaves():
        answer = answers.get(leaf.path)
        if answer is None or leaf.path.startswith(absent):
            continue
        answer, review = calibration.apply(leaf, answer) if calibration else (answer, None)
        value = answer.option.value
        yield (
            leaf.path,
            FieldResult(
                value=value,
                probability=min(1.0, answer.chance),
                status=answer.status,
                review=review,
                evidence=evidence.get(leaf.path) or task.plans[0].sentence_of(value),
                distribution=answer.distribution if task.job.distribution else None,
            ),
        )
