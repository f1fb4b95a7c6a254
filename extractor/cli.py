"""The `extractor` command. Results go to stdout, everything else to stderr.

Exit codes: 0, all answered; 1, something failed and was named on stderr; 2, the command line is wrong.
Heavy modules are imported where they are used, so that `--help` answers at once.
"""

import logging
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

import extractor
from extractor.batch.command import batch
from extractor.errors import ExtractorError, StoreError
from extractor.options import engine_options, reading_options, site_schemas, vllm_says
from extractor.schema_commands import schemas
from extractor.terminal import Boundary, own_terminal

if TYPE_CHECKING:
    from schemas.version import SchemaVersion


@click.group(cls=Boundary, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(extractor.__version__, message="%(prog)s %(version)s", prog_name="extractor")
def main() -> None:
    """Read cardiac-MRI reports into validated categories, with a language model on this machine."""


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@reading_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "fhir"]),
    help="How to print: a table, or one line a report with what the API returns or a FHIR R4 Bundle."
    "  [default: table]",
)
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option("--distribution", is_flag=True, help="Also give the probability of the other options.")
@site_schemas
@engine_options
def extract(  # noqa: PLR0913  one parameter an option
    files: tuple[str, ...],
    schema: "SchemaVersion",
    decode: Any,
    *,
    form: Any,
    as_json: bool,
    distribution: bool,
    model: str | None,
    urls: tuple[str, ...],
    verbose: bool,
) -> None:
    """Read report FILEs, plain text in UTF-8, into categories; - reads standard input.

    Every value is a label of the schema or a number of the report, with its probability and the sentence it
    stands on. A file that cannot be read is named on stderr, and the others are still answered.

    \b
    extractor extract report.txt
    extractor extract *.txt --json --schema cmr-diagnosis@1
    extractor extract report.txt --format fhir
    cat report.txt | extractor extract -
    """
    from extractor.batch.rows import printable
    from extractor.files import outcomes, read, show
    from extractor.pipeline import Job

    if as_json and form not in {None, "json"}:
        raise click.UsageError("--json and another --format contradict each other.")
    form = "json" if as_json else form or "table"
    if form == "fhir":
        from extractor import fhir

        fhir.check()  # before the model is loaded
    inputs = [(printable(name), read(name)) for name in files]
    jobs = [
        Job(text, schema.ref, decode, distribution, name)
        for name, text in inputs
        if not isinstance(text, ExtractorError)
    ]
    failed = False
    vllm_says(verbose=verbose)
    with own_terminal(verbose=verbose) as (out, err), closing(outcomes(jobs, model, urls, err)) as answers:
        for name, text in inputs:
            outcome = text if isinstance(text, ExtractorError) else next(answers)
            if isinstance(outcome, ExtractorError):
                failed = True
                click.echo(" ".join(filter(None, (f"{name}:", outcome.detail, outcome.fix))), file=err)
            show(name, outcome, out, form)
    if failed:
        sys.exit(1)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 for any."
)
@click.option(
    "--max-waiting",
    default=256,
    show_default=True,
    type=click.IntRange(1),
    help="Reports that may wait; more are answered 429.",
)
@click.option(
    "--grace",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="After SIGTERM, still answer new connections this long, with 503.",
)
@site_schemas
@engine_options
def serve(  # noqa: PLR0913  one parameter an option
    *,
    host: str,
    port: int,
    max_waiting: int,
    grace: float,
    model: str | None,
    urls: tuple[str, ...],
    verbose: bool,
) -> None:
    """Answer over HTTP; the page at /docs shows how.

    The model loads in the background: GET /health/ready answers 200 when it can read reports. On SIGTERM or
    Ctrl-C what was accepted is still answered; a second signal stops at once. No log line ever holds a report.
    There is no login: put a reverse proxy in front before listening on more than this machine.
    """
    from extractor.api import server
    from extractor.api.app import Settings, create_app
    from extractor.pipeline import open_extractor

    vllm_says(verbose=verbose)
    settings = Settings(max_waiting=max_waiting, probe_idle=bool(urls))
    app = create_app(settings, lambda: open_extractor(model, urls))
    with own_terminal(verbose=verbose) as (_, err):
        handler = logging.StreamHandler(err)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        for name in ("extractor", "uvicorn"):
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [handler], False
            logger.setLevel(logging.INFO)
        server.serve(app, host=host, port=port, grace=grace)


@main.group()
def models() -> None:
    """List, fetch and check model weights."""


@models.command("list")
def models_list() -> None:
    """List the known models, and which are on this machine."""
    from extractor import store
    from extractor.table import console, model_list

    console(sys.stdout).print(model_list(store.list_models()))


@models.command()
@click.argument("ids", nargs=-1, metavar="[ID…]")
def pull(ids: tuple[str, ...]) -> None:
    """Fetch models, the default one if no ID is given; goes on where an interrupted pull stopped."""
    from extractor import store

    for model_id in ids or (store.default_id(),):
        store.pull(model_id)
        click.echo(f"{model_id}: ready", err=True)


@models.command()
@click.argument("ids", nargs=-1, metavar="[ID…]")
def verify(ids: tuple[str, ...]) -> None:
    """Check the weights on this machine against their known hashes; the default model if no ID is given."""
    from extractor import store

    bad = False
    for model_id in ids or (store.default_id(),):
        for checked in store.verify(model_id):
            bad |= not checked.ok
            state = "ok" if checked.ok else "wrong" if checked.actual else "missing"
            click.echo(f"{model_id}/{checked.file}: {state}")
    if bad:
        fix = "Delete the model's folder and pull it again."
        raise StoreError("Files are wrong or missing.", code="weights_hash_mismatch", fix=fix)


main.add_command(batch)
main.add_command(schemas)
