"""Report files in, results out: what `extractor extract` does between its options and its exit code."""

import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import click

from extractor.errors import ExtractorError, InputError, NotFoundError, ReportError

if TYPE_CHECKING:
    from extractor.pipeline import Extractor, Job
    from extractor.result import Extraction

Form = Literal["table", "json", "fhir"]

BATCH = 32
"""Reports read, and printed, at a time."""


def read(name: str) -> str | ExtractorError:
    """Return the text of a file or of standard input, or what is wrong with it."""
    from extractor.report import Report

    try:
        return Report.from_bytes(sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()).text
    except ReportError as error:
        return error
    except OSError as error:
        return InputError(f"The file cannot be read: {error.strerror}.", code="file_unreadable")


def open_model(model: str | None, urls: Sequence[str]) -> "Extractor":
    """Open the model; an unknown one is the command line's fault."""
    from extractor.pipeline import open_extractor

    try:
        return open_extractor(model, urls)
    except NotFoundError as error:
        raise click.UsageError(str(error)) from None


def outcomes(
    jobs: "Sequence[Job]", model: str | None, urls: Sequence[str], err: TextIO
) -> "Generator[Extraction | ExtractorError, None, None]":
    """Open the model at the first answer that is asked for, read `jobs` in order, close it at the end."""
    from extractor.table import console

    messages = console(err)
    with messages.status("Loading the model …"):
        opened = open_model(model, urls)
    try:
        for start in range(0, len(jobs), BATCH):
            with messages.status(
                f"Reading report {start + 1} to {min(start + BATCH, len(jobs))} of {len(jobs)} …"
            ):
                answered = opened.extract(jobs[start : start + BATCH])
            yield from answered
    finally:
        opened.engine.close()


def show(name: str, outcome: "Extraction | ExtractorError", out: TextIO, form: Form) -> None:
    """Print one result as the API would send it, or as a table; an error not as a table, since stderr names it."""
    if form != "table":
        import orjson

        print(orjson.dumps(_body(name, outcome, form)).decode(), file=out, flush=True)
    elif not isinstance(outcome, ExtractorError):
        from extractor.table import console, result

        console(out).print(result(outcome))


def _body(name: str, outcome: "Extraction | ExtractorError", form: Form) -> dict[str, Any]:
    from extractor.api.models import outcome_to_json

    if form == "json":
        return outcome_to_json(outcome, name)
    from extractor import fhir

    return fhir.bundle([outcome.problem() if isinstance(outcome, ExtractorError) else outcome])
