"""`extractor batch`: its options, its messages and its exit code."""

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from extractor.errors import InputError
from extractor.files import BATCH, open_model
from extractor.options import PLACES, engine_options, reading_options, site_schemas, vllm_says
from extractor.terminal import own_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from extractor.batch.actors import Asked
    from extractor.batch.progress import Told
    from extractor.batch.run import Batch
    from schemas.version import SchemaVersion

_SUFFIXES = (".jsonl", ".csv", ".parquet")


def _named(ctx: click.Context, param: click.Parameter, output: Path) -> Path:
    if output.suffix.lower() not in _SUFFIXES:
        raise click.BadParameter(f"its name must end in one of: {', '.join(_SUFFIXES)}", ctx, param)
    return output


def _address(ctx: click.Context, param: click.Parameter, address: str | None) -> str | None:
    # The word after --ray is its address, even where a path was meant.
    if address is None or re.fullmatch(r"local|auto|\w+://.+|.+:\d+", address):
        return address
    raise click.BadParameter("this is no address. Write --ray last, or --ray=ADDRESS.", ctx, param)


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
@click.option(
    "--ray",
    is_flag=False,
    flag_value="local",
    callback=_address,
    metavar="[ADDRESS]",
    help="Read on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT. Without ADDRESS, on one started on this machine.",
)
@click.option(
    "--actors",
    type=click.IntRange(1),
    help="With --ray: engines at a time, each in its own process.  [default: one a GPU, else 1]",
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
    ray: str | None,
    actors: int | None,
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
    from extractor.batch import cluster, facts
    from extractor.batch.journal import Journal
    from extractor.batch.output import Output
    from extractor.batch.rows import open_source
    from extractor.batch.run import Batch

    if ray:
        cluster.check()
    elif actors:
        raise click.UsageError("--actors is for --ray.")
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
        journal.agree(input=rows.fingerprint(), **facts.of_code(schema, decode), output=written.form)
        reading = Batch(
            source=rows,
            journal=journal,
            output=written,
            opened=lambda: open_model(model, urls),
            schema=schema.ref,
            decode=decode,
            size=batch_size,
        )
        read: Callable[[Told], None] = reading.read
        if ray:
            asked = _asked(reading, model, urls, verbose=verbose)
            read = partial(cluster.read, reading, asked, ray, actors)
        _read(reading, read, err)
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


def _asked(batch: "Batch", model: str | None, urls: tuple[str, ...], *, verbose: bool) -> "Asked":
    """What the actors of a cluster are asked; they may run in another folder than this process."""
    from extractor.batch.actors import Asked, code_facts

    places: tuple[str, ...] = click.get_current_context().meta.get(PLACES, ())
    return Asked(
        schema=batch.schema,
        decode=batch.decode,
        made_by=code_facts(batch.schema, batch.decode),
        output=Path(batch.output.path.name),
        probabilities=batch.output.probabilities,
        model=model and _whole(model),
        urls=urls,
        places=tuple(map(_whole, places)),
        verbose=verbose,
    )


def _whole(name: str) -> str:
    """Return a folder's whole path; anything else is a name."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def _read(batch: "Batch", read: "Callable[[Told], None]", err: TextIO) -> None:
    from extractor.batch.progress import shown

    journal = batch.journal
    if journal.done:
        click.echo(f"Rows done already: {journal.done:,}.", file=err)
    try:
        with shown(err, batch.source.count(), journal.done) as told:
            read(told)
    except BaseException:
        said = f"Rows kept: {journal.done:,}. Run it again, without --restart, to go on from there."
        click.echo(said, file=err)
        raise
