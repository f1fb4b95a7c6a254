"""`extractor schemas`: what can be read, how versions differ, and stored results moved along."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from extractor.errors import ExtractorError, InputError
from extractor.options import find_schema, site_schemas

if TYPE_CHECKING:
    from schemas.version import SchemaVersion


@click.group()
def schemas() -> None:
    """List, show, compare and check schemas; carry stored results to another version."""


@schemas.command("list")
@site_schemas
def schemas_list() -> None:
    """List the schemas and their versions."""
    from extractor.table import console, versions
    from schemas import registry

    console(sys.stdout).print(versions(registry.all_versions()))


@schemas.command()
@click.argument("schema", callback=find_schema, metavar="NAME[@V]")
@click.option("--json", "as_json", is_flag=True, help="Print its JSON Schema.")
@site_schemas
def show(schema: "SchemaVersion", *, as_json: bool) -> None:
    """Show a schema's fields and their allowed values."""
    if as_json:
        import orjson

        click.echo(orjson.dumps(schema.model.model_json_schema(), option=orjson.OPT_INDENT_2).decode())
        return
    from extractor import table

    table.console(sys.stdout).print(table.schema(schema))


@schemas.command()
@click.argument("a", callback=find_schema, metavar="A")
@click.argument("b", callback=find_schema, metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print the changes as one JSON object.")
@site_schemas
def diff(a: "SchemaVersion", b: "SchemaVersion", *, as_json: bool) -> None:
    """Name every change from version A to version B, and whom it breaks.

    Readers know A and are given results of B. Writers hold results of A, which are then checked under B.

    \b
    extractor schemas diff cmr-report@1 cmr-report@2
    """
    from schemas.diff import diff as compare
    from schemas.diff import summary

    changes = compare(a, b)
    if as_json:
        import orjson

        said = {"from": a.ref, "to": b.ref, "changes": [change.to_json() for change in changes]}
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode())
        return
    from extractor import table

    if changes:
        table.console(sys.stdout).print(table.changes(changes))
    click.echo(f"{a.ref} to {b.ref}: {summary(changes)}")


@schemas.command()
@site_schemas
def check() -> None:
    """Check every version: that released ones are as they were, and that migrations leave nothing out."""
    from schemas import registry
    from schemas.check import pairs, problems
    from schemas.diff import diff as compare
    from schemas.diff import summary

    versions = registry.all_versions()
    for older, newer in pairs(versions):
        click.echo(f"{older.ref} to {newer.ref}: {summary(compare(older, newer))}")
    found = problems(versions)
    for problem in found:
        click.echo(problem, err=True)
    if found:
        sys.exit(1)
    click.echo(f"{len(versions)} versions: all well")


@schemas.command()
def publish() -> None:
    """Write and lock the JSON Schema of every released version of this package that has none yet.

    For those who work on extractor itself. What is locked is never written again.
    """
    from schemas import lock, registry

    try:
        new = lock.publish(registry.BUILT_IN)
    except OSError as error:
        detail = f"The package's folder cannot be written: {error.strerror}."
        raise InputError(detail, code="not_writable", fix="Run this in a checkout of extractor.") from None
    for ref in new:
        click.echo(f"{ref}: published")
    found = lock.problems(registry.BUILT_IN)
    for problem in found:
        click.echo(problem, err=True)
    if found:
        sys.exit(1)
    if not new:
        click.echo("Every released version is published.")


@schemas.command()
@click.argument("files", nargs=-1, required=True, metavar="RESULT…")
@click.option(
    "--to", "target", required=True, callback=find_schema, metavar="NAME[@V]", help="The version to make."
)
@click.option("--from", "source", callback=find_schema, metavar="NAME[@V]", help="The version of bare data.")
@site_schemas
def migrate(files: tuple[str, ...], target: "SchemaVersion", source: "SchemaVersion | None") -> None:
    """Carry stored results to another schema version: JSON or JSONL files, - for standard input.

    They are what `extractor extract --json` or the API gave, or only their `data` with --from. One object a
    line is printed. What the other version cannot say is named on stderr by file and line, and the rest is
    still printed.

    \b
    extractor schemas migrate --to cmr-diagnosis@2 results.jsonl
    """
    import orjson

    from extractor.migration import migrate_record, records

    failed = False
    for name in files:
        try:
            content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        except OSError as error:
            failed = True
            click.echo(f"{name}: The file cannot be read: {error.strerror}.", err=True)
            continue
        for place, record in records(content):
            try:
                click.echo(orjson.dumps(migrate_record(record, target, source)))
            except ExtractorError as error:
                failed = True
                click.echo(f"{name}:{place}: {error}", err=True)
    if failed:
        sys.exit(1)
