"""`extractor batch`: its options, its messages and its exit code."""

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

import extractor
from extractor.errors import InputError
from extractor.files import BATCH, open_model
from extractor.options import engine_options, reading_options, site_schemas, vllm_says
from extractor.terminal import own_terminal

if TYPE_CHECKING:
    from extractor.batch.run import Batch
    from schemas.version import SchemaVersion

_SUFFIXES = (".jsonl", ".csv", ".parquet")


def _named(ctx: click.Context, param: click.Parameter, output: Path) -> Path:
    if output.suffix.lower() not in _SUFFIXES:
        raise click.BadParameter(f"its name must end in one of: {', '.join(_SUFFIXES)}", ctx, param)
    return output


@click.command()
@click.argument("source", metavar="INPUT", type=click.Path(exists=True, path_type=Path))
@click.argument("output", metavar="OUTPUT", type=click.Path(path_type=Path), callback=_named)
@reading_options
@click.option(
    "--text", metavar="COLUMN", help="The column that holds the reports.  [default: text, or the only one]"
)
@click.option(
    "--id", "id_", metavar="COLUMN", help="The column that names the rows.  [default: id, else their number]"
)
@click.option(
    "--probabilities",
    is_flag=True,
    help="CSV and Parquet: also columns FIELD.probability and FIELD.review for each field.",
)
@click.option(
    "--batch-size",
    default=BATCH,
    show_default=True,
    type=click.IntRange(1),
    help="Reports read, and kept on disk, at a time.",
)
@click.option("--restart", is_flag=True, help="Begin again: drop what was done, and replace OUTPUT.")
@site_schemas
@engine_options
def batch(  # noqa: PLR0913  one parameter an option
    source: Path,
    output: Path,
    schema: "SchemaVersion",
    decode: Any,
    *,
    text: str | None,
    id_: str | None,
    probabilities: bool,
    batch_size: int,
    restart: bool,
    model: str | None,
    urls: tuple[str, ...],
    verbose: bool,
) -> None:
    """Read all reports of INPUT into one file, OUTPUT.

    INPUT is a CSV, TSV, JSONL, Parquet or XLSX file, or a folder of TXT, PDF and DOCX files. OUTPUT ends in .jsonl
    (what the API returns), .csv or .parquet (a column a field). It has a row for each of INPUT, in its order; one that
    could not be read has an `error`, and the exit code is then 1.

    OUTPUT appears when all is read. Until then OUTPUT.journal holds what is done: the same command goes on after
    it was stopped in any way.

    \b
    extractor batch reports.csv categories.parquet --text Befund
    extractor batch scans/ categories.jsonl --schema cmr-report@2
    """
    from extractor.batch.journal import Journal
    from extractor.batch.output import Output
    from extractor.batch.rows import open_source
    from extractor.batch.run import Batch

    rows = open_source(source, text, id_)
    written = Output(output, schema.model, probabilities)
    path = output.with_name(f"{output.name}.journal")
    if output.exists() and output.samefile(source):
        raise click.UsageError("OUTPUT is INPUT.")
    if output.exists() and not restart and not path.exists():
        fix = "Name another OUTPUT, or replace it with --restart."
        raise InputError(f"{output.name} exists already.", code="batch_exists", field="OUTPUT", fix=fix)
    vllm_says(verbose=verbose)
    with Journal(path, restart=restart) as journal, own_terminal(verbose=verbose) as (_, err):
        journal.agree(input=rows.fingerprint(), **_made_by(schema, decode), output=written.form)
        reading = Batch(
            source=rows,
            journal=journal,
            output=written,
            opened=lambda: open_model(model, urls),
            schema=schema.ref,
            decode=decode,
            size=batch_size,
        )
        _read(reading, err)
        journal.agree(input=rows.fingerprint())  # it may have changed meanwhile
        written.write(journal.records(), journal.facts)
        journal.finish()
        if journal.failed:
            said = (
                f"{journal.failed:,} of {journal.done:,} rows failed; see the error column of {output.name}."
            )
        else:
            said = f"Rows in {output.name}: {journal.done:,}."
        click.echo(said, file=err)
    if journal.failed:
        sys.exit(1)


def _made_by(schema: "SchemaVersion", decode: str) -> dict[str, Any]:
    """What of the code and its data a result depends on."""
    from extractor.prompt import PromptBook
    from schemas import lock

    book = PromptBook.load(schema.ref, schema.prompts)
    prompt = json.dumps([book.base, book.own], sort_keys=True, default=str)
    return {
        "extractor": extractor.__version__,
        "schema": {"ref": schema.ref, "sha256": _sha256(lock.text(schema))},
        "prompt": {"ref": book.ref, "sha256": _sha256(prompt)},
        "decode": decode,
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(batch: "Batch", err: TextIO) -> None:
    from extractor.batch.progress import shown

    journal = batch.journal
    if journal.done:
        click.echo(f"Rows done already: {journal.done:,}.", file=err)
    try:
        with shown(err, batch.source.count(), journal.done) as told:
            batch.read(told)
    except BaseException:
        said = f"Rows kept: {journal.done:,}. Run it again, without --restart, to go on from there."
        click.echo(said, file=err)
        raise
