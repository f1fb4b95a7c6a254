"""The loop: rows of a source that are not done yet, some at a time, through one engine and into the journal."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

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
        extractor: Extractor | None = None
        rows = self.source.rows(lambda position: not self.journal.has(position))
        try:
            while chunk := list(islice(rows, self.size)):
                if extractor is None and any(isinstance(row.text, str) for row in chunk):
                    extractor = self.opened()
                    self.journal.agree(model=_model(extractor))
                outcomes = zip(chunk, self._outcomes(extractor, chunk), strict=True)
                self.journal.append((row.position, self.output.record(row.id, one)) for row, one in outcomes)
                told(self.journal.done, self.journal.failed)
        finally:
            if extractor is not None:
                extractor.engine.close()

    def _outcomes(self, extractor: Extractor | None, rows: Sequence[Row]) -> list[Outcome]:
        jobs = [
            Job(row.text, self.schema, self.decode, id=row.id) for row in rows if isinstance(row.text, str)
        ]
        answers: Iterator[Outcome] = answered(extractor, jobs) if extractor else iter(())
        return [row.text if isinstance(row.text, ExtractorError) else next(answers) for row in rows]


def _model(extractor: Extractor) -> dict[str, Any]:
    """What of a model a result depends on."""
    info = asdict(extractor.info)
    made = {name: info[name] for name in ("model", "weights_sha256", "precision", "adapter", "engine")}
    return made | {"calibration": str(extractor.calibrations) if extractor.calibrations else None}


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
