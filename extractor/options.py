"""Options that several commands share."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from extractor.errors import NotFoundError

if TYPE_CHECKING:
    from schemas.version import SchemaVersion


PLACES = "extractor.schemas"
"""Where a command's `meta` says which places `--schemas` named."""


class Place(click.ParamType[str]):
    name = "place"
    envvar_list_splitter = os.pathsep


def listed(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the names that an option lists, as in A,B."""
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())


def _load(ctx: click.Context, param: click.Parameter, places: tuple[str, ...]) -> None:
    if not places:
        return
    from extractor import site

    try:
        site.load(*places)
    except NotFoundError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    ctx.meta[PLACES] = places


def find_schema(ctx: click.Context, param: click.Parameter, ref: str | None) -> "SchemaVersion | None":
    """Return the version that an option or argument names; an unknown one is the command line's fault."""
    from schemas import registry

    try:
        return registry.get(ref) if ref is not None else None
    except registry.UnknownSchema as error:
        raise click.BadParameter(str(error), ctx, param) from None


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--schema` and `--decode`."""
    for option in (
        click.option(
            "--decode",
            type=click.Choice(["choice", "grammar"]),
            default="choice",
            show_default=True,
            help="How to read: score every option, or write the whole object under a grammar.",
        ),
        click.option(
            "--schema",
            callback=find_schema,
            default="cmr-report@1",
            show_default=True,
            metavar="NAME[@V]",
            help="What to read; see `extractor schemas list`. Without @V, the newest version.",
        ),
    ):
        command = option(command)
    return command


def site_schemas(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--schemas`, which is read before any other option names a schema."""
    return click.option(
        "--schemas",
        type=Place(),
        callback=_load,
        multiple=True,
        is_eager=True,
        expose_value=False,
        envvar="EXTRACTOR_SCHEMAS",
        show_envvar=True,
        metavar="PLACE",
        help="A folder with schemas of your own, or an installed package's; again for several. Runs its Python files.",
    )(command)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--model`, `--url` and `--verbose`."""
    for option in (
        click.option(
            "--verbose", "-v", is_flag=True, help="Show what vLLM and its libraries print, on stderr."
        ),
        click.option(
            "--url",
            "urls",
            multiple=True,
            metavar="URL",
            help="Ask a vLLM server; again for several servers.",
        ),
        click.option(
            "--model",
            metavar="ID",
            help="The model to ask: an id of `extractor models list`, or a folder that holds one.",
        ),
    ):
        command = option(command)
    return command


def vllm_says(*, verbose: bool) -> None:
    """Let vLLM log its progress where `--verbose` asks for it. Before vLLM is imported."""
    if verbose:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "INFO")
