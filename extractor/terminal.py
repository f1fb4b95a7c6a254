"""The process boundary of the command line: who may write to the terminal, and how errors end."""

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any, TextIO

import click

from extractor.errors import ExtractorError


class Failed(click.ClickException):
    """Ends the command with one line on stderr and exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"extractor: {self.message}", file=file, err=True)


class Boundary(click.Group):
    """Turns every error into one line without report text; where an unexpected one came from is shown on request."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except ExtractorError as error:
            raise Failed(str(error)) from None
        except Exception as error:  # noqa: BLE001  the process boundary; its message may quote a report
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Failed("The disk is full, so that the output is not whole.") from None
            if os.environ.get("EXTRACTOR_DEBUG"):
                click.echo("".join(traceback.format_tb(error.__traceback__)), nl=False, err=True)
            hint = "Set EXTRACTOR_DEBUG=1 to see where it came from."
            raise Failed(f"unexpected {type(error).__name__}. {hint}") from None


@contextmanager
def own_terminal(*, verbose: bool = False) -> Iterator[tuple[TextIO, TextIO]]:
    """Yield the streams for results and messages; everything else that writes to the terminal is silenced.

    vLLM, torch and their C++ libraries print to file descriptors 1 and 2. Both go to nowhere inside the block,
    or to stderr with `verbose`, so that stdout never holds anything but results.
    """
    results, messages = _copy(sys.stdout, 1), _copy(sys.stderr, 2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if results is not sys.stdout:
        os.dup2(2 if verbose else nowhere, 1)
    if messages is not sys.stderr and not verbose:
        os.dup2(nowhere, 2)
    try:
        yield results, messages
    finally:
        with ExitStack() as restoring:  # each, also where what was to be printed finds no room any more
            restoring.callback(os.close, nowhere)
            restoring.callback(_restore, sys.stdout, results, 1)
            restoring.callback(_restore, sys.stderr, messages, 2)


def _copy(stream: TextIO, descriptor: int) -> TextIO:
    """Return a second stream to where `descriptor` leads; a stream that is not on it (a test's) stays itself."""
    with suppress(OSError, ValueError):
        if stream.fileno() == descriptor:
            stream.flush()
            return os.fdopen(os.dup(descriptor), "w", encoding=stream.encoding, errors=stream.errors)
    return stream


def _restore(stream: TextIO, copy: TextIO, descriptor: int) -> None:
    if copy is not stream:
        with suppress(ValueError):
            stream.flush()
        os.dup2(copy.fileno(), descriptor)
        copy.close()
