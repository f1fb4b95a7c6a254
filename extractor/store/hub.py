"""Weights as one file on the model hub, resumed where an earlier download stopped."""

import os
import time
from pathlib import Path

import httpx

from extractor.errors import StoreError
from extractor.store.cache import Shelf
from extractor.store.manifest import File, HubSource
from extractor.store.progress import Advance, Progress

TIMEOUT = httpx.Timeout(30, connect=5)
TRIES = 3
"""How often in a row a download may break without a single new byte."""


def url(source: HubSource) -> str:
    """The file's address. $HF_ENDPOINT names a mirror, as it does for the hub's own client."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    return f"{endpoint.rstrip('/')}/{source.repo}/resolve/{source.revision}/{source.file}"


def fetch_file(source: HubSource, gguf: File, shelf: Shelf, progress: Progress) -> Path:
    """Download the file, or the rest of it. Return it, not yet hashed.

    Raises StoreError (`source_unavailable`) if the hub does not answer or has another file there.
    """
    partial = shelf.root / f"hub-{gguf.sha256[:12]}.partial"
    partial.touch()
    if partial.stat().st_size > gguf.size:
        os.truncate(partial, 0)
    failures = 0
    with progress("downloading from the model hub", gguf.size) as advance:
        advance(partial.stat().st_size)
        while (have := partial.stat().st_size) < gguf.size:
            reason = "it ends before the file does"
            try:
                _stream(url(source), partial, gguf.size, advance)
            except httpx.TransportError as error:
                reason = _reason(error)
            except httpx.HTTPError as error:
                raise _unavailable(_reason(error)) from None
            failures = 0 if partial.stat().st_size > have else failures + 1
            if failures == TRIES:
                raise _unavailable(reason)
            time.sleep(0.5 * failures)
    return partial


def _stream(address: str, partial: Path, size: int, advance: Advance) -> None:
    """Append what the hub sends until the file is whole or the connection ends."""
    have = partial.stat().st_size
    headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"}
    with httpx.stream("GET", address, headers=headers, timeout=TIMEOUT, follow_redirects=True) as answer:
        answer.raise_for_status()
        if answer.status_code != httpx.codes.PARTIAL_CONTENT:
            # A server without ranges sends the file from its first byte.
            os.truncate(partial, 0)
            advance(-have)
            have = 0
        if have + int(answer.headers.get("Content-Length", size - have)) != size:
            raise _unavailable(f"the file there does not have the {size:,} bytes that this release pins")
        with partial.open("ab") as out:
            # Blocks as they arrive: what waits in a buffer when the connection ends would be lost.
            for block in answer.iter_raw():
                out.write(block)
                advance(len(block))


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"answered {error.response.status_code} for the file"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "cannot be reached"
    return f"the download broke off ({type(error).__name__})"


def _unavailable(reason: str) -> StoreError:
    return StoreError(f"model hub: {reason}", code="source_unavailable")
