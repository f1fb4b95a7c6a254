"""The loop: rows of a source that are not done yet, some at a time, through one engine and into the journal."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from extractor.batch import facts
from extractor.batch.journal import Journal
from extractor.batch.output import Output
from extractor.batch.progress import Told
from extractor.batch.rows import Row, Source
from extractor.errors import ExtractorError, ReportError
from extractor.pipeline import Extractor, Job
from extractor.result import Decode, Extraction

Outcome = Extraction | ExtractorError


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One run: what is read, what is asked of it, and where the answers go, `size` reports at a time."""

    source: Source
    journal: Journal
    output: Output
    opened: Callable[[], Extractor]
    schema: str
    decode: Decode = "choice"
    size: int = 32

    def read(self, told: Told) -> None:
        """Read every row that the journal lacks. The engine is opened at the first row that needs it.

        Raises:
            InputError: the model is not the one that the journal has rows of.
            EngineError: the engine failed, and not because of one row.
        """
        reader: Extractor | None = None
        try:
            for rows in self.chunks():
                found = texts(rows)
                if reader is None and found:
                    reader = self.opened()
                    self.journal.agree(model=facts.of_model(reader))
                answers = records(reader, self.output, self.schema, self.decode, found) if reader else ()
                self.keep(rows, answers, told)
        finally:
            if reader is not None:
                reader.engine.close()

    def chunks(self) -> Iterator[list[Row]]:
        """Yield the rows that the journal lacks, `size` at a time."""
        rows = self.source.rows(lambda position: not self.journal.has(position))
        while chunk := list(islice(rows, self.size)):
            yield chunk

    def keep(self, rows: Sequence[Row], answers: Iterable[Mapping[str, Any]], told: Told) -> None:
        """Write down a chunk: the answers to its texts in their order, and what is wrong with its other rows."""
        left = iter(answers)
        self.journal.append(
            (
                row.position,
                self.output.record(row.id, row.text) if isinstance(row.text, ExtractorError) else next(left),
            )
            for row in rows
        )
        told(self.journal.done, self.journal.failed)


def texts(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return the id and text of each row that has a text."""
    return [(row.id, row.text) for row in rows if isinstance(row.text, str)]


def records(
    reader: Extractor, output: Output, schema: str, decode: Decode, found: Sequence[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """Answer each id's text in order, in the form of the output.

    Raises:
        EngineError: the engine cannot read an ordinary report either.
    """
    jobs = [Job(text, schema, decode, id=id_) for id_, text in found]
    for (id_, _), outcome in zip(found, answered(reader, jobs), strict=True):
        yield output.record(id_, outcome)


def answered(extractor: Extractor, jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Answer all jobs in order. One that breaks the engine becomes an error in its own place.

    Raises:
        EngineError: the engine cannot read an ordinary report either.
    """
    for job, outcome in zip(jobs, _ask(extractor, jobs), strict=True):
        yield _alone(extractor, job) if _broke(outcome) else outcome


def _alone(extractor: Extractor, job: Job) -> Outcome:
    (outcome,) = _ask(extractor, [job])
    if _broke(outcome):
        extractor.prepare(job.schema, job.decode)  # raises where it is the engine, and not this report
    return outcome


def _ask(extractor: Extractor, jobs: Sequence[Job]) -> list[Outcome]:
    try:
        return extractor.extract(jobs)
    except Exception as error:  # noqa: BLE001  one report must not end the other million; its message may quote it
        failed = ExtractorError(f"Unexpected {type(error).__name__}.", code="internal_error")
        return [failed] * len(jobs)


def _broke(outcome: Outcome) -> bool:
    """Tell a failure that may be the engine's from one that is this report's own."""
    own = isinstance(outcome, ReportError) or (
        isinstance(outcome, ExtractorError) and outcome.code == "decode_failed"
    )
    return isinstance(outcome, ExtractorError) and not own
